//! `drain_node`: cordons a node and evicts its pods.
//!
//! All pods are classified, and their budgets asked, before anything is written: a drain that cannot succeed touches
//! nothing. Then the node is cordoned, and the pods go, many at once, as their budgets allow it.

mod arrivals;
mod daemons;
mod ending;
pub mod plan;
mod restore;

use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use super::cordon::change::set_cordon;
use super::mover::{self, Mover, Other, entry, no_thread, observed_pods};
use super::moves::Moves;
use super::moves::one::never_details;
use super::node;
use super::ownership::{Ownership, is_unschedulable};
use super::pods::Pod;
use super::sight::Sight;
use crate::actions::params::{DrainNode, OnFailure};
use crate::actuator::context::Context;
use crate::actuator::context::writes::Writes;
use crate::actuator::ended::{Ended, Written};
use crate::kube::objects::Node;
use daemons::Daemons;
use ending::Ending;
use plan::{Group, Lot, Rules, refusal_details};
use restore::Left;

/// Carries it out.
pub fn execute(it: &DrainNode, context: &Context<'_>) -> Result<Ended, Ended> {
    let Some(node) = read(it, context)? else {
        let ended = Ended::noop(format!("there is no node {}", it.node));
        return Ok(ended.with("outcome", "node_absent"));
    };
    thread::scope(|scope| {
        let sight = Sight::new(scope, context.kube);
        sight
            .watch_pods(None, format!("spec.nodeName={}", it.node))
            .map_err(|err| no_thread(&err))?;
        let api = mover::version(context)?;
        let mover = Mover::new(
            context,
            sight,
            api,
            it.max_parallel,
            it.grace_period_seconds,
        )
        .emptying(it.node.as_str());
        let drain = Drain {
            it,
            context,
            node,
            daemons: Daemons::new(context),
            kept: Vec::new(),
        };
        drain.run(mover)
    })
}

/// After a crash in the middle of it: whether the node is cordoned and empty.
pub fn observe(it: &DrainNode, context: &Context<'_>) -> Result<Ended, Ended> {
    let node = read(it, context).map_err(Ended::not_observed)?;
    let Some(node) = node else {
        let ended = Ended::succeeded(format!("there is no node {}", it.node));
        return Ok(ended.with("outcome", "node_absent"));
    };
    let mut daemons = Daemons::new(context);
    let mut left = Vec::new();
    let pods = observed_pods(context, it.node.as_str()).map_err(Ended::not_observed)?;
    for pod in pods {
        let lot = daemons
            .lot(&pod, Rules::from(it))
            .map_err(Ended::not_observed)?;
        if !matches!(lot, Lot::Skip(_)) {
            left.push(entry(&pod, &json!({"outcome": "present"})));
        }
    }
    let ended = match (is_unschedulable(&node), left.len()) {
        (true, 0) => Ended::succeeded(format!("node {} is cordoned and empty", it.node)),
        (false, n) => Ended::interrupted(format!(
            "node {} is not cordoned and has {n} pods to evict",
            it.node
        )),
        (true, n) => Ended::interrupted(format!(
            "node {} is cordoned and has {n} pods to evict",
            it.node
        )),
    };
    Ok(ended
        .with("after", node::state(&node, context.id))
        .with("pods", left))
}

/// The node; none if there is none. One of another uid than the action names is not it.
fn read(it: &DrainNode, context: &Context<'_>) -> Result<Option<Node>, Ended> {
    let path = format!("/api/v1/nodes/{}", it.node);
    if context.get::<Node>(&path, "nodes")?.is_none() {
        return Ok(None);
    }
    node::read_node(context, &it.node, it.node_uid.as_ref()).map(Some)
}

/// One drain under way.
struct Drain<'a, 'c> {
    it: &'a DrainNode,
    context: &'a Context<'c>,
    node: Node,
    daemons: Daemons<'a, 'c>,
    /// Pods that stay, as `details` list them.
    kept: Vec<Value>,
}

impl Drain<'_, '_> {
    fn run(mut self, mut mover: Mover<'_, '_, '_, '_>) -> Result<Ended, Ended> {
        let pods = mover.listed_pods()?;
        let mut refused = self.classify(pods, &mut mover.moves)?;
        // Also where it is refused already: whoever reads the list wants all of it.
        let mut early = Vec::new();
        mover.learn_budgets(&mut |_, other| {
            if let Other::Pod(pod) = other {
                early.push(*pod);
            }
            None
        })?;
        let is_listed = |uid: &str| {
            let listed = |them: &[Value]| them.iter().any(|it| it["uid"] == *uid);
            listed(&refused) || listed(&self.kept) || mover.moves.knows(uid)
        };
        early.retain(|it| !is_listed(&it.uid));
        early.sort_by(|a, b| a.uid.cmp(&b.uid));
        early.dedup_by(|a, b| a.uid == b.uid);
        refused.extend(self.classify(early, &mut mover.moves)?);
        let never = mover.moves.never();
        refused.extend((never.iter()).map(|(pod, block)| entry(pod, &never_details(block))));
        self.context
            .metrics
            .evictions_blocked
            .inc_by(never.len() as u64);
        if !refused.is_empty() {
            return Err(self.refusal(&refused, &mover.moves));
        }
        let is_cordoned = is_unschedulable(&self.node);
        if is_cordoned && mover.moves.all().is_empty() {
            let message = format!(
                "node {} was already cordoned and has no pods to evict",
                self.it.node
            );
            return Ok(self.unchanged(Ended::noop(message), Vec::new()));
        }
        if self.context.dry_run {
            let plan = mover.rehearse()?;
            let message = format!(
                "{} pods would be evicted from node {}",
                plan.len(),
                self.it.node
            );
            return Ok(self.unchanged(Ended::plan(message, plan.clone()), plan));
        }
        let writes = self.context.begin()?;
        let cordoned = set_cordon(self.context, &writes, &self.node)
            .map_err(|ended| self.not_begun(ended, &writes))?;
        let ours = cordoned.is_new && cordoned.ownership == Ownership::This;
        mover.has_read_node();
        // Only now: a list that is older than the cordon would look as if somebody had undone it.
        let watched = mover.sight.watch_node(self.it.node.as_str());
        watched.map_err(|err| {
            let ended = no_thread(&err);
            let ended = if ours {
                ended.having_written(Written::Done)
            } else {
                ended
            };
            self.not_begun(ended, &writes)
        })?;
        let end = mover.run(Some(&writes), &mut |moves, other| self.other(moves, other));
        let ending = Ending {
            it: self.it,
            context: self.context,
            writes: &writes,
            before: &self.node,
            ours,
            moves: &mover.moves,
            kept: &self.kept,
        };
        Ok(ending.ended(&end))
    }

    /// The end of a drain that failed before its first eviction; a cordon that may be ours by now is undone.
    fn not_begun(&self, ended: Ended, writes: &Writes<'_>) -> Ended {
        if !ended.has_written() || self.it.on_failure != OnFailure::Restore {
            return ended;
        }
        Left::restored(self.context, writes, &self.node).told_by(ended, &self.node)
    }

    /// Sorts the pods: those that go into `moves`, those that stay into `kept`; returns those that forbid it.
    fn classify(&mut self, pods: Vec<Pod>, moves: &mut Moves) -> Result<Vec<Value>, Ended> {
        let mut refused = Vec::new();
        let now = Instant::now();
        for pod in pods {
            match self.daemons.lot(&pod, Rules::from(self.it))? {
                Lot::Evict | Lot::Wait => {
                    let group = Group::of(&pod, self.daemons.is_own(&pod));
                    moves.add(pod, group, now);
                }
                Lot::Skip(why) => self.keep(&pod, why),
                Lot::Refuse(refusals) => refused.push(entry(&pod, &refusal_details(&refusals))),
            }
        }
        Ok(refused)
    }

    fn keep(&mut self, pod: &Pod, why: plan::Skip) {
        let details = json!({"outcome": "skipped", "reasons": [why.as_str()]});
        self.kept.push(entry(pod, &details));
    }

    /// The end of a drain that must not begin, with what would have become of each pod.
    fn refusal(&self, refused: &[Value], moves: &Moves) -> Ended {
        let names: Vec<String> = (refused.iter())
            .map(|it| {
                let text = |name: &str| it[name].as_str().unwrap_or_default();
                format!(
                    "{}/{} ({})",
                    text("namespace"),
                    text("name"),
                    text("message")
                )
            })
            .collect();
        let message = format!(
            "node {} cannot be drained as asked, so nothing was touched: {}",
            self.it.node,
            names.join(", ")
        );
        let is_refused = |it: &Value| refused.iter().any(|other| other["uid"] == it["uid"]);
        let waiting = moves
            .all()
            .iter()
            .map(|it| entry(&it.pod, &json!({"outcome": "not_tried"})));
        let mut pods: Vec<Value> = waiting.filter(|it| !is_refused(it)).collect();
        pods.splice(0..0, refused.iter().cloned());
        self.unchanged(Ended::precondition(message), pods)
    }

    /// `ended`, for a node that was not touched.
    fn unchanged(&self, ended: Ended, mut pods: Vec<Value>) -> Ended {
        pods.extend(self.kept.iter().cloned());
        let state = node::state(&self.node, self.context.id);
        ended
            .with("uid", self.node.metadata.uid.clone())
            .with("before", state.clone())
            .with("after", state)
            .with("counts", ending::counts(&pods))
            .with("pods", pods)
    }
}
