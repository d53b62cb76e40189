//! What follows from what the watches see of pods and budgets.

use std::collections::HashSet;
use std::time::Instant;

use super::one::{Fate, Stage};
use super::{ASK_AGAIN, Moves};
use crate::actuator::execute::budgets::{Budget, Key};
use crate::actuator::execute::drain::plan::{Refusal, refusal_details};
use crate::actuator::execute::pods::{Phase, Pod};

impl Moves {
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
        let forbidden = pod.protected_by.filter(|_| !is_ending && it.is_open());
        it.pod = pod;
        if has_left {
            self.gone(index);
        } else if is_ending && !matches!(it.stage, Stage::Ending { .. }) {
            it.stage = Stage::Ending {
                ours: it.maybe,
                since: now,
            };
        } else if let Some(annotation) = forbidden {
            // While it waited; what forbids an eviction at the beginning forbids it now.
            let details = refusal_details(&[Refusal::Protected(annotation)]);
            it.stage = Stage::Done(Fate::Refused(details));
        } else {
            // Its readiness or its labels may have changed.
            self.recheck(now, |this, it| this == index && it.fate().is_none());
        }
        true
    }

    /// A list shows this pod: if it counted as gone, that was too early, as where a list of the watch, read before the
    /// pod came, is taken in after it.
    pub fn still_listed(&mut self, pod: &Pod, now: Instant) {
        let Some(index) = self.position(&pod.uid) else {
            return;
        };
        let it = &mut self.pods[index];
        let Stage::Done(fate @ (Fate::Evicted | Fate::Gone | Fate::Replaced)) = &it.stage else {
            return;
        };
        if pod.phase == Phase::Finished {
            return;
        }
        it.stage = match pod.ending {
            Some(_) => Stage::Ending {
                ours: *fate == Fate::Evicted,
                since: now,
            },
            None => Stage::Due {
                at: now + ASK_AGAIN,
                ask: true,
            },
        };
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

    pub(super) fn gone(&mut self, index: usize) {
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
}
