//! Watches cluster events and passes each new occurrence on once.

use std::sync::Arc;

use crossbeam_channel::{Sender, select_biased};

use super::event::{EventKey, EventObject, EventSample};
use super::ledger::Ledger;
use crate::kube::reflector::Mirror;
use crate::thread::stop::Stop;

/// Events between the watch and the collector at most: a burst passes, and the watch waits when the collector is
/// behind.
pub const QUEUE: usize = 256;

/// What the watch does with events.
pub struct EventMirror {
    /// Which were seen.
    pub ledger: Arc<Ledger>,
    /// Where new ones go.
    pub out: Sender<(EventKey, EventSample)>,
    /// Ends the wait for a full queue.
    pub stop: Stop,
}

impl Mirror for EventMirror {
    type Object<'de> = EventObject<'de>;

    fn version<'a>(object: &'a EventObject<'_>) -> &'a str {
        object.version()
    }

    fn list_began(&mut self) {
        self.ledger.list_began();
    }

    fn applied(&mut self, object: EventObject<'_>) {
        let key = object.key();
        if self.ledger.is_new(key) {
            // An event that the stop keeps from being sent is not delivered, so the next start sends it.
            select_biased! {
                recv(self.stop.signal()) -> _ => (),
                send(self.out, (key, object.sample())) -> _ => (),
            }
        }
    }

    fn deleted(&mut self, object: EventObject<'_>) {
        self.ledger.forget(object.uid_hash());
    }

    fn list_ended(&mut self) {
        self.ledger.list_ended();
    }

    fn alive(&mut self) {}
}
