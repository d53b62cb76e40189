//! Pods on their way out: which one to evict next, and what became of each. No clock and no socket of its own, so
//! that every order of answers and news can be tried in a test.
//!
//! ```text
//!  Due ----(asked)----> Ending ---(gone)---> Done
//!   ^ \                                       ^
//!   |  `--(budget, failure)--> Held/Due later |
//!   `--------(news, time)------'  `--(never)--'
//! ```

pub mod one;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::budgets::{Block, Budget, Budgets, Key, Verdict};
use super::drain::plan::Group;
use super::eviction::{Answer, Answered};
use super::pods::{Controller, Phase, Pod};
use one::{Fate, Move, Stage};

/// A held pod is asked for again after this even without news: what we know of its budget may be wrong.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// A failure without a wish for a pause: this at first, doubled each time...
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// ...up to this.
const RETRY_MOST: Duration = Duration::from_secs(5);
/// The pause after a 429 of API priority and fairness that names none.
const THROTTLED: Duration = Duration::from_secs(1);
/// Tries of an eviction that the server answers with 500: it may pass, but mostly does not.
const TRIES_OF_500: u32 = 4;

/// All pods that one action moves.
pub struct Moves {
    pods: Vec<Move>,
    budgets: Budgets,
    /// How many pods a controller wants, by its uid; `None` where that cannot be known.
    wanted: HashMap<String, Option<i64>>,
    max_parallel: usize,
    paused_until: Option<Instant>,
    held_up: u64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Evict the pod of this index. If it was tried before, look at it first.
    Evict {
        /// Its index.
        index: usize,
        /// It was tried before.
        again: bool,
    },
    /// Nothing, until there is news or it is this late.
    Wait(Option<Instant>),
    /// Every pod is settled.
    Done,
}

impl Moves {
    /// None yet; so many at once.
    pub fn new(max_parallel: u32) -> Self {
        Self {
            pods: Vec::new(),
            budgets: Budgets::default(),
            wanted: HashMap::new(),
            max_parallel: max_parallel as usize,
            paused_until: None,
            held_up: 0,
        }
    }

    /// One more pod that shall go, or is going.
    pub fn add(&mut self, pod: Pod, group: Group, now: Instant) {
        let stage = match pod.ending {
            Some(_) => Stage::Ending {
                ours: false,
                since: now,
            },
            None => Stage::Due {
                at: now,
                ask: false,
            },
        };
        self.push(pod, group, stage);
    }

    /// One more pod that is settled from the start.
    pub fn add_settled(&mut self, pod: Pod, fate: Fate) {
        self.push(pod, Group::Ordinary, Stage::Done(fate));
    }

    fn push(&mut self, pod: Pod, group: Group, stage: Stage) {
        self.pods.push(Move {
            pod,
            group,
            stage,
            maybe: false,
            failures: 0,
            was_asked: false,
            block: None,
            last: None,
        });
    }

    /// All pods.
    pub fn all(&self) -> &[Move] {
        &self.pods
    }

    /// Whether a pod of this uid is one of them.
    pub fn knows(&self, uid: &str) -> bool {
        self.position(uid).is_some()
    }

    /// Whether a pod of that controller was evicted.
    pub fn has_moved_one_of(&self, controller: &Controller) -> bool {
        let ours = |it: &&Move| it.is_ours();
        let mut moved = self.pods.iter().filter(ours);
        moved.any(|it| {
            it.pod
                .controller
                .as_ref()
                .is_some_and(|it| it.uid == controller.uid)
        })
    }

    /// How many are settled.
    pub fn settled(&self) -> usize {
        self.pods.iter().filter(|it| it.fate().is_some()).count()
    }

    /// How many an eviction of ours has ended, or is ending.
    pub fn evicted(&self) -> usize {
        self.pods.iter().filter(|it| it.is_ours()).count()
    }

    /// How many are going at this moment.
    pub fn ending(&self) -> usize {
        let ending = |it: &&Move| matches!(it.stage, Stage::Ending { .. });
        self.pods.iter().filter(ending).count()
    }

    /// How often budgets have held up a pod since the last call.
    pub fn take_held_up(&mut self) -> u64 {
        std::mem::take(&mut self.held_up)
    }

    /// What to do now.
    pub fn next(&mut self, now: Instant) -> Next {
        let unsettled = self.pods.iter().filter(|it| it.fate().is_none());
        let Some(group) = unsettled.map(|it| it.group).min() else {
            return Next::Done;
        };
        // Its own pod takes the agent away: not before all others have gone.
        if group == Group::Own && !self.pods.iter().all(Move::may_succeed) {
            return Next::Done;
        }
        let mut room = self.max_parallel.saturating_sub(self.in_flight());
        let mut until = self.paused_until.filter(|it| *it > now);
        if until.is_some() {
            room = 0;
        }
        for index in 0..self.pods.len() {
            let it = &mut self.pods[index];
            if it.group != group {
                continue;
            }
            if let Stage::Held { until } = it.stage
                && until <= now
            {
                it.stage = Stage::Due { at: now, ask: true };
            }
            match it.stage {
                Stage::Held { until: at } => until = Some(until.map_or(at, |it| it.min(at))),
                Stage::Due { at, .. } if at > now => {
                    until = Some(until.map_or(at, |it| it.min(at)));
                }
                Stage::Due { ask, .. } if room > 0 => {
                    if ask {
                        return self.evict(index);
                    }
                    match self.verdict(index) {
                        Verdict::Free => return self.evict(index),
                        Verdict::Held(block) => {
                            self.hold(index, block, now + ASK_AGAIN);
                            let at = now + ASK_AGAIN;
                            until = Some(until.map_or(at, |it| it.min(at)));
                        }
                        Verdict::Never(block) => {
                            self.pods[index].stage = Stage::Done(Fate::Never(block));
                            return self.next(now);
                        }
                    }
                }
                Stage::Due { .. } | Stage::Ending { .. } | Stage::Done(_) => (),
            }
        }
        Next::Wait(until)
    }

    fn evict(&self, index: usize) -> Next {
        let again = self.pods[index].was_asked;
        Next::Evict { index, again }
    }

    fn in_flight(&self) -> usize {
        let ours = |it: &&Move| matches!(it.stage, Stage::Ending { ours: true, .. });
        self.pods.iter().filter(ours).count()
    }

    fn verdict(&self, index: usize) -> Verdict {
        let pod = &self.pods[index].pod;
        let budget = self.budgets.asks_for(pod);
        self.budgets
            .verdict(pod, budget.and_then(|it| self.wanted_under(it)))
    }

    /// How many pods the controllers want that have pods under a budget, the moved ones among them; `None` if that
    /// cannot be known.
    fn wanted_under(&self, budget: &Budget) -> Option<i64> {
        let mut wanted = HashMap::new();
        for it in self.pods.iter().filter(|it| budget.selects(&it.pod)) {
            let uid = &it.pod.controller.as_ref()?.uid;
            wanted.insert(uid, (*self.wanted.get(uid)?)?);
        }
        Some(wanted.into_values().sum())
    }

    fn hold(&mut self, index: usize, block: Block, until: Instant) {
        let it = &mut self.pods[index];
        // Once for each time that it is held, not for each time that it is asked for in vain.
        if it.block.is_none() {
            self.held_up += 1;
        }
        it.block = Some(block);
        it.stage = Stage::Held { until };
    }

    /// No eviction before `until`.
    pub fn pause(&mut self, until: Instant) {
        self.paused_until = Some(until);
    }

    /// The server's answer to the eviction of the pod of this index.
    pub fn answered(&mut self, index: usize, answered: Answered, now: Instant) {
        let it = &mut self.pods[index];
        it.was_asked = true;
        let later = |failures: u32| {
            let pause = RETRY_FIRST
                .saturating_mul(1 << failures.min(10))
                .min(RETRY_MOST);
            Stage::Due {
                at: now + answered.retry_after.unwrap_or(pause),
                ask: true,
            }
        };
        match &answered.answer {
            Answer::Accepted => {
                it.block = None;
                it.stage = if it.group == Group::Own {
                    Stage::Done(Fate::Accepted)
                } else {
                    Stage::Ending {
                        ours: true,
                        since: now,
                    }
                };
                let pod = it.pod.clone();
                self.budgets.spend(&pod);
            }
            Answer::Gone => self.gone(index),
            Answer::Budget(block) => {
                let mut block = block.clone();
                // The server knows best that it is held; by what, the budgets may tell better.
                if let Verdict::Never(known) = self.verdict(index) {
                    self.pods[index].stage = Stage::Done(Fate::Never(known));
                    return;
                }
                if let (true, Verdict::Held(known)) = (block.numbers.is_none(), self.verdict(index))
                {
                    block = known;
                }
                let until = now + answered.retry_after.unwrap_or(ASK_AGAIN).max(ASK_AGAIN);
                for other in self.pods.iter_mut().filter(|it| it.is_held_by(&block)) {
                    other.stage = Stage::Held { until };
                }
                self.hold(index, block, until);
            }
            Answer::Overlap => {
                let block = match self.verdict(index) {
                    Verdict::Never(block) => block,
                    _ => Block::read(&answered.text),
                };
                self.pods[index].stage = Stage::Done(Fate::Never(block));
            }
            Answer::Throttled => {
                it.stage = later(0);
                let until = now + answered.retry_after.unwrap_or(THROTTLED);
                self.paused_until = Some(until);
            }
            Answer::Conflict => {
                it.stage = later(it.failures);
                it.failures += 1;
            }
            Answer::NotNow => {
                it.stage = Stage::Due {
                    at: now + answered.retry_after.unwrap_or(ASK_AGAIN),
                    ask: true,
                };
            }
            Answer::Failed | Answer::Lost => {
                it.maybe = true;
                it.failures += 1;
                let is_500 = answered.status.as_ref().is_some_and(|it| it["code"] == 500);
                it.stage = if is_500 && it.failures >= TRIES_OF_500 {
                    Stage::Done(Fate::Failed(Box::new(answered.clone())))
                } else {
                    later(it.failures - 1)
                };
            }
            Answer::Forbidden | Answer::WrongVersion | Answer::Refused => {
                it.stage = Stage::Done(Fate::Failed(Box::new(answered.clone())));
            }
        }
        self.pods[index].last = Some(answered);
    }

    /// A pod is so now. False if it is none of these.
    pub fn seen(&mut self, pod: Pod, now: Instant) -> bool {
        let Some(index) = self.position(&pod.uid) else {
            return false;
        };
        let it = &mut self.pods[index];
        if it.fate().is_some() {
            return true;
        }
        let has_left =
            pod.phase == Phase::Finished || it.pod.node.is_some() && pod.node != it.pod.node;
        let is_ending = pod.ending.is_some();
        it.pod = pod;
        if has_left {
            self.gone(index);
        } else if is_ending && !matches!(it.stage, Stage::Ending { .. }) {
            it.stage = Stage::Ending {
                ours: it.maybe,
                since: now,
            };
        } else {
            // Its readiness or its labels may have changed.
            self.recheck(now, |this, it| this == index && it.fate().is_none());
        }
        true
    }

    /// The pod of this uid is gone.
    pub fn lost(&mut self, uid: &str) {
        if let Some(index) = self.position(uid) {
            self.gone(index);
        }
    }

    /// These are all pods there are now.
    pub fn only(&mut self, uids: &HashSet<String>) {
        for index in 0..self.pods.len() {
            if !uids.contains(&self.pods[index].pod.uid) {
                self.gone(index);
            }
        }
    }

    /// Another pod has the name of the one of this index.
    pub fn replaced(&mut self, index: usize) {
        self.gone(index);
        let it = &mut self.pods[index];
        if it.stage == Stage::Done(Fate::Gone) {
            it.stage = Stage::Done(Fate::Replaced);
        }
    }

    fn gone(&mut self, index: usize) {
        let it = &mut self.pods[index];
        let fate = match it.stage {
            Stage::Ending { ours: true, .. } => Fate::Evicted,
            Stage::Done(_) => return,
            _ if it.maybe => Fate::Evicted,
            _ => Fate::Gone,
        };
        it.stage = Stage::Done(fate);
    }

    /// A budget is so now.
    pub fn budget(&mut self, budget: Budget, now: Instant) {
        let selected: HashSet<String> = self.selected_by(&budget);
        self.budgets.set(budget);
        self.recheck(now, |_, it| selected.contains(&it.pod.uid));
    }

    /// A budget is gone.
    pub fn no_budget(&mut self, key: &Key, now: Instant) {
        self.budgets.remove(key);
        self.recheck(now, |_, it| it.pod.namespace == key.0);
    }

    /// These are all budgets there are now.
    pub fn only_budgets(&mut self, keys: &HashSet<Key>, now: Instant) {
        self.budgets.keep(|it| keys.contains(it));
        self.recheck(now, |_, _| true);
    }

    fn selected_by(&self, budget: &Budget) -> HashSet<String> {
        let selected = self.pods.iter().filter(|it| budget.selects(&it.pod));
        selected.map(|it| it.pod.uid.clone()).collect()
    }

    /// A controller, and its namespace, on whose number of pods a verdict depends and which is not known yet.
    pub fn unresolved(&self) -> Option<(String, Controller)> {
        let open = self.pods.iter().filter(|it| it.is_open());
        let asking = open.filter_map(|it| self.budgets.asks_for(&it.pod));
        let under = asking.flat_map(|budget| self.pods.iter().filter(|it| budget.selects(&it.pod)));
        let mut controllers =
            under.filter_map(|it| Some((&it.pod.namespace, it.pod.controller.as_ref()?)));
        let unknown = controllers.find(|(_, it)| !self.wanted.contains_key(&it.uid));
        unknown.map(|(namespace, it)| (namespace.clone(), it.clone()))
    }

    /// So many pods that controller wants; `None` if that cannot be known.
    pub fn resolve(&mut self, controller: &Controller, wanted: Option<i64>, now: Instant) {
        self.wanted.insert(controller.uid.clone(), wanted);
        // Of a budget over several controllers any pod may depend on it.
        self.recheck(now, |_, _| true);
    }

    /// Held pods of which the news may have made free ones, or lost ones.
    fn recheck(&mut self, now: Instant, is_meant: impl Fn(usize, &Move) -> bool) {
        for index in 0..self.pods.len() {
            let it = &self.pods[index];
            if matches!(it.stage, Stage::Held { .. }) && is_meant(index, it) {
                match self.verdict(index) {
                    Verdict::Held(block) => self.pods[index].block = Some(block),
                    Verdict::Free | Verdict::Never(_) => {
                        self.pods[index].stage = Stage::Due {
                            at: now,
                            ask: false,
                        };
                    }
                }
            }
        }
    }

    /// The pods that their budgets never allow to go, as far as is known.
    pub fn never(&self) -> Vec<(&Pod, Block)> {
        let open = (0..self.pods.len()).filter(|it| self.pods[*it].is_open());
        let judged = open.map(|it| (&self.pods[it].pod, self.verdict(it)));
        let never = judged.filter_map(|(pod, verdict)| match verdict {
            Verdict::Never(block) => Some((pod, block)),
            Verdict::Free | Verdict::Held(_) => None,
        });
        never.collect()
    }

    fn position(&self, uid: &str) -> Option<usize> {
        self.pods.iter().position(|it| it.pod.uid == uid)
    }
}

#[cfg(test)]
mod tests;
