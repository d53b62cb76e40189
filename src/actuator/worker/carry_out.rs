//! From an order that is ours to how its action ended.

use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use log::{error, info};
use time::OffsetDateTime;

use super::journaled::Journaled;
use super::{LOOK, Worker};
use crate::actions::action::Action;
use crate::actions::id::EnvelopeId;
use crate::actions::outcome::{Outcome, Reason, Status};
use crate::actions::policy::Decision;
use crate::actions::verify::{ActionOrder, Verified};
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;
use crate::actuator::execute::{execute, observe};
use crate::health::Component;
use crate::logging::ACTUATOR;
use crate::thread::panic_text;
use crate::thread::stop::Stop;
use crate::timestamp;

/// How long looking at what a crash has left may take.
const OBSERVATION: Duration = Duration::from_mins(1);
/// What an action may take beyond its time: the answer of a request under way, and a drain that gives its node back.
const OVERRUN: Duration = Duration::from_mins(1);
/// An action that is a single write.
const QUICK: Duration = Duration::from_mins(1);

impl Worker {
    /// Checks what only now can be checked, carries the order out, and gives it its result.
    pub(super) fn carry_out(
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
        component.period(timeout + OVERRUN);
        let began = (OffsetDateTime::now_utc(), Instant::now());
        let record = Journaled {
            worker: self,
            id,
            began: began.0,
        };
        let context = self.context(id, dry_run, began.1 + timeout, &record, stop);
        let ended = caught(id, || execute(action, &context));
        component.period(LOOK);
        self.metrics
            .action_seconds
            .with_label_values(&[action.kind().as_str()])
            .observe(began.1.elapsed().as_secs_f64());
        self.finish(verified, order, ended, Some(began.0));
    }

    /// Finds out what came of an order that was begun; false if it could not be, because of the stop.
    pub(super) fn look_back(
        &self,
        verified: &Verified,
        order: &ActionOrder,
        started_at: OffsetDateTime,
        steps: &[String],
        stop: &Stop,
    ) -> bool {
        let id = verified.id();
        info!(target: ACTUATOR, "Action {id} was under way when the agent ended: observing what came of it");
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
            ended = ended.with_steps(steps);
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
}

/// Runs a part of an action. A panic in it is that action's failure, not the thread's.
fn caught(id: &EnvelopeId, part: impl FnOnce() -> Ended) -> Ended {
    panic::catch_unwind(AssertUnwindSafe(part)).unwrap_or_else(|panic| {
        let why = panic_text(&*panic);
        error!(target: ACTUATOR, "Action {id} panicked: {why}");
        let message = format!("the agent made an error: {why}");
        Ended::new(Status::Failed, Some(Reason::Internal), message)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_failure_of_its_action() {
        let id = EnvelopeId::parse("act_1").unwrap();
        let ended = caught(&id, || panic!("what should not be"));
        assert_eq!(
            (ended.status, ended.reason),
            (Status::Failed, Some(Reason::Internal))
        );
        assert!(
            ended.message.contains("what should not be"),
            "{}",
            ended.message
        );
    }
}
