//! In which state a drain leaves its node: schedulable again where it came to nothing, or as it is found.

use std::time::{Duration, Instant};

use log::warn;
use serde_json::Value;

use crate::actions::outcome::Reason;
use crate::actuator::context::Context;
use crate::actuator::context::writes::Writes;
use crate::actuator::ended::Ended;
use crate::actuator::execute::cordon::change::{Undo, Undone, undo_cordon};
use crate::actuator::execute::node;
use crate::kube::objects::Node;
use crate::logging::ACTUATOR;

/// Time of its own: that the drain's is over may be the very reason why the node is given back.
const RESTORING: Duration = Duration::from_secs(20);
/// The pause after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// The node as it is left.
pub(super) struct Left {
    /// As `details` show it; null where it could not be read.
    after: Value,
    /// Our cordon was undone.
    restored: bool,
    /// Why it was not, though it should have been.
    failed: Option<String>,
}

impl Left {
    /// The node as it is, with nothing written.
    pub(super) fn as_found(context: &Context<'_>, before: &Node) -> Self {
        Self::read(&later(context), before)
    }

    /// Undoes this action's cordon of the node, if it is still there.
    pub(super) fn restored(context: &Context<'_>, writes: &Writes<'_>, before: &Node) -> Self {
        let context = later(context);
        let state = |node: &Node| node::state(node, context.id);
        match undo(&context, writes, before) {
            Ok(Undone::Done(node)) => Self {
                after: state(&node),
                restored: true,
                failed: None,
            },
            // Nobody's any more, or somebody else's by now: it is not ours to undo.
            Ok(Undone::NotCordoned(node) | Undone::Kept { node, .. }) => Self {
                after: state(&node),
                restored: false,
                failed: None,
            },
            Err(ended) => {
                let left = Self::read(&context, before);
                if ended.has_written() && left.is_schedulable() {
                    return Self {
                        restored: true,
                        ..left
                    };
                }
                let why = ended.message;
                warn!(target: ACTUATOR, "Action {} leaves its cordon behind: {why}", context.id);
                Self {
                    failed: Some(why),
                    ..left
                }
            }
        }
    }

    fn read(context: &Context<'_>, before: &Node) -> Self {
        let name = before.metadata.name.as_deref().unwrap_or_default();
        let node = node::read(context, name, None);
        Self {
            after: node.map_or(Value::Null, |it| node::state(&it, context.id)),
            restored: false,
            failed: None,
        }
    }

    /// Whether it was seen to take new pods.
    pub(super) fn is_schedulable(&self) -> bool {
        self.after["unschedulable"] == false
    }

    /// `ended`, which says how the node is left.
    pub(super) fn told_by(self, mut ended: Ended, before: &Node) -> Ended {
        let fate = match self.after["unschedulable"].as_bool() {
            Some(true) => "cordoned",
            Some(false) => "schedulable",
            None => "in an unknown state",
        };
        let name = before.metadata.name.as_deref().unwrap_or_default();
        ended.message = format!("{}; node {name} is left {fate}", ended.message);
        if let Some(why) = self.failed {
            ended.message = format!("{}, for it could not be restored: {why}", ended.message);
            ended = ended.with("restore_failed", why);
        }
        ended
            .with("after", self.after)
            .with("restored", self.restored)
    }
}

/// Undoes the cordon, again and again where a failure may pass: it is read and checked anew each time.
fn undo(context: &Context<'_>, writes: &Writes<'_>, before: &Node) -> Result<Undone, Ended> {
    loop {
        match undo_cordon(context, writes, before, Undo::This) {
            Err(ended) if ended.reason == Some(Reason::ApiError) && !context.left().is_zero() => {
                if context.pause(AGAIN).is_err() {
                    return Err(ended);
                }
            }
            other => return other,
        }
    }
}

/// The same action with time left.
fn later<'a>(context: &Context<'a>) -> Context<'a> {
    Context {
        deadline: Instant::now() + RESTORING,
        ..*context
    }
}
