//! Watches cluster events and passes each new occurrence on once.

use std::sync::Arc;
use std::time::Duration;

use super::backlog::Backlog;
use super::event::EventObject;
use super::ledger::Ledger;
use crate::health::Component;
use crate::kube::reflector::{MOMENT, Mirror};
use crate::thread::stop::Stop;

/// What the watch does with events.
pub struct EventMirror {
    /// Which were seen.
    pub ledger: Arc<Ledger>,
    /// Where new ones go.
    pub backlog: Arc<Backlog>,
    /// Ends the wait for room.
    pub stop: Stop,
    /// Whoever watches.
    pub component: Component,
}

impl Mirror for EventMirror {
    type Object<'de> = EventObject<'de>;
    const GATHER: Duration = MOMENT;

    fn version<'a>(object: &'a EventObject<'_>) -> &'a str {
        object.version()
    }

    fn list_began(&mut self) {
        self.ledger.list_began();
    }

    fn applied(&mut self, object: EventObject<'_>) {
        let key = object.key();
        let version = object.version().parse().unwrap_or(0);
        if self.ledger.is_new(key, version) {
            let event = (key, object.sample());
            // While the collector is behind, this is no lack of progress.
            self.backlog
                .put(version, event, &self.stop, || self.component.beat());
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
