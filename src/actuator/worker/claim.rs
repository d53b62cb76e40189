//! The claim: an order is ours once the backend says so.

use std::time::Duration;

use log::{info, warn};
use serde_json::Value;
use ureq::http::Method;

use super::Worker;
use crate::actions::verify::Verified;
use crate::backend::call::segment;
use crate::backend::retry::{Failure, Retry};
use crate::health::Component;
use crate::logging::ACTUATOR;
use crate::thread::stop::Stop;
use crate::timestamp;

/// A claim for an expired order is tried for so many more seconds.
const GIVE_UP_AFTER_EXPIRY: i64 = 600;

/// What came of a claim.
pub(super) enum Claim {
    /// The order is ours to execute.
    Ours,
    /// It is not, and never will be.
    Refused,
    /// The stop came first.
    Stopped,
}

impl Worker {
    /// Claims the order. Tries again what may pass, until it expires.
    pub(super) fn claim(&self, verified: &Verified, component: &Component, stop: &Stop) -> Claim {
        let id = verified.id();
        let path = format!("/v1/actions/{}/claim", segment(id.as_str()));
        let message = serde_json::json!({
            "agent_id": self.identity.agent_id,
            "instance_id": self.identity.instance_id,
            "payload_sha256": verified.payload_hash().to_string(),
        });
        let mut retry = Retry::default();
        loop {
            component.beat();
            let failure = match self
                .backend
                .json::<Value>("claim", Method::POST, &path, &message)
            {
                Ok(_) => return Claim::Ours,
                Err(Failure::Refused { code, why }) => {
                    info!(target: ACTUATOR, "Action {id} is not ours to execute: {code} {why}");
                    let _ = self.inbox.journal().dropped(id);
                    return Claim::Refused;
                }
                Err(failure) => failure,
            };
            let pause = retry.after(&failure);
            warn!(target: ACTUATOR, "Failed to claim action {id}: {failure}; trying again in {:.1} s", pause.as_secs_f64());
            component.period(pause.max(Duration::from_mins(1)));
            if self.backend.pause(pause, &failure, stop) {
                return Claim::Stopped;
            }
            // An order past its time is claimed all the same, so that it gets its result; but not for ever.
            if timestamp::unix_seconds() > verified.expires_at() + GIVE_UP_AFTER_EXPIRY {
                let _ = self.inbox.journal().dropped(id);
                return Claim::Refused;
            }
        }
    }
}
