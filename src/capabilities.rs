//! What the agent can do with the permissions that it has: asked of the API server at the start, every few minutes, and
//! when something was refused. What cannot be done is switched off and said so everywhere, and comes back by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use log::{debug, info, warn};

use crate::actions::action::{Action, ActionKind};
use crate::actions::policy::Policy;
use crate::health::{Component, Health};
use crate::kube::Client;
use crate::kube::refusals::Refusals;
use crate::kube::review::{Scope, review};
use crate::logging::MAIN;
use crate::metrics::Metrics;
use crate::rbac::capability::{Access, Capability, Lack, deciding, lacking, wanted};
use crate::thread::stop::{Never, Stop};

/// Permissions change rarely, and what is refused is noticed at once.
pub const PERIOD: Duration = Duration::from_mins(5);
/// While something is off somebody may be granting it at this moment.
const AGAIN: Duration = Duration::from_mins(1);
/// A server that refuses one request after the other is not asked after each.
const SETTLE: Duration = Duration::from_secs(1);

/// What can be done, and why not.
pub struct Capabilities {
    allowed: BTreeSet<ActionKind>,
    writes: bool,
    refusals: Arc<Refusals>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Closed once the first look is done.
    first: (Mutex<Option<Sender<Never>>>, Receiver<Never>),
}

#[derive(Default)]
struct State {
    /// What the API server said; what it does not say is known by its refusals alone.
    answers: BTreeMap<Access, bool>,
    off: BTreeMap<Capability, Lack>,
}

impl Capabilities {
    /// Everything that `policy` allows counts as possible until the first look.
    pub fn new(
        policy: &Policy,
        refusals: Arc<Refusals>,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (sender, first) = bounded(0);
        Self {
            allowed: policy.allowed_actions.clone(),
            writes: !policy.dry_run,
            refusals,
            health,
            metrics,
            state: Mutex::default(),
            first: (Mutex::new(Some(sender)), first),
        }
    }

    /// The component `permissions`: looks until the stop.
    pub fn run(&self, kube: &Client, component: &Component, stop: &Stop) -> Result<(), Never> {
        loop {
            component.beat();
            self.ask(kube, &deciding(&self.allowed, self.writes), stop);
            self.settle();
            drop(lock(&self.first.0).take());
            let pause = match self.reason() {
                Some(reason) => {
                    component.degraded(&reason);
                    AGAIN
                }
                None => {
                    component.running();
                    PERIOD
                }
            };
            #[cfg(feature = "test-hooks")]
            let pause = crate::test_hooks::hastened(pause);
            select_biased! {
                recv(stop.signal()) -> _ => return Ok(()),
                recv(self.refusals.news()) -> _ => if stop.wait(SETTLE) { return Ok(()) },
                default(pause) => (),
            }
        }
    }

    /// Waits at most `limit` for the first look.
    pub fn wait_known(&self, limit: Duration, stop: &Stop) {
        select_biased! {
            recv(stop.signal()) -> _ => (),
            recv(self.first.1) -> _ => (),
            default(limit) => (),
        }
    }

    /// The actions that can be carried out, by policy and permission: what the registration says.
    pub fn actions(&self) -> Vec<&'static str> {
        let state = self.state();
        let can = |it: &&ActionKind| !state.off.contains_key(&Capability::Action(**it));
        let actions = self.allowed.iter().filter(can);
        actions.map(|it| it.as_str()).collect()
    }

    /// What this very action lacks. Looked at anew before it is said: it may have been granted since.
    pub fn lack(&self, action: &Action, kube: &Client) -> Option<Lack> {
        let lack = lacking(action, self.writes, |it| self.may(&self.state(), it))?;
        self.ask(kube, &lack.accesses().copied().collect(), kube.stop());
        self.settle();
        lacking(action, self.writes, |it| self.may(&self.state(), it))
    }

    fn may(&self, state: &State, access: &Access) -> bool {
        match state.answers.get(access) {
            Some(answer) => *answer,
            None => !self.refusals.holds(access.verb, &access.label()),
        }
    }

    /// Asks about each of `accesses`. What has no answer keeps the last one, except where asking itself is forbidden.
    fn ask(&self, kube: &Client, accesses: &BTreeSet<Access>, stop: &Stop) {
        for access in accesses {
            if stop.requested() {
                return;
            }
            match review(kube, access, Scope::default()) {
                Ok(allowed) => {
                    self.state().answers.insert(*access, allowed);
                }
                Err(err) if err.is_forbidden() || err.is_not_found() => {
                    debug!(target: MAIN, "What the agent may do is learned from refusals alone: {err}");
                    self.state().answers.clear();
                    return;
                }
                // The rest would not fare better.
                Err(err) => {
                    debug!(target: MAIN, "What the agent may do is not known: {err}");
                    return;
                }
            }
        }
    }

    /// Says what has changed, once.
    fn settle(&self) {
        let mut state = self.state();
        let off: BTreeMap<_, _> = wanted(&self.allowed)
            .filter_map(|it| Some((it, it.lacks(self.writes, |it| self.may(&state, it))?)))
            .collect();
        let before = std::mem::replace(&mut state.off, off);
        for (capability, lack) in &state.off {
            if before.get(capability) != Some(lack) {
                warn!(target: MAIN, "Switched off {}: {lack}", capability.name());
            }
        }
        for capability in before.keys().filter(|it| !state.off.contains_key(it)) {
            info!(target: MAIN, "Switched on {} again: it is permitted now", capability.name());
        }
        for capability in wanted(&self.allowed) {
            let is_on = !state.off.contains_key(&capability);
            let gauge = self
                .metrics
                .capability
                .with_label_values(&[capability.name()]);
            gauge.set(is_on.into());
        }
        let each = state.off.iter();
        let each = each.map(|(capability, lack)| (capability.name(), lack.to_string()));
        self.health.switched_off(each.collect());
    }

    /// Why the component is degraded, if it is.
    fn reason(&self) -> Option<String> {
        let state = self.state();
        let each = state.off.iter();
        let each = each.map(|(it, lack)| format!("{} is switched off: {lack}", it.name()));
        let reason = each.collect::<Vec<_>>().join("; ");
        (!reason.is_empty()).then_some(reason)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::status::Status;

    fn capabilities(policy: &Policy) -> Capabilities {
        let metrics = Arc::new(Metrics::new().unwrap());
        let health = Health::new(metrics.clone());
        Capabilities::new(policy, Arc::default(), health, metrics)
    }

    fn access(resource: &'static str, verb: &'static str) -> Access {
        let group = "";
        Access {
            group,
            resource,
            verb,
        }
    }

    #[test]
    fn everything_that_is_allowed_counts_until_something_is_known() {
        let it = capabilities(&Policy::default());
        it.settle();
        assert_eq!(it.actions(), ActionKind::ALL.map(ActionKind::as_str));
        assert_eq!(it.reason(), None);
        let policy = Policy {
            allowed_actions: [ActionKind::CordonNode].into(),
            ..Policy::default()
        };
        assert_eq!(capabilities(&policy).actions(), ["cordon_node"]);
    }

    #[test]
    fn an_answer_switches_off_and_on() {
        let it = capabilities(&Policy::default());
        let eviction = access("pods/eviction", "create");
        it.state().answers.insert(eviction, false);
        it.settle();
        assert!(!it.actions().contains(&"drain_node"));
        let reason = it.reason().unwrap();
        assert!(reason.starts_with(
            "evict_pod is switched off: the agent's account may not create pods/eviction"
        ));
        assert_eq!(
            it.health.off().keys().copied().collect::<Vec<_>>(),
            ["drain_node", "evict_pod"]
        );
        it.state().answers.insert(eviction, true);
        it.settle();
        assert_eq!(it.reason(), None);
        assert!(it.health.off().is_empty());
    }

    #[test]
    fn without_answers_refusals_are_all_that_is_known() {
        let it = capabilities(&Policy::default());
        let body = br#"{"message":"nodes \"n\" is forbidden: User \"u\" cannot patch resource \"nodes\" in API group \"\" at the cluster scope"}"#;
        let status = Status::from_answer(403, None, body);
        it.refusals.refused("patch", "nodes", &status);
        it.settle();
        assert!(!it.actions().contains(&"cordon_node"));
        it.refusals.granted("patch", "nodes");
        it.settle();
        assert!(it.actions().contains(&"cordon_node"));
        // The server's own word counts more.
        it.refusals.refused("patch", "nodes", &status);
        it.state().answers.insert(access("nodes", "patch"), true);
        it.settle();
        assert!(it.actions().contains(&"cordon_node"));
    }

    #[test]
    fn observing_alone_lacks_no_write() {
        let policy = Policy {
            dry_run: true,
            ..Policy::default()
        };
        let it = capabilities(&policy);
        it.state().answers.insert(access("nodes", "patch"), false);
        it.settle();
        assert_eq!(it.reason(), None);
    }
}
