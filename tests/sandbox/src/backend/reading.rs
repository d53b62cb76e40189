//! What tests ask of the backend.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::action::{Action, ActionState};
use super::agents::{Heartbeat, Registration};
use super::fault::Endpoint;
use super::journal::{RequestRecord, Violation};
use super::metrics::{Batch, Cycle};
use super::samples::{Kind, Sample};
use super::settings::Settings;
use super::state::Core;

/// The backend in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Registrations that are there.
    pub registrations: usize,
    /// Registrations that their own run removed.
    pub deregistered: u64,
    /// Heartbeats answered 200.
    pub heartbeats: u64,
    /// Batches stored.
    pub batches: usize,
    /// Batches that came again.
    pub repeats: u64,
    /// Samples stored, by kind.
    pub samples: BTreeMap<Kind, usize>,
    /// Collection cycles of which anything came.
    pub cycles: usize,
    /// Samples that came twice in their cycle.
    pub duplicates: usize,
    /// Actions, by where they stand.
    pub actions: BTreeMap<String, usize>,
    /// What was against the protocol.
    pub violations: usize,
}

impl Core {
    /// The registrations that are there, oldest first.
    pub fn registrations(&self) -> Vec<Registration> {
        self.state().agents.registrations().to_vec()
    }

    /// The heartbeats answered 200 that are kept, oldest first.
    pub fn heartbeats(&self) -> Vec<Heartbeat> {
        self.state().agents.heartbeats().to_vec()
    }

    /// The newest heartbeat of any agent.
    pub fn last_heartbeat(&self) -> Option<Heartbeat> {
        self.state().agents.heartbeats().last().cloned()
    }

    /// The batches, in the order in which they came first.
    pub fn batches(&self) -> Vec<Batch> {
        self.state().metrics.batches().to_vec()
    }

    /// The collection cycles, in the order in which anything of them came first.
    pub fn cycles(&self) -> Vec<Cycle> {
        self.state().metrics.cycles().to_vec()
    }

    /// All samples that are kept (see [`Options::keep_samples`]).
    pub fn samples(&self) -> Vec<Arc<Sample>> {
        self.state().metrics.samples()
    }

    /// The samples of one kind that are kept.
    pub fn samples_of(&self, kind: Kind) -> Vec<Arc<Sample>> {
        let mut samples = self.samples();
        samples.retain(|sample| sample.kind == kind);
        samples
    }

    /// The last sample of each object of a kind, unless only counts are kept.
    pub fn last_samples(&self, kind: Kind) -> Vec<Arc<Sample>> {
        let mut samples = self.state().metrics.last();
        samples.retain(|sample| sample.kind == kind);
        samples
    }

    /// How many samples of a kind came, kept or not.
    pub fn sample_count(&self, kind: Kind) -> usize {
        self.state()
            .metrics
            .counts()
            .get(&kind)
            .copied()
            .unwrap_or_default()
    }

    /// All actions, oldest first.
    pub fn actions(&self) -> Vec<Action> {
        self.advanced().actions.all().to_vec()
    }

    /// One action.
    pub fn action(&self, id: &str) -> Option<Action> {
        self.advanced().actions.get(id).cloned()
    }

    /// The result of one action.
    pub fn result(&self, id: &str) -> Option<Value> {
        self.state()
            .actions
            .get(id)
            .and_then(|action| action.result.clone())
    }

    /// All results, by the action's id.
    pub fn results(&self) -> BTreeMap<String, Value> {
        let state = self.state();
        let done = state.actions.all().iter();
        done.filter_map(|action| Some((action.id.clone(), action.result.clone()?)))
            .collect()
    }

    /// All versions of the settings, in the order in which they were made.
    pub fn settings(&self) -> Vec<Settings> {
        self.state().settings.all().to_vec()
    }

    /// What an agent refused, as its heartbeats said: by id, the last reason and how often.
    pub fn rejected(&self, agent_id: &str) -> BTreeMap<String, (String, u64)> {
        self.state().agents.rejected(agent_id)
    }

    /// The requests to the agent's side, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.journal.requests()
    }

    /// How many requests were answered how.
    pub fn request_counts(&self) -> BTreeMap<(Option<Endpoint>, u16), u64> {
        self.journal.counts()
    }

    /// What was against the protocol, oldest first.
    pub fn violations(&self) -> Vec<Violation> {
        self.journal.violations()
    }

    /// Panics with all violations, if there is any.
    pub fn assert_no_violations(&self) {
        let violations = self.violations();
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(
            violations.is_empty(),
            "{} violations of the protocol:\n{}",
            lines.len(),
            lines.join("\n")
        );
    }

    /// All of it in numbers.
    pub fn summary(&self) -> Summary {
        let state = self.advanced();
        let mut actions = BTreeMap::new();
        for action in state.actions.all() {
            *actions.entry(state_name(action.state)).or_default() += 1;
        }
        let batches = state.metrics.batches();
        let cycles = state.metrics.cycles();
        Summary {
            registrations: state.agents.registrations().len(),
            deregistered: state.agents.deregistered(),
            heartbeats: state.agents.heard(),
            batches: batches.len(),
            repeats: batches.iter().map(|batch| u64::from(batch.repeats)).sum(),
            samples: state.metrics.counts().clone(),
            cycles: cycles.len(),
            duplicates: cycles.iter().map(|cycle| cycle.duplicates).sum(),
            actions,
            violations: self.journal.violations().len(),
        }
    }
}

/// As JSON writes it.
fn state_name(state: ActionState) -> String {
    serde_json::to_value(state)
        .ok()
        .and_then(|name| Some(name.as_str()?.to_owned()))
        .unwrap_or_default()
}
