//! What the budgets say of each pod, with how many pods the controllers under them want.

use std::collections::HashMap;
use std::time::Instant;

use super::Moves;
use super::one::{Move, Stage};
use crate::actuator::execute::budgets::block::Block;
use crate::actuator::execute::budgets::{Budget, Verdict};
use crate::actuator::execute::pods::{Controller, Pod};

impl Moves {
    pub(super) fn verdict(&self, index: usize) -> Verdict {
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
    pub(super) fn recheck(&mut self, now: Instant, is_meant: impl Fn(usize, &Move) -> bool) {
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
}
