//! The claim: an order is ours once the backend says so.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use serde::Deserialize;
use ureq::http::Method;

use super::Worker;
use crate::actions::verify::Verified;
use crate::actuator::queue::{Job, Task};
use crate::actuator::schedule::Schedule;
use crate::backend::call::segment;
use crate::backend::retry::Failure;
use crate::health::Component;
use crate::logging::ACTUATOR;
use crate::thread::stop::Stop;
use crate::timestamp;

/// A claim for an expired order is tried for so many more seconds.
const GIVE_UP_AFTER_EXPIRY: i64 = 600;
/// What keeps this agent from claiming is looked at again after this.
const UNFIT_PAUSE: Duration = Duration::from_secs(1);

/// What came of a claim.
pub(super) enum Claim {
    /// The order is ours to execute.
    Ours,
    /// It is not, and never will be.
    Refused,
    /// It may be yet: it stays in the queue, and is due when the schedule says so.
    NotNow,
}

/// The answer of the contract. Another 200 is not from our backend, and no claim.
#[derive(Deserialize)]
struct Granted {
    #[serde(rename = "lease_seconds")]
    _lease_seconds: u64,
}

impl Worker {
    /// Whether a worker may turn to this job now.
    pub(super) fn is_due(&self, job: &Job) -> bool {
        match job.task {
            Task::Observe { .. } => true,
            Task::Run { .. } if is_owed(job) => true,
            Task::Run { .. } => {
                let (claims, now) = (self.claims(), Instant::now());
                let held = claims.held(now, self.backend.key_version());
                held.is_none() && claims.is_due(job.verified.id(), now)
            }
        }
    }

    /// Says how it goes with the claims; returns how long nothing about them changes by itself.
    pub(super) fn look_around(&self, component: &Component) -> Duration {
        let claims = self.claims();
        match claims.trouble() {
            Some(why) => component.degraded(&format!("failed to claim an action: {why}")),
            None => component.running(),
        }
        claims.quiet(Instant::now(), self.backend.key_version())
    }

    /// Claims the order, in one try. What may pass is tried again later, so that no worker waits for it.
    pub(super) fn claim(&self, verified: &Verified, is_claimed: bool, stop: &Stop) -> Claim {
        let id = verified.id();
        if let Err(why) = self.may_claim(is_claimed, stop) {
            debug!(target: ACTUATOR, "Action {id} is not claimed now: {why}");
            self.claims().put_off(id, UNFIT_PAUSE, Instant::now());
            return Claim::NotNow;
        }
        let path = format!("/v1/actions/{}/claim", segment(id.as_str()));
        let message = serde_json::json!({
            "agent_id": self.identity.agent_id,
            "instance_id": self.identity.instance_id,
            "payload_sha256": verified.payload_hash().to_string(),
        });
        let answer = self
            .backend
            .json::<Granted>("claim", Method::POST, &path, &message);
        let now = Instant::now();
        match answer {
            Ok(_) => {
                self.claims().settled(id, now);
                Claim::Ours
            }
            Err(Failure::Refused {
                code: code @ (404 | 409 | 410),
                why,
            }) => {
                info!(target: ACTUATOR, "Action {id} is not ours to execute: {code} {why}");
                self.claims().settled(id, now);
                self.drop_order(verified)
            }
            // An order past its time is claimed all the same, so that it gets its result; but not for ever.
            Err(failure) if gives_up(verified.expires_at(), timestamp::unix_seconds()) => {
                warn!(target: ACTUATOR, "Action {id} was past its time before it could be claimed: {failure}");
                self.claims().forget(id);
                self.drop_order(verified)
            }
            Err(failure) => {
                let pause = self.claims().failed(id, &failure, now);
                warn!(target: ACTUATOR, "Failed to claim action {id}: {failure}; trying again in {:.1} s", pause.as_secs_f64());
                Claim::NotNow
            }
        }
    }

    /// Whether this agent could carry out what it claims: else the order is for another, or for later.
    fn may_claim(&self, is_claimed: bool, stop: &Stop) -> Result<(), String> {
        if stop.requested() {
            return Err("the agent was told to stop".to_owned());
        }
        if self.fence.admits().is_none() {
            return Err("it does not lead".to_owned());
        }
        // What is claimed gets its result from a journal that cannot be written too.
        if is_claimed {
            return Ok(());
        }
        let may_claim = self.inbox.journal().may_claim();
        may_claim.map_err(|err| err.to_string())
    }

    fn drop_order(&self, verified: &Verified) -> Claim {
        if let Err(err) = self.inbox.journal().dropped(verified.id()) {
            debug!(target: ACTUATOR, "That action {} is not ours is not written down: {err}", verified.id());
        }
        Claim::Refused
    }

    pub(super) fn claims(&self) -> MutexGuard<'_, Schedule> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is ours and past its time: it is owed its result, and nothing more is asked for.
pub(super) fn is_owed(job: &Job) -> bool {
    matches!(job.task, Task::Run { claimed: true })
        && job.verified.is_expired(timestamp::unix_seconds())
}

fn gives_up(expires_at: i64, now: i64) -> bool {
    now > expires_at.saturating_add(GIVE_UP_AFTER_EXPIRY)
}
