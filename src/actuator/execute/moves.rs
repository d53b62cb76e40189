//! Pods on their way out: which one to evict next, and what became of each. No clock and no socket of its own, so
//! that every order of answers and news can be tried in a test.
//!
//! ```text
//!  Due ----(asked)----> Ending ---(gone)---> Done
//!   ^ \                                       ^
//!   |  `--(budget, failure)--> Held/Due later |
//!   `--------(news, time)------'  `--(never)--'
//! ```

mod answers;
mod news;
pub mod one;
mod verdicts;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::budgets::block::Block;
use super::budgets::{Budgets, Verdict};
use super::drain::plan::Group;
use super::pods::{Controller, Pod};
use one::{Fate, Move, Stage};

/// A held pod is asked for again after this even without news: what we know of its budget may be wrong.
const ASK_AGAIN: Duration = Duration::from_secs(5);
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

    /// The same, of a pod that came in the place of one that was evicted (`may_move_again`).
    pub fn add_again(&mut self, pod: Pod, group: Group, now: Instant) {
        self.add(pod, group, now);
        if let Some(it) = self.pods.last_mut() {
            it.came_back = true;
        }
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
            came_back: false,
            maybe: false,
            failures: 0,
            in_a_row: 0,
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
        self.of(controller).any(Move::is_ours)
    }

    /// Whether one more pod of that controller may be evicted, though it came when one of them had been evicted
    /// already. A scheduler that has not heard of the cordon yet puts it there, once; a controller that chooses the
    /// node itself would do so for ever. So there may be as many as the controller had there before.
    pub fn may_move_again(&self, controller: &Controller) -> bool {
        let is_in_the_way =
            |it: &&Move| !matches!(it.fate(), Some(Fate::Returned | Fate::Refused(_)));
        let (again, before): (Vec<_>, Vec<_>) =
            (self.of(controller).filter(is_in_the_way)).partition(|it| it.came_back);
        again.len() < before.len()
    }

    fn of<'a>(&'a self, controller: &'a Controller) -> impl Iterator<Item = &'a Move> {
        let is_of = |it: &&Move| {
            let other = it.pod.controller.as_ref();
            other.is_some_and(|it| it.uid == controller.uid)
        };
        self.pods.iter().filter(is_of)
    }

    /// How many are settled.
    pub fn settled(&self) -> usize {
        self.pods.iter().filter(|it| it.fate().is_some()).count()
    }

    /// Whether all are out of the way.
    pub fn are_gone(&self) -> bool {
        let is_gone = |it: &Move| it.fate().is_some_and(Fate::is_good);
        self.pods.iter().all(is_gone)
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
                        // Two budgets at once, as while one takes the place of another: the server is asked, again and
                        // again, whether it stays so.
                        Verdict::Never(block) if block.budgets.len() > 1 => {
                            return self.evict(index);
                        }
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

    fn position(&self, uid: &str) -> Option<usize> {
        self.pods.iter().position(|it| it.pod.uid == uid)
    }
}

#[cfg(test)]
mod tests;
