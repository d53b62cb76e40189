//! Moves pods: sends the evictions that are due, and takes in what the watches see, until every pod is settled, the
//! time is over, or the agent stops.
//!
//! Evictions are sent one after the other by one thread: the server answers within milliseconds, and what takes long
//! is the end of the pods, of which many go on at once.

mod evict;
mod last_look;
mod learn;
mod node;

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::select_biased;
use log::debug;
use serde_json::{Map, Value, json};

use super::eviction::Version;
use super::moves::{Moves, Next};
use super::pods::Pod;
use super::sight::{News, Sight, Watched};
use crate::actions::outcome::{Reason, Status};
use crate::actuator::context::Context;
use crate::actuator::context::writes::Writes;
use crate::actuator::ended::Ended;
use crate::kube::objects::Node;
use crate::logging::ACTUATOR;

use last_look::LOOK_AGAIN;
pub use last_look::observed_pods;
pub use learn::version;
use node::Emptied;

/// How long after the stop the end of evicted pods is still waited for, of the 5.5 s that an action has then.
const LINGER: Duration = Duration::from_secs(3);

/// Moves pods for one action.
pub struct Mover<'a, 'c, 'scope, 'env> {
    /// The action.
    pub context: &'a Context<'c>,
    /// What is seen.
    pub sight: Sight<'scope, 'env>,
    /// The pods.
    pub moves: Moves,
    /// The version that the server speaks.
    pub api: Version,
    /// In place of the pods' own, in seconds; the agent's pod keeps its own.
    pub grace: Option<u32>,
    /// The uids of pods whose step is written down.
    stepped: HashSet<String>,
    /// The node that shall be empty in the end.
    node: Option<Emptied>,
    settled: usize,
    /// When MAX_EVICTIONS_PER_MINUTE allows the next eviction, while it allows none.
    permit_at: Option<Instant>,
}

/// Why it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every pod is settled, well or not.
    Settled,
    /// The time is over; why, where more can be said.
    TimedOut(Option<String>),
    /// The agent stops.
    Stopped,
    /// Something else has happened that ends it.
    Aborted(String),
}

/// What the watches saw beside the pods that are moved and their budgets.
pub enum Other {
    /// A pod that is none of them.
    Pod(Box<Pod>),
    /// The node, or its absence.
    Node(Option<Box<Node>>),
}

impl<'a, 'c, 'scope, 'env> Mover<'a, 'c, 'scope, 'env> {
    /// Moves nothing yet.
    pub fn new(
        context: &'a Context<'c>,
        sight: Sight<'scope, 'env>,
        api: Version,
        max_parallel: u32,
        grace: Option<u32>,
    ) -> Self {
        Self {
            context,
            sight,
            moves: Moves::new(max_parallel),
            api,
            grace,
            node: None,
            stepped: HashSet::new(),
            settled: 0,
            permit_at: None,
        }
    }

    /// The same, to empty this node: it is settled only when a list says that no pod was missed.
    #[must_use]
    pub fn emptying(self, node: &str) -> Self {
        Self {
            node: Some(Emptied::new(node)),
            ..self
        }
    }

    /// Moves the pods. `others` is told of what else is seen, and may end it. Without the right to write, where all
    /// pods are ending already, nothing is evicted.
    pub fn run(
        &mut self,
        writes: Option<&Writes<'_>>,
        others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>,
    ) -> End {
        let mut end = self.go(writes, others);
        if end == End::Stopped {
            self.linger(others);
            end = self.stopped(others);
        }
        let held_up = self.moves.take_held_up();
        self.context.metrics.evictions_blocked.inc_by(held_up);
        self.write_steps();
        end
    }

    fn go(
        &mut self,
        writes: Option<&Writes<'_>>,
        others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>,
    ) -> End {
        // Nothing was evicted or waited for since the last look.
        let mut looked = false;
        loop {
            while let Ok(news) = self.sight.news.try_recv() {
                if let Some(why) = self.take(news, others) {
                    return End::Aborted(why);
                }
            }
            self.resolve();
            self.write_steps();
            if self.context.stop.requested() {
                return End::Stopped;
            }
            let next = self.moves.next(Instant::now());
            let is_last = self.is_last(next);
            let is_over = self.context.left().is_zero();
            if is_last && !looked {
                looked = true;
                if let Err(why) = self.last_look(others) {
                    if is_over {
                        return End::TimedOut(Some(why));
                    }
                    looked = false;
                    if let Some(why) = self.pause(LOOK_AGAIN.min(self.context.left()), others) {
                        return End::Aborted(why);
                    }
                }
                continue;
            }
            looked = is_last;
            match next {
                Next::Done => return End::Settled,
                _ if is_over => return End::TimedOut(None),
                Next::Evict { index, again } => {
                    // There is something to evict, so the right to write was taken.
                    let Some(writes) = writes else {
                        return End::Aborted("nothing may be written".to_owned());
                    };
                    match self.look_at_node(others) {
                        Ok(()) => self.evict(writes, index, again),
                        Err(Some(why)) => return End::Aborted(why),
                        Err(None) => (),
                    }
                }
                Next::Wait(_) if self.is_exhausted() => {
                    let why = "MAX_EVICTIONS_PER_MINUTE leaves no eviction before the deadline";
                    return End::TimedOut(Some(why.to_owned()));
                }
                Next::Wait(until) => {
                    let held_up = self.moves.take_held_up();
                    self.context.metrics.evictions_blocked.inc_by(held_up);
                    let left = self.context.left();
                    let now = Instant::now();
                    let wait = until.map_or(left, |it| left.min(it.saturating_duration_since(now)));
                    if let Some(why) = self.pause(wait, others) {
                        return End::Aborted(why);
                    }
                }
            }
        }
    }

    /// Nothing is under way, and nothing may begin before the deadline.
    fn is_exhausted(&self) -> bool {
        self.moves.ending() == 0 && self.permit_at.is_some_and(|it| it >= self.context.deadline)
    }

    /// Waits for news; what they say may be the end.
    fn pause(
        &mut self,
        wait: Duration,
        others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>,
    ) -> Option<String> {
        let news = select_biased! {
            recv(self.context.stop.signal()) -> _ => None,
            recv(self.sight.news) -> news => news.ok(),
            default(wait) => None,
        };
        self.take(news?, others)
    }

    /// After the stop: nothing more is begun, but what is ending may end.
    fn linger(&mut self, others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>) {
        let until = Instant::now() + LINGER;
        while self.moves.ending() > 0 {
            let left = until.saturating_duration_since(Instant::now());
            match self.sight.news.recv_timeout(left) {
                Ok(news) => drop(self.take(news, others)),
                Err(_) => return,
            }
        }
    }

    fn take(
        &mut self,
        news: News,
        others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>,
    ) -> Option<String> {
        let now = Instant::now();
        match news {
            News::Pod(pod) if self.moves.knows(&pod.uid) => {
                self.moves.seen(*pod, now);
            }
            News::Pod(pod) => return others(&mut self.moves, Other::Pod(pod)),
            News::PodGone(uid) => self.moves.lost(&uid),
            News::Pods(uids) => self.moves.only(&uids),
            News::Budget(budget) => self.moves.budget(*budget, now),
            News::BudgetGone(key) => self.moves.no_budget(&key, now),
            News::Budgets(keys) => self.moves.only_budgets(&keys, now),
            News::Node(found) => {
                if let Some(node) = &mut self.node {
                    node.seen();
                }
                return others(&mut self.moves, Other::Node(found));
            }
            // Tried again by the watch itself; held pods are asked for by the clock meanwhile, and the node is read.
            News::Trouble(what, ended) => {
                debug!(target: ACTUATOR, "A watch {}", ended.message);
                if let (Watched::Node, Some(node)) = (what, &mut self.node) {
                    node.out_of_sight();
                }
            }
        }
        None
    }

    /// Writes down what an eviction has done, and says how far it is.
    fn write_steps(&mut self) {
        for it in self.moves.all().iter().filter(|it| it.is_ours()) {
            if self.stepped.insert(it.pod.uid.clone()) {
                let step = json!({"pod": it.pod.path(), "uid": it.pod.uid, "outcome": "evicted"});
                self.context.record.step(&step);
            }
        }
        let (settled, total) = (self.moves.settled(), self.moves.all().len());
        if settled != self.settled {
            self.settled = settled;
            let count = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
            self.context
                .record
                .progress("pods settled", count(settled), count(total));
        }
    }
}

/// A pod as `details` list it.
pub fn entry(pod: &Pod, details: &Value) -> Value {
    let mut entry = Map::new();
    entry.insert("namespace".to_owned(), pod.namespace.as_str().into());
    entry.insert("name".to_owned(), pod.name.as_str().into());
    entry.insert("uid".to_owned(), pod.uid.as_str().into());
    if let Some(it) = &pod.controller {
        entry.insert(
            "workload".to_owned(),
            json!({"kind": it.kind, "name": it.name}),
        );
    }
    if let Value::Object(members) = details {
        entry.extend(members.clone());
    }
    Value::Object(entry)
}

/// No thread could be started.
pub fn no_thread(err: &io::Error) -> Ended {
    Ended::new(
        Status::Failed,
        Some(Reason::Internal),
        format!("failed to start a thread: {err}"),
    )
}
