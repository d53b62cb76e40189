//! Where an action writes down how far it is: the journal, the log, the channel.

use log::{error, info};
use serde_json::Value;
use time::OffsetDateTime;

use super::Worker;
use crate::actions::id::EnvelopeId;
use crate::actuator::context::Record;
use crate::logging::ACTUATOR;
use crate::websocket::frames::Outgoing;

/// Of one action.
pub(super) struct Journaled<'a> {
    pub(super) worker: &'a Worker,
    pub(super) id: &'a EnvelopeId,
    /// When it was begun, or is about to be.
    pub(super) began: OffsetDateTime,
}

impl Record for Journaled<'_> {
    fn started(&self) -> Result<(), String> {
        self.worker
            .inbox
            .journal()
            .started(self.id, self.began)
            .map_err(|err| err.to_string())
    }

    fn step(&self, step: &Value) {
        let inbox = &self.worker.inbox;
        if let Err(err) = inbox.journal().step(self.id, &step.to_string()) {
            error!(target: ACTUATOR, "A step of action {} could not be written down: {err}", self.id);
        }
    }

    fn progress(&self, message: &str, done: u64, total: u64) {
        info!(target: ACTUATOR, "Action {}: {message} ({done} of {total})", self.id);
        self.worker.channel.send(&Outgoing::Progress {
            id: self.id.as_str(),
            message,
            done,
            total,
        });
    }
}
