//! Batches, each stored once, and the samples they brought (protocol, section 2).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::messages::BatchMessage;
use super::samples::{Kind, Sample, identity};

/// How much of the samples is kept. What is counted is counted in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepSamples {
    /// All of them.
    #[default]
    Whole,
    /// The last of each object, and of each state of an event.
    LastPerObject,
    /// None.
    CountsOnly,
}

/// A stored batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// Its id.
    pub batch_id: String,
    /// The cluster it is of.
    pub cluster_id: String,
    /// The agent that sent it.
    pub agent_id: String,
    /// Its journal.
    pub instance_id: String,
    /// Its process run.
    pub run_id: String,
    /// Its number within the run.
    pub seq: u64,
    /// When its cycle began, by the agent's clock.
    pub collected_at: String,
    /// When it came first, by the backend's clock.
    pub at: String,
    /// How many samples it holds.
    pub samples: usize,
    /// Its size on the wire, compressed.
    pub bytes: usize,
    /// How often the same came again.
    pub repeats: u32,
    #[serde(skip)]
    sha256: String,
}

/// All that came of one collection cycle.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cycle {
    /// The agent that collected.
    pub agent_id: String,
    /// Its process run.
    pub run_id: String,
    /// When the cycle began, by the agent's clock.
    pub collected_at: String,
    /// How many batches came.
    pub batches: usize,
    /// How many samples came of each kind.
    pub counts: BTreeMap<Kind, usize>,
    /// How many samples came twice: the same object (or state of an event) in two places of the cycle.
    pub duplicates: usize,
    /// The samples, where whole ones are kept.
    #[serde(skip)]
    pub samples: Vec<Arc<Sample>>,
}

impl Cycle {
    /// How many samples of a kind came.
    pub fn count(&self, kind: Kind) -> usize {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    /// The samples of a kind, where whole ones are kept.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .map(AsRef::as_ref)
            .filter(move |sample| sample.kind == kind)
    }
}

/// The cycle of a run.
type CycleKey = (String, String, String);

/// All batches.
#[derive(Debug)]
pub(super) struct Metrics {
    keep: KeepSamples,
    batches: Vec<Batch>,
    by_id: HashMap<String, usize>,
    /// Numbers taken by the batches of each run.
    seqs: HashMap<(String, String, String), HashSet<u64>>,
    cycles: Vec<Cycle>,
    by_cycle: HashMap<CycleKey, usize>,
    /// What was seen in each of the last few cycles.
    seen: HashMap<CycleKey, HashSet<u64>>,
    counts: BTreeMap<Kind, usize>,
    last: HashMap<u64, Arc<Sample>>,
}

/// Batches of older cycles may still come (newest first after an outage), but not without end.
const CYCLES_WATCHED: usize = 64;

impl Metrics {
    pub(super) fn new(keep: KeepSamples) -> Metrics {
        Metrics {
            keep,
            batches: Vec::new(),
            by_id: HashMap::new(),
            seqs: HashMap::new(),
            cycles: Vec::new(),
            by_cycle: HashMap::new(),
            seen: HashMap::new(),
            counts: BTreeMap::new(),
            last: HashMap::new(),
        }
    }

    /// Whether exactly these bytes came before; an error if others came under this id.
    pub(super) fn known(&mut self, batch_id: &str, sha256: &str) -> Result<bool, String> {
        let Some(&at) = self.by_id.get(batch_id) else {
            return Ok(false);
        };
        if self.batches[at].sha256 != sha256 {
            return Err("batch_id: came before with other bytes".into());
        }
        self.batches[at].repeats += 1;
        Ok(true)
    }

    /// Stores a batch of which `known` says that it is new.
    pub(super) fn store(
        &mut self,
        message: BatchMessage,
        body: Value,
        wire: (String, usize),
        at: String,
    ) -> Result<(), String> {
        let run = message.run;
        let key = (
            run.agent_id.clone(),
            run.instance_id.clone(),
            run.run_id.clone(),
        );
        if !self.seqs.entry(key).or_default().insert(message.seq) {
            return Err(format!(
                "seq: {} belongs to another batch of this run",
                message.seq
            ));
        }
        let (sha256, bytes) = wire;
        let samples = message.kinds.len();
        self.count(
            &run.agent_id,
            &run.run_id,
            &message.collected_at,
            &message.batch_id,
            message.kinds,
            body,
        );
        self.by_id
            .insert(message.batch_id.clone(), self.batches.len());
        self.batches.push(Batch {
            batch_id: message.batch_id,
            cluster_id: run.cluster_id,
            agent_id: run.agent_id,
            instance_id: run.instance_id,
            run_id: run.run_id,
            seq: message.seq,
            collected_at: message.collected_at,
            at,
            samples,
            bytes,
            repeats: 0,
            sha256,
        });
        Ok(())
    }

    fn count(
        &mut self,
        agent_id: &str,
        run_id: &str,
        collected_at: &str,
        batch_id: &str,
        kinds: Vec<Kind>,
        mut body: Value,
    ) {
        let key: CycleKey = (
            agent_id.to_owned(),
            run_id.to_owned(),
            collected_at.to_owned(),
        );
        let index = *self.by_cycle.entry(key.clone()).or_insert_with(|| {
            self.cycles.push(Cycle {
                agent_id: agent_id.to_owned(),
                run_id: run_id.to_owned(),
                collected_at: collected_at.to_owned(),
                ..Cycle::default()
            });
            self.cycles.len() - 1
        });
        let cycle = &mut self.cycles[index];
        cycle.batches += 1;
        let seen = self.seen.entry(key).or_default();
        let Value::Array(samples) = body["samples"].take() else {
            return;
        };
        for (kind, body) in kinds.into_iter().zip(samples) {
            *cycle.counts.entry(kind).or_default() += 1;
            *self.counts.entry(kind).or_default() += 1;
            let identity = identity(kind, &body);
            cycle.duplicates += usize::from(!seen.insert(identity));
            if self.keep == KeepSamples::CountsOnly {
                continue;
            }
            let uid = body["uid"].as_str().unwrap_or_default().to_owned();
            let sample = Arc::new(Sample {
                kind,
                uid,
                batch_id: batch_id.to_owned(),
                body,
            });
            if self.keep == KeepSamples::Whole {
                cycle.samples.push(Arc::clone(&sample));
            }
            self.last.insert(identity, sample);
        }
        if let Some(old) = index
            .checked_sub(CYCLES_WATCHED)
            .and_then(|old| self.cycles.get(old))
        {
            self.seen.remove(&(
                old.agent_id.clone(),
                old.run_id.clone(),
                old.collected_at.clone(),
            ));
        }
    }

    pub(super) fn batches(&self) -> &[Batch] {
        &self.batches
    }

    pub(super) fn cycles(&self) -> &[Cycle] {
        &self.cycles
    }

    /// How many samples of each kind came, in all.
    pub(super) fn counts(&self) -> &BTreeMap<Kind, usize> {
        &self.counts
    }

    /// All samples that are kept: in their order of arrival where whole ones are.
    pub(super) fn samples(&self) -> Vec<Arc<Sample>> {
        match self.keep {
            KeepSamples::Whole => self
                .cycles
                .iter()
                .flat_map(|cycle| cycle.samples.iter().cloned())
                .collect(),
            _ => self.last(),
        }
    }

    /// The last sample of each object.
    pub(super) fn last(&self) -> Vec<Arc<Sample>> {
        self.last.values().cloned().collect()
    }
}
