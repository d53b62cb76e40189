//! Moves pods: sends the evictions that are due, and takes in what the watches see, until every pod is settled, the
//! time is over, or the agent stops.
//!
//! Evictions are sent one after the other by one thread: the server answers within milliseconds, and what takes long
//! is the end of the pods, of which many go on at once.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::time::{Duration, Instant};

use crate::kube::objects::Node;
use crossbeam_channel::select_biased;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use log::{debug, warn};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::eviction::{self, Answer, Answered, Discovery, Version};
use super::moves::one::Stage;
use super::moves::{Moves, Next};
use super::pods::{Controller, Pod};
use super::sight::{News, Sight};
use crate::actions::outcome::{Reason, Status};
use crate::actuator::context::{Context, Ended, Writes, create_dry_run};
use crate::logging::ACTUATOR;

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
    /// In place of the pods' own, in seconds.
    pub grace: Option<u32>,
    /// The uids of pods whose step is written down.
    stepped: HashSet<String>,
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
    TimedOut(Option<&'static str>),
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

/// Which version of the policy API the server speaks.
pub fn version(context: &Context<'_>) -> Result<Version, Ended> {
    match context.get::<Discovery>("/api/v1", "discovery") {
        Ok(Some(discovery)) => Ok(Version::of(&discovery)),
        // Not allowed to ask, as in a hardened cluster: the current one, and the other if that is refused.
        Ok(None) => Ok(Version::V1),
        Err(ended) if ended.reason == Some(Reason::Forbidden) => Ok(Version::V1),
        Err(ended) => Err(ended),
    }
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
            stepped: HashSet::new(),
            settled: 0,
            permit_at: None,
        }
    }

    /// The pods that the watch lists first.
    pub fn listed_pods(&self) -> Result<Vec<Pod>, Ended> {
        let mut pods: Vec<Pod> = Vec::new();
        loop {
            match self.await_news()? {
                News::Pod(pod) => {
                    pods.retain(|it| it.uid != pod.uid);
                    pods.push(*pod);
                }
                News::PodGone(uid) => pods.retain(|it| it.uid != uid),
                News::Pods(uids) => {
                    pods.retain(|it| uids.contains(&it.uid));
                    return Ok(pods);
                }
                News::Trouble(ended) => return Err(*ended),
                _ => (),
            }
        }
    }

    /// Watches the budgets of the pods' namespaces, and waits until they are listed. Budgets that cannot be read are
    /// no reason to end: the server asks them anyhow.
    pub fn learn_budgets(
        &mut self,
        others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>,
    ) -> Result<(), Ended> {
        let open = self.moves.all().iter().filter(|it| it.fate().is_none());
        let namespaces: BTreeSet<String> = open.map(|it| it.pod.namespace.clone()).collect();
        if namespaces.is_empty() {
            return Ok(());
        }
        self.sight
            .watch_budgets(self.api, namespaces)
            .map_err(|err| no_thread(&err))?;
        loop {
            let news = self.await_news()?;
            let is_last = match &news {
                News::Budgets(_) => true,
                News::Trouble(ended) => {
                    warn!(target: ACTUATOR, "Going on without disruption budgets: {}", ended.message);
                    true
                }
                _ => false,
            };
            self.take(news, others);
            if is_last {
                self.resolve();
                return Ok(());
            }
        }
    }

    fn await_news(&self) -> Result<News, Ended> {
        select_biased! {
            recv(self.context.stop.signal()) -> _ => {
                Err(Ended::interrupted("the agent was told to stop before anything was written"))
            }
            recv(self.sight.news) -> news => news.map_err(|_| no_watch()),
            default(self.context.left()) => {
                let message = "the cluster could not be read before the deadline";
                Err(Ended::new(Status::Failed, Some(Reason::TimedOut), message))
            }
        }
    }

    /// Asks the server of each pod what it would say to its eviction: its name and the answer.
    pub fn rehearse(&self) -> Result<Vec<Value>, Ended> {
        let mut plan = Vec::new();
        for it in self.moves.all() {
            if self.context.stop.requested() {
                return Err(Ended::interrupted("the agent was told to stop"));
            }
            let details = match &it.stage {
                Stage::Due { .. } | Stage::Held { .. } => {
                    let body = eviction::body(self.api, &it.pod, self.grace, true);
                    let path = eviction::path(&it.pod);
                    let answer = create_dry_run(self.context.kube, &path, RESOURCE, &body);
                    would(&Answered::of(answer))
                }
                Stage::Ending { .. } => json!({"would": "wait"}),
                Stage::Done(_) => it.details(Instant::now()),
            };
            plan.push(entry(&it.pod, &details));
        }
        Ok(plan)
    }

    /// Moves the pods. `others` is told of what else is seen, and may end it. Without the right to write, where all
    /// pods are ending already, nothing is evicted.
    pub fn run(
        &mut self,
        writes: Option<&Writes<'_>>,
        others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>,
    ) -> End {
        let end = loop {
            while let Ok(news) = self.sight.news.try_recv() {
                if let Some(why) = self.take(news, others) {
                    self.write_steps();
                    return End::Aborted(why);
                }
            }
            self.resolve();
            self.write_steps();
            if self.context.stop.requested() {
                break End::Stopped;
            }
            if self.context.left().is_zero() {
                break End::TimedOut(None);
            }
            let now = Instant::now();
            match self.moves.next(now) {
                Next::Done => break End::Settled,
                Next::Evict { index, again } => {
                    // There is something to evict, so the right to write was taken.
                    let Some(writes) = writes else {
                        break End::Aborted("nothing may be written".to_owned());
                    };
                    self.evict(writes, index, again);
                }
                Next::Wait(_) if self.is_exhausted() => {
                    let why = "MAX_EVICTIONS_PER_MINUTE leaves no eviction before the deadline";
                    break End::TimedOut(Some(why));
                }
                Next::Wait(until) => {
                    let held_up = self.moves.take_held_up();
                    self.context.metrics.evictions_blocked.inc_by(held_up);
                    let left = self.context.left();
                    let wait = until.map_or(left, |it| left.min(it.saturating_duration_since(now)));
                    if let Some(why) = self.pause(wait, others) {
                        self.write_steps();
                        return End::Aborted(why);
                    }
                }
            }
        };
        if end == End::Stopped {
            self.linger(others);
        }
        let held_up = self.moves.take_held_up();
        self.context.metrics.evictions_blocked.inc_by(held_up);
        self.write_steps();
        end
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
            News::Node(node) => return others(&mut self.moves, Other::Node(node)),
            // Tried again by the watch itself; held pods are asked for by the clock meanwhile.
            News::Trouble(ended) => debug!(target: ACTUATOR, "A watch {}", ended.message),
        }
        None
    }

    /// Learns how many pods those controllers want on which a verdict depends.
    fn resolve(&mut self) {
        while let Some((namespace, controller)) = self.moves.unresolved() {
            let wanted = self.wanted(&namespace, &controller);
            if self.context.stop.requested() {
                return;
            }
            self.moves.resolve(&controller, wanted, Instant::now());
        }
    }

    fn wanted(&self, namespace: &str, controller: &Controller) -> Option<i64> {
        #[derive(Deserialize)]
        struct Scaled {
            spec: Spec,
        }
        #[derive(Deserialize)]
        struct Spec {
            replicas: Option<i64>,
        }
        let (root, plural) = match (&*controller.api_version, &*controller.kind) {
            ("apps/v1", "ReplicaSet") => ("/apis/apps/v1", "replicasets"),
            ("apps/v1", "StatefulSet") => ("/apis/apps/v1", "statefulsets"),
            ("v1", "ReplicationController") => ("/api/v1", "replicationcontrollers"),
            _ => return None,
        };
        let path = format!("{root}/namespaces/{namespace}/{plural}/{}", controller.name);
        let found = self.context.get::<Scaled>(&path, plural);
        // Not known is not never: the pod is then waited for.
        found.ok().flatten().map(|it| it.spec.replicas.unwrap_or(1))
    }

    fn evict(&mut self, writes: &Writes<'_>, index: usize, again: bool) {
        if again && !self.still_there(index) {
            return;
        }
        let permit = match self.context.take_eviction() {
            Ok(permit) => permit,
            Err(wait) => {
                let at = Instant::now() + wait;
                self.permit_at = Some(at);
                self.moves.pause(at);
                return;
            }
        };
        self.permit_at = None;
        let mut answered = self.send(writes, index);
        if answered.answer == Answer::WrongVersion && self.api == Version::V1 {
            self.api = Version::V1Beta1;
            answered = self.send(writes, index);
        }
        let outcome = answered.answer.as_str();
        self.context
            .metrics
            .evictions
            .with_label_values(&[outcome])
            .inc();
        let pod = &self.moves.all()[index].pod;
        debug!(target: ACTUATOR, "The eviction of pod {}: {}", pod.path(), answered.text);
        if !matches!(
            answered.answer,
            Answer::Accepted | Answer::Failed | Answer::Lost
        ) {
            self.context.give_back_eviction(permit);
        }
        self.moves.answered(index, answered, Instant::now());
    }

    fn send(&self, writes: &Writes<'_>, index: usize) -> Answered {
        let pod = &self.moves.all()[index].pod;
        let body = eviction::body(self.api, pod, self.grace, false);
        Answered::of(writes.create::<meta::Status>(&eviction::path(pod), RESOURCE, &body))
    }

    /// Looks at a pod before it is asked for again: whether it is still the one, and still to be evicted.
    fn still_there(&mut self, index: usize) -> bool {
        let pod = &self.moves.all()[index].pod;
        let (uid, path) = (
            pod.uid.clone(),
            format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name),
        );
        match self.context.get::<Pod>(&path, "pods") {
            Ok(None) => self.moves.lost(&uid),
            Ok(Some(pod)) if pod.uid != uid => self.moves.replaced(index),
            Ok(Some(pod)) => {
                self.moves.seen(pod, Instant::now());
            }
            Err(_) => return !self.context.stop.requested(),
        }
        matches!(self.moves.all()[index].stage, Stage::Due { .. })
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

/// How requests for evictions are counted.
const RESOURCE: &str = "pods/eviction";

fn would(answered: &Answered) -> Value {
    match &answered.answer {
        Answer::Accepted => json!({"would": "evict"}),
        Answer::Budget(block) => {
            json!({"would": "wait_for_budget", "budget": block.details(), "message": block.text()})
        }
        other => json!({"would": "fail", "answer": other.as_str(), "message": answered.text}),
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

fn no_watch() -> Ended {
    Ended::new(Status::Failed, Some(Reason::Internal), "the watches ended")
}
