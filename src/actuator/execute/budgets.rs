//! What disruption budgets say of a pod: which one holds it, by which numbers, and whether waiting can ever help.
//!
//! The API server decides; what is worked out here tells when asking it is worth while, and says why it refuses. The
//! rules are those of the server's eviction storage (`pkg/registry/core/pod/storage/eviction.go`) and of the
//! disruption controller (`pkg/controller/disruption`).

pub mod block;
pub mod object;

use std::collections::BTreeMap;

use super::pods::Pod;
use super::selector::Selector;
use block::Block;

/// What is kept of a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    namespace: String,
    name: String,
    /// `None`: it selects nothing.
    selector: Option<Selector>,
    demand: Demand,
    always_evicts_unhealthy: bool,
    /// The controller has not counted what was written last.
    is_stale: bool,
    allowed: i64,
    needs: i64,
    has: i64,
    expected: i64,
    /// The most pods that it was ever seen to expect.
    most: i64,
}

/// What its spec asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// So many pods, however many there are: `minAvailable` as a number.
    Count,
    /// A share of the pods that their controllers want, or all but so many of them.
    Share,
    /// Every pod: `maxUnavailable: 0`, `minAvailable: 100%`.
    All,
}

impl Budget {
    /// Whether it selects `pod`.
    pub fn selects(&self, pod: &Pod) -> bool {
        self.namespace == pod.namespace
            && (self.selector.as_ref()).is_some_and(|it| it.matches(&pod.labels))
    }

    fn block(&self, why: &str) -> Block {
        Block {
            budgets: vec![self.name.clone()],
            numbers: (!self.is_stale).then_some((self.needs, self.has)),
            why: why.to_owned(),
        }
    }
}

/// Namespace and name.
pub type Key = (String, String);

/// The budgets of some namespaces.
#[derive(Debug, Default)]
pub struct Budgets {
    by_key: BTreeMap<Key, Budget>,
}

/// Whether an eviction is worth asking for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No budget holds it.
    Free,
    /// One holds it now, and that may pass.
    Held(Block),
    /// Held for as long as neither budgets nor workloads are changed by somebody.
    Never(Block),
}

impl Budgets {
    /// A budget is so.
    pub fn set(&mut self, mut budget: Budget) {
        let key = (budget.namespace.clone(), budget.name.clone());
        if let Some(before) = self.by_key.get(&key) {
            budget.most = budget.most.max(before.most);
        }
        self.by_key.insert(key, budget);
    }

    /// A budget is gone.
    pub fn remove(&mut self, key: &Key) {
        self.by_key.remove(key);
    }

    /// Forgets all but those of these keys.
    pub fn keep(&mut self, keep: impl Fn(&Key) -> bool) {
        self.by_key.retain(|key, _| keep(key));
    }

    /// The server has just evicted `pod`: one disruption less, until the next count says more.
    pub fn spend(&mut self, pod: &Pod) {
        for it in self.by_key.values_mut().filter(|it| it.selects(pod)) {
            it.allowed -= 1;
        }
    }

    /// What the budgets say of `pod`. `wanted` is how many pods the controllers want whose pods its budget selects,
    /// where that is known.
    pub fn verdict(&self, pod: &Pod, wanted: Option<i64>) -> Verdict {
        if pod.ignores_budgets() {
            return Verdict::Free;
        }
        let matching: Vec<&Budget> = self.of(pod).collect();
        let budget = match matching[..] {
            [] => return Verdict::Free,
            [budget] => budget,
            _ => return Verdict::Never(overlap(&matching)),
        };
        if !pod.ready {
            let is_enough = budget.has >= budget.needs && budget.needs > 0;
            if budget.always_evicts_unhealthy || is_enough {
                return Verdict::Free;
            }
        }
        if budget.demand == Demand::All {
            return Verdict::Never(budget.block("it allows none of its pods to be missing"));
        }
        if budget.is_stale {
            return Verdict::Held(budget.block("its controller has not counted it yet"));
        }
        if budget.allowed > 0 {
            return Verdict::Free;
        }
        // One that has expected more has lost pods that may come back, and then it may allow one to go.
        let is_whole = budget.expected > 0 && budget.expected >= budget.most;
        let needs_all = is_whole && budget.needs >= budget.expected;
        match budget.demand {
            Demand::Share if needs_all => {
                Verdict::Never(budget.block("it needs as many pods as there shall be"))
            }
            // The expected pods of such a budget are those that exist: one that is just being replaced is not among
            // them. Only what their controllers want tells the two apart; more pods than that mean that others,
            // which we do not know of, have pods under it too.
            Demand::Count
                if needs_all
                    && wanted.is_some_and(|it| (budget.expected..=budget.needs).contains(&it)) =>
            {
                Verdict::Never(budget.block("it needs as many pods as there shall be"))
            }
            _ => Verdict::Held(budget.block("it allows no disruption now")),
        }
    }

    /// The budget of `pod`, if the verdict depends on how many pods the controllers under it want.
    pub fn asks_for<'a>(&'a self, pod: &'a Pod) -> Option<&'a Budget> {
        let budget = self.of(pod).next()?;
        let held = self.verdict(pod, None);
        let never = self.verdict(pod, Some(budget.needs));
        (held != never).then_some(budget)
    }

    /// Whether any budget selects `pod`.
    pub fn of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a Budget> {
        self.by_key.values().filter(|it| it.selects(pod))
    }
}

fn overlap(budgets: &[&Budget]) -> Block {
    Block {
        budgets: budgets.iter().map(|it| it.name.clone()).collect(),
        numbers: None,
        why: "more than one budget selects it, which the API server does not support".to_owned(),
    }
}

#[cfg(test)]
mod tests;
