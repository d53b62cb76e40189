//! Carries one order from its claim to its result: [`claim`], [`carry_out`], [`settle`]. Here is the loop around them.

mod carry_out;
mod claim;
mod journaled;
mod settle;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::Sender;
use time::OffsetDateTime;

use super::ended::Ended;
use super::event::Recorder;
use super::inbox::Inbox;
use super::queue::{Job, Taken, Task};
use super::schedule::Schedule;
use crate::actions::limiter::EvictionLimiter;
use crate::actions::outcome::{Reason, Status};
use crate::actions::policy::Policy;
use crate::actions::verify::Order;
use crate::backend::{self, protocol};
use crate::capabilities::Capabilities;
use crate::health::Component;
use crate::journal::Recovered;
use crate::kube::fence::Fence;
use crate::metrics::Metrics;
use crate::settings::Live;
use crate::thread::stop::{Never, Stop};
use crate::websocket::channel::Channel;
use crate::{kube, timestamp};
use claim::Claim;

/// Actions that run at once (protocol, section 4, 7); each has a thread.
pub const WORKERS: usize = 4;
/// An idle worker shows a sign of life this often.
const LOOK: Duration = Duration::from_secs(10);
/// A worker that carries out nothing shows one this often at least: a claim may take half of it, an observation all.
const PERIOD: Duration = Duration::from_mins(1);
/// A standby looks this often for orders of its own whose time is over.
const STANDBY_LOOK: Duration = Duration::from_secs(2);

/// What the workers share.
pub struct Worker {
    /// Where orders come from and where their states are kept.
    pub inbox: Arc<Inbox>,
    /// The API server; its connections outlive the stop, so that a write under way can end.
    pub kube: Arc<kube::Client>,
    /// Answers for the writes of that client.
    pub fence: Arc<dyn Fence>,
    /// The backend.
    pub backend: Arc<backend::Client>,
    /// Who we are.
    pub identity: protocol::Identity,
    /// What may happen here.
    pub policy: Policy,
    /// What the cluster permits.
    pub capabilities: Arc<Capabilities>,
    /// MAX_EVICTIONS_PER_MINUTE.
    pub limiter: Arc<Mutex<EvictionLimiter>>,
    /// The agent's own pod, namespace and name.
    pub own_pod: Option<(String, String)>,
    /// Leaves events on the objects of actions.
    pub events: Recorder,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What the backend has set: it may have switched writing off.
    pub live: Arc<Live>,
    /// News of actions, sooner than over REST.
    pub channel: Arc<Channel>,
    /// Told when a result waits.
    pub results: Sender<()>,
    /// Which claims are tried again, and when.
    pub claims: Mutex<Schedule>,
}

impl Worker {
    /// Takes one order after the other until the stop.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        while !stop.requested() {
            component.period(PERIOD);
            let quiet = self.look_around(component);
            let is_due = |job: &Job| self.is_due(job);
            if let Some(taken) = self.inbox.queue.take(is_due, quiet.min(LOOK), stop) {
                self.job(taken, component, stop);
            }
        }
        Ok(())
    }

    /// While `is_standby`, looks what came of the orders that a run before this one had begun, and gives those their
    /// result that were claimed and are past their time: no other replica can, and nothing is written for it.
    pub fn run_standby(
        &self,
        is_standby: impl Fn() -> bool,
        component: &Component,
        stop: &Stop,
    ) -> Result<(), Never> {
        loop {
            component.beat();
            if is_standby() {
                let now = timestamp::unix_seconds();
                while let Some(taken) = self.inbox.queue.take_for_a_standby(now) {
                    self.job(taken, component, stop);
                    component.beat();
                    if stop.requested() {
                        return Ok(());
                    }
                }
            }
            if stop.wait(STANDBY_LOOK) {
                return Ok(());
            }
        }
    }

    /// Takes up what a crash or a restart has left, and gives its result to what can no longer be proven.
    pub fn recover(&self, recovered: Recovered) {
        for (envelope, stage) in self.inbox.recover(recovered) {
            let why = "it is not proven any more: the keys or the cluster's name have changed";
            let (ended, began) = Ended::unproven(why, stage);
            self.store(
                envelope.id(),
                envelope.payload_hash(),
                &ended.outcome(began, OffsetDateTime::now_utc()),
            );
        }
    }

    fn job(&self, taken: Taken<'_>, component: &Component, stop: &Stop) {
        let job = &taken.job;
        let Order::Action(order) = job.verified.order() else {
            return;
        };
        let id = job.verified.id();
        match &job.task {
            Task::Observe { started_at, steps } => {
                if !self.look_back(&job.verified, order, *started_at, steps, stop) {
                    taken.put_back();
                }
            }
            Task::Run { claimed } => {
                if claim::is_owed(job) {
                    self.claims().forget(id);
                } else {
                    match self.claim(&job.verified, *claimed, stop) {
                        Claim::Ours => (),
                        Claim::Refused => return,
                        Claim::NotNow => return taken.put_back(),
                    }
                }
                // In a statement of its own: the result is written to the journal, whose lock must be free by then.
                let marked = if *claimed {
                    Ok(())
                } else {
                    self.inbox.journal().claimed(id)
                };
                if let Err(err) = marked {
                    let why = err.to_string();
                    let ended = Ended::new(Status::Failed, Some(Reason::JournalUnavailable), why);
                    self.finish(&job.verified, order, ended, None);
                    return;
                }
                self.carry_out(&job.verified, order, component, stop);
            }
        }
    }
}

#[cfg(test)]
mod tests;
