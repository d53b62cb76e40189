//! Whether the node is still the one that shall be emptied. Its watch says so; where the watch has said nothing yet,
//! or fails, the node is read before an eviction.

use std::time::{Duration, Instant};

use super::{Mover, Other};
use crate::actuator::execute::moves::Moves;
use crate::actuator::execute::node::path;
use crate::kube::objects::Node;

/// How long a read is good for: a drain sends its evictions within milliseconds of one another.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// The node that shall be empty in the end.
pub(super) struct Emptied {
    pub(super) name: String,
    known: Known,
}

/// How it is known to be the node that is meant, and to be cordoned.
enum Known {
    /// Its watch would have told.
    Watched,
    /// It was read then.
    Read(Instant),
    /// It is not.
    Not,
}

impl Emptied {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            known: Known::Not,
        }
    }

    /// The watch has shown the node.
    pub(super) fn seen(&mut self) {
        self.known = Known::Watched;
    }

    /// The watch fails.
    pub(super) fn out_of_sight(&mut self) {
        self.known = Known::Not;
    }

    fn is_known(&self, now: Instant) -> bool {
        match self.known {
            Known::Watched => true,
            Known::Read(at) => now.saturating_duration_since(at) < GOOD_FOR,
            Known::Not => false,
        }
    }
}

impl Mover<'_, '_, '_, '_> {
    /// The node was read just now, and is as it shall be.
    pub fn has_read_node(&mut self) {
        if let Some(node) = &mut self.node {
            node.known = Known::Read(Instant::now());
        }
    }

    /// Before an eviction. `Err` where none may be sent: with the reason where that ends the action, without one where
    /// it is not known in time.
    pub(super) fn look_at_node(
        &mut self,
        others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>,
    ) -> Result<(), Option<String>> {
        let Some(node) = (self.node.as_ref()).filter(|it| !it.is_known(Instant::now())) else {
            return Ok(());
        };
        match self.context.get::<Node>(&path(&node.name), "nodes") {
            Ok(found) => {
                self.has_read_node();
                match others(&mut self.moves, Other::Node(found.map(Box::new))) {
                    Some(why) => Err(Some(why)),
                    None => Ok(()),
                }
            }
            Err(_) if self.context.stop.requested() || self.context.left().is_zero() => Err(None),
            Err(ended) => Err(Some(ended.message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_knows_and_a_read_does_for_a_while() {
        let now = Instant::now();
        let mut node = Emptied::new("node-1");
        assert!(!node.is_known(now));
        node.known = Known::Read(now);
        assert!(node.is_known(now + Duration::from_secs(4)));
        assert!(!node.is_known(now + GOOD_FOR));
        node.seen();
        assert!(node.is_known(now + Duration::from_hours(1)));
        node.out_of_sight();
        assert!(!node.is_known(now));
    }
}
