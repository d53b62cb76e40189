//! How a drain ends: its status, what became of each pod, and in which state the node is left.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use crate::actions::outcome::{Reason, Status};
use crate::actions::params::{DrainNode, OnFailure};
use crate::actuator::context::Context;
use crate::actuator::context::writes::Writes;
use crate::actuator::ended::Ended;
use crate::actuator::execute::mover::{End, entry};
use crate::actuator::execute::moves::Moves;
use crate::actuator::execute::moves::one::Move;
use crate::actuator::execute::node;
use crate::kube::objects::Node;

use super::restore::Left;

/// A drain that has ended.
pub(super) struct Ending<'a, 'c> {
    pub(super) it: &'a DrainNode,
    pub(super) context: &'a Context<'c>,
    pub(super) writes: &'a Writes<'c>,
    /// The node before it was cordoned.
    pub(super) before: &'a Node,
    /// Whether this action cordoned it.
    pub(super) ours: bool,
    pub(super) moves: &'a Moves,
    pub(super) kept: &'a [Value],
}

impl Ending<'_, '_> {
    /// What the action ends with.
    pub(super) fn ended(&self, end: &End) -> Ended {
        let now = Instant::now();
        let moves = self.moves.all();
        let is_left = |it: &&Move| !it.fate().is_some_and(|it| it.is_good());
        // First what a person wants to read, which is also what is kept where there is too much of it.
        let (left, gone): (Vec<_>, Vec<_>) = moves.iter().partition(is_left);
        let told = left
            .iter()
            .chain(&gone)
            .map(|it| entry(&it.pod, &it.details(now)));
        let pods: Vec<Value> = told.chain(self.kept.iter().cloned()).collect();

        let ended = self.status(end, &left);
        let node = self.node_after(&ended);
        let ended = if ended.status == Status::Succeeded && node.is_schedulable() {
            let message = format!("{}: somebody uncordoned the node meanwhile", ended.message);
            let status = Self::failure(self.moves);
            Ended::new(status, Some(Reason::PreconditionFailed), message)
        } else {
            ended
        };
        node.told_by(ended, self.before)
            .with("uid", self.before.metadata.uid.clone())
            .with("before", node::state(self.before, self.context.id))
            .with("cordoned_by_this", self.ours)
            .with("counts", counts(&pods))
            .with("pods", pods)
    }

    fn status(&self, end: &End, left: &[&Move]) -> Ended {
        let evicted = self.moves.evicted();
        let total = self.moves.all().len();
        let done = format!(
            "{evicted} of {total} pods evicted from node {}",
            self.it.node
        );
        // Where the time or the agent ended it, it was not looked whether these were all.
        if left.is_empty() && matches!(end, End::Settled | End::Aborted(_)) {
            return Ended::succeeded(done);
        }
        let status = Self::failure(self.moves);
        let first = left.first().map(|it| Self::why(it)).unwrap_or_default();
        match end {
            End::Stopped => Ended::interrupted(format!("{done} when the agent was told to stop")),
            End::Aborted(why) => Ended::new(
                status,
                Some(Reason::PreconditionFailed),
                format!("{done}: {why}"),
            ),
            End::TimedOut(Some(why)) => {
                Ended::new(status, Some(Reason::TimedOut), format!("{done}: {why}"))
            }
            End::TimedOut(None) => Ended::new(
                status,
                Some(Reason::TimedOut),
                format!(
                    "{done} when the time was over; {} left, such as {first}",
                    left.len()
                ),
            ),
            End::Settled => {
                let forbidden = |it: &&&Move| it.details(Instant::now())["outcome"] == "forbidden";
                let reason = match left.iter().find(forbidden) {
                    Some(_) => Reason::Forbidden,
                    None => Reason::ApiError,
                };
                let message = format!("{done}; {} left, such as {first}", left.len());
                Ended::new(status, Some(reason), message)
            }
        }
    }

    fn failure(moves: &Moves) -> Status {
        if moves.evicted() > 0 {
            Status::Partial
        } else {
            Status::Failed
        }
    }

    fn why(it: &Move) -> String {
        let details = it.details(Instant::now());
        let text = |name: &str| details[name].as_str().map(str::to_owned);
        let why = text("message")
            .or_else(|| text("outcome"))
            .unwrap_or_default();
        format!("{} ({why})", it.pod.path())
    }

    /// Our cordon is undone only where the drain has failed, has evicted nothing, and is told to restore.
    fn node_after(&self, ended: &Ended) -> Left {
        let is_over = matches!(ended.status, Status::Failed | Status::Interrupted);
        let restore = is_over
            && self.ours
            && self.it.on_failure == OnFailure::Restore
            && self.moves.evicted() == 0;
        if restore {
            Left::restored(self.context, self.writes, self.before)
        } else {
            Left::as_found(self.context, self.before)
        }
    }
}

/// How many pods had which outcome.
pub(super) fn counts(pods: &[Value]) -> Value {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for pod in pods {
        let outcome = pod["outcome"].as_str().or_else(|| pod["would"].as_str());
        *counts.entry(outcome.unwrap_or_default()).or_default() += 1;
    }
    json!(counts)
}
