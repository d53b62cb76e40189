//! Carries one order from its claim to its result.

mod claim;
mod journaled;

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use log::{error, info};
use serde_json::Value;
use time::OffsetDateTime;

use super::context::Context;
use super::ended::Ended;
use super::event::Recorder;
use super::execute::{execute, observe};
use super::inbox::Inbox;
use super::queue::{Taken, Task};
use crate::actions::action::Action;
use crate::actions::id::{EnvelopeId, PayloadHash};
use crate::actions::limiter::EvictionLimiter;
use crate::actions::outcome::{Outcome, Reason, Reporter, Status};
use crate::actions::policy::{Decision, Policy};
use crate::actions::verify::{ActionOrder, Order, Verified};
use crate::backend::{self, protocol};
use crate::capabilities::Capabilities;
use crate::health::Component;
use crate::journal::Recovered;
use crate::kube::fence::Fence;
use crate::logging::ACTUATOR;
use crate::metrics::Metrics;
use crate::settings::Live;
use crate::thread::panic_text;
use crate::thread::stop::{Never, Stop};
use crate::websocket::channel::Channel;
use crate::websocket::frames::Outgoing;
use crate::{kube, timestamp};
use claim::Claim;
use journaled::Journaled;

/// Actions that run at once (protocol, section 4, 7); each has a thread.
pub const WORKERS: usize = 4;
/// An idle worker shows a sign of life this often.
const LOOK: Duration = Duration::from_secs(10);

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
}

impl Worker {
    /// Takes one order after the other until the stop.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        while !stop.requested() {
            component.beat();
            if let Some(taken) = self.inbox.queue.take(LOOK, stop) {
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
        for envelope in self.inbox.recover(recovered) {
            let message = "it is not proven any more: the keys or the cluster's name have changed";
            let ended = Ended::new(Status::Failed, Some(Reason::Internal), message);
            self.store(
                envelope.id(),
                envelope.payload_hash(),
                &ended.outcome(None, OffsetDateTime::now_utc()),
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
                match self.claim(&job.verified, component, stop) {
                    Claim::Ours => (),
                    Claim::Refused => return,
                    Claim::Stopped => return taken.put_back(),
                }
                // In a statement of its own: the result is written to the journal, whose lock must be free by then.
                let marked = if *claimed {
                    Ok(())
                } else {
                    self.inbox.journal().claimed(id)
                };
                if let Err(err) = marked {
                    let ended = journal_unavailable(&err.to_string());
                    self.finish(&job.verified, order, ended, None);
                    return;
                }
                self.carry_out(&job.verified, order, component, stop);
            }
        }
    }

    fn carry_out(
        &self,
        verified: &Verified,
        order: &ActionOrder,
        component: &Component,
        stop: &Stop,
    ) {
        let action = match &order.action {
            Ok(action) => action,
            Err(refusal) => {
                let outcome = Outcome::refused(refusal, OffsetDateTime::now_utc());
                self.settle(verified, order, &outcome);
                return;
            }
        };
        if verified.is_expired(timestamp::unix_seconds()) {
            let ended = Ended::new(
                Status::Expired,
                None,
                "it was past its time before it could begin",
            );
            self.finish(verified, order, ended, None);
            return;
        }
        let dry_run = match self
            .policy
            .decide(action, order.dry_run || self.live.is_dry_run())
        {
            Decision::Deny(denial) => {
                self.finish(verified, order, Ended::denied(&denial), None);
                return;
            }
            Decision::DryRun => true,
            Decision::Run => false,
        };
        if let Some(lack) = self.capabilities.lack(action, &self.kube) {
            let ended = Ended::not_permitted(action.kind(), &lack);
            self.finish(verified, order, ended, None);
            return;
        }
        let id = verified.id();
        let how = if dry_run { " (dry run)" } else { "" };
        info!(target: ACTUATOR, "Executing action {id}: {} {}{how}", action.kind().as_str(), action.target());
        let timeout = timeout(action);
        component.period(timeout.max(LOOK));
        let began = (OffsetDateTime::now_utc(), Instant::now());
        let record = Journaled {
            worker: self,
            id,
            began: began.0,
        };
        let context = self.context(id, dry_run, began.1 + timeout, &record, stop);
        let ended = caught(id, || execute(action, &context));
        self.metrics
            .action_seconds
            .with_label_values(&[action.kind().as_str()])
            .observe(began.1.elapsed().as_secs_f64());
        self.finish(verified, order, ended, Some(began.0));
    }

    /// Finds out what came of an order that was begun; false if it could not be, because of the stop.
    fn look_back(
        &self,
        verified: &Verified,
        order: &ActionOrder,
        started_at: OffsetDateTime,
        steps: &[String],
        stop: &Stop,
    ) -> bool {
        let id = verified.id();
        info!(target: ACTUATOR, "Action {id} was under way when the agent ended: observing what came of it");
        let steps: Vec<Value> = steps
            .iter()
            .filter_map(|it| serde_json::from_str(it).ok())
            .collect();
        let record = Journaled {
            worker: self,
            id,
            began: started_at,
        };
        let context = self.context(id, true, Instant::now() + OBSERVATION, &record, stop);
        let mut ended = match &order.action {
            Ok(action) => caught(id, || observe(action, &context)),
            // It was legal when it was begun, by another version of the agent.
            Err(refusal) => Ended::interrupted(format!("this version does not know it: {refusal}")),
        };
        if stop.requested() && ended.reason == Some(Reason::Shutdown) {
            return false;
        }
        if ended.status == Status::Interrupted {
            ended.reason = Some(Reason::Restarted);
            ended = ended.with("steps", steps);
        }
        self.finish(verified, order, ended, Some(started_at));
        true
    }

    fn context<'a>(
        &'a self,
        id: &'a EnvelopeId,
        dry_run: bool,
        deadline: Instant,
        record: &'a Journaled<'a>,
        stop: &'a Stop,
    ) -> Context<'a> {
        Context {
            id,
            kube: &self.kube,
            policy: &self.policy,
            limiter: &self.limiter,
            metrics: &self.metrics,
            stop,
            dry_run,
            deadline,
            own_pod: self
                .own_pod
                .as_ref()
                .map(|(namespace, name)| (namespace.as_str(), name.as_str())),
            record,
        }
    }

    fn finish(
        &self,
        verified: &Verified,
        order: &ActionOrder,
        mut ended: Ended,
        began: Option<OffsetDateTime>,
    ) {
        if ended.reason == Some(Reason::Shutdown) && self.fence.admits().is_none() {
            ended.reason = Some(Reason::LeadershipLost);
            ended.message.push_str("; it does not lead any more");
        }
        let outcome = ended.outcome(began, OffsetDateTime::now_utc());
        self.settle(verified, order, &outcome);
    }

    /// Writes the result down and sends it on its way. A result that cannot be written is sent all the same.
    fn settle(&self, verified: &Verified, order: &ActionOrder, outcome: &Outcome) {
        let id = verified.id();
        let kind = order
            .kind
            .map_or("unknown", crate::actions::action::ActionKind::as_str);
        let reason = outcome.reason.map_or("", Reason::as_str);
        info!(
            target: ACTUATOR,
            "Action {id} {}{}{reason}: {}",
            outcome.status.as_str(),
            if reason.is_empty() { "" } else { ", " },
            outcome.message
        );
        self.metrics
            .actions
            .with_label_values(&[kind, outcome.status.as_str()])
            .inc();
        if outcome.status == Status::Rejected {
            self.metrics.refusals.with_label_values(&[reason]).inc();
        }
        self.store(id, verified.payload_hash(), outcome);
        self.channel.send(&Outgoing::Result {
            id: id.as_str(),
            status: outcome.status.as_str(),
            reason: outcome.reason.map(Reason::as_str),
            message: &outcome.message,
        });
        let is_dry_run = order.dry_run || self.policy.dry_run || self.live.is_dry_run();
        if !is_dry_run && let Ok(action) = &order.action {
            self.events.record(action, id, outcome);
        }
    }

    /// Gives an order its result in the journal.
    pub fn store(&self, id: &EnvelopeId, hash: PayloadHash, outcome: &Outcome) {
        let Identity {
            agent_id,
            instance_id,
            ..
        } = &self.identity;
        let body = outcome.body(
            &Reporter {
                agent_id,
                instance_id,
            },
            hash,
        );
        if let Err(err) = self.inbox.journal().done(id, &body) {
            error!(target: ACTUATOR, "The result of action {id} could not be made durable: {err}");
        }
        let _ = self.results.try_send(());
    }
}

/// A standby looks this often for orders of its own whose time is over.
const STANDBY_LOOK: Duration = Duration::from_secs(2);

use protocol::Identity;

/// How long looking at what a crash has left may take.
const OBSERVATION: Duration = Duration::from_mins(1);

/// Runs a part of an action. A panic in it is that action's failure, not the thread's.
fn caught(id: &EnvelopeId, part: impl FnOnce() -> Ended) -> Ended {
    panic::catch_unwind(AssertUnwindSafe(part)).unwrap_or_else(|panic| {
        let why = panic_text(&*panic);
        error!(target: ACTUATOR, "Action {id} panicked: {why}");
        let message = format!("the agent made an error: {why}");
        Ended::new(Status::Failed, Some(Reason::Internal), message)
    })
}

fn journal_unavailable(why: &str) -> Ended {
    Ended::new(Status::Failed, Some(Reason::JournalUnavailable), why)
}

/// How long an action may take.
fn timeout(action: &Action) -> Duration {
    match action {
        Action::EvictPod(it) => it.timeout,
        Action::DrainNode(it) => it.timeout,
        Action::ScaleDeployment(it) => it.timeout,
        Action::SetImage(it) => it.timeout,
        Action::CordonNode(_) | Action::UncordonNode(_) | Action::LabelResource(_) => QUICK,
    }
}

/// An action that is a single write.
const QUICK: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests;
