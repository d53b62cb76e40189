//! What an executor works with: reads at will, and writes only after STARTED is on the disk.

pub mod writes;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::debug;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ended::Ended;
use crate::actions::id::EnvelopeId;
use crate::actions::limiter::{EvictionLimiter, Permit};
use crate::actions::outcome::{Reason, Status};
use crate::actions::policy::Policy;
use crate::kube::call::{Call, Deadlines};
use crate::kube::client::pause_after;
use crate::kube::{Client, Target};
use crate::logging::ACTUATOR;
use crate::metrics::Metrics;
use crate::thread::backoff::Backoff;
use crate::thread::stop::Stop;
use writes::Writes;

/// The first pause, at most, after a read that failed for what may pass; they double.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// The longest of them.
const RETRY_MOST: Duration = Duration::from_secs(5);

/// What a read has at least, also at the very end: it says how things were left.
const LAST_READ: Duration = Duration::from_secs(5);

/// What the actuator provides for one action.
pub trait Record {
    /// STARTED is on the disk, or the action must not go on. Called before the first write, at most once.
    fn started(&self) -> Result<(), String>;
    /// A part of the action is done; `step` is JSON that its observer understands after a crash.
    fn step(&self, step: &Value);
    /// For whoever watches: so many of so many are done.
    fn progress(&self, message: &str, done: u64, total: u64);
}

/// Everything that one action works with.
pub struct Context<'a> {
    /// The action's id.
    pub id: &'a EnvelopeId,
    /// The API server. Reads are made with it directly; writes only through [`Context::begin`].
    pub kube: &'a Client,
    /// What the local configuration allows.
    pub policy: &'a Policy,
    /// MAX_EVICTIONS_PER_MINUTE.
    pub limiter: &'a Mutex<EvictionLimiter>,
    /// The agent's own counters.
    pub metrics: &'a Metrics,
    /// Fires when the agent stops: end at the next safe point with [`Ended::interrupted`].
    pub stop: &'a Stop,
    /// Everything is checked, nothing is written, and the result is the plan.
    pub dry_run: bool,
    /// When the action must have ended.
    pub deadline: Instant,
    /// The agent's own pod, namespace and name, where it runs in one: evicted last.
    pub own_pod: Option<(&'a str, &'a str)>,
    /// Where the steps are written down.
    pub record: &'a dyn Record,
}

impl<'a> Context<'a> {
    /// The right to write: STARTED is on the disk. In a dry run there is none, and the executor, which returns its
    /// plan instead of asking, would make a mistake to ask.
    pub fn begin(&self) -> Result<Writes<'a>, Ended> {
        if self.dry_run {
            return Err(Ended::new(
                Status::Failed,
                Some(Reason::Internal),
                "a dry run must not write",
            ));
        }
        match self.record.started() {
            Ok(()) => Ok(Writes::new(self.kube)),
            Err(why) => Err(Ended::new(
                Status::Failed,
                Some(Reason::JournalUnavailable),
                why,
            )),
        }
    }

    /// Whether a pod of that namespace and name is the agent's own.
    pub fn is_own(&self, namespace: &str, name: &str) -> bool {
        self.own_pod == Some((namespace, name))
    }

    /// Time left until the deadline.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The deadlines of a read, within the time that is left, or what a read has at least.
    pub fn at_most(&self, deadlines: Deadlines) -> Deadlines {
        deadlines.within(self.left().max(LAST_READ))
    }

    /// Pauses, at most until the deadline; `Err` at the stop.
    pub fn pause(&self, pause: Duration) -> Result<(), Ended> {
        if self.stop.wait(pause.min(self.left())) {
            return Err(Ended::interrupted("the agent was told to stop"));
        }
        Ok(())
    }

    /// Gets one object; `None` where it does not exist. Tries again what may pass, until the deadline.
    pub fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        resource: &'static str,
    ) -> Result<Option<T>, Ended> {
        let target = Target::new(path);
        let doing = format!("to read {path}");
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        loop {
            let call = Call {
                deadlines: self.at_most(Deadlines::OBJECT),
                ..Call::get(&target, resource)
            };
            match self.kube.send(&call) {
                Ok(found) => return Ok(Some(found)),
                Err(err) if err.is_not_found() => return Ok(None),
                Err(err) if err.is_transient() && !self.left().is_zero() => {
                    debug!(target: ACTUATOR, "Failed {doing}: {err}");
                    self.pause(pause_after(&err, &mut backoff))?;
                }
                Err(err) => return Err(Ended::api(&doing, &err)),
            }
        }
    }

    /// Takes one eviction from the local budget of evictions a minute, or says how long there is none.
    pub fn take_eviction(&self) -> Result<Permit, Duration> {
        self.limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(Instant::now())
    }

    /// Gives back an eviction that the API server did not allow.
    pub fn give_back_eviction(&self, permit: Permit) {
        self.limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .give_back(permit);
    }
}
