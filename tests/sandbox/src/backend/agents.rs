//! Who is registered, and what was heard of them last (protocol, section 2).

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::messages::{HeartbeatMessage, Run};

/// The registration of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Registration {
    /// The cluster it works in.
    pub cluster_id: String,
    /// The agent.
    pub agent_id: String,
    /// Its journal.
    pub instance_id: String,
    /// Its process run.
    pub run_id: String,
    /// When it was first registered, by the backend's clock.
    pub at: String,
    /// How often it was registered since.
    pub repeats: u32,
    /// The body that came last.
    pub body: Value,
}

/// One heartbeat that was answered 200.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heartbeat {
    /// The agent.
    pub agent_id: String,
    /// Its journal.
    pub instance_id: String,
    /// Its process run.
    pub run_id: String,
    /// Its number within the run.
    pub seq: u64,
    /// When it came, by the backend's clock.
    pub at: String,
    /// All of it, as it came.
    pub body: Value,
}

impl Heartbeat {
    /// A member, or null where there is none.
    pub fn get(&self, member: &str) -> &Value {
        &self.body[member]
    }

    /// A member of the component of this name, or null where there is none.
    pub fn component(&self, name: &str, member: &str) -> &Value {
        &self.body["components"][name][member]
    }
}

/// All agents.
#[derive(Debug)]
pub(super) struct Agents {
    registrations: Vec<Registration>,
    deregistered: u64,
    heartbeats: Vec<Heartbeat>,
    /// How many heartbeats are kept; the oldest go.
    keep: usize,
    heard: u64,
    /// The number of the last heartbeat of each run.
    seqs: HashMap<(String, String, String), u64>,
    /// What each agent said last of its settings, and every envelope it ever refused.
    config_versions: HashMap<String, u64>,
    rejected: HashMap<String, BTreeMap<String, (String, u64)>>,
}

impl Agents {
    pub(super) fn new(keep: usize) -> Agents {
        Agents {
            registrations: Vec::new(),
            deregistered: 0,
            heartbeats: Vec::new(),
            keep,
            heard: 0,
            seqs: HashMap::new(),
            config_versions: HashMap::new(),
            rejected: HashMap::new(),
        }
    }

    /// Registers a run; a second time changes nothing but the body.
    pub(super) fn register(&mut self, run: Run, at: String, body: Value) -> Result<(), String> {
        let known = self.registrations.iter_mut().find(|known| {
            (&known.agent_id, &known.instance_id, &known.run_id)
                == (&run.agent_id, &run.instance_id, &run.run_id)
        });
        if let Some(known) = known {
            if known.cluster_id != run.cluster_id {
                return Err("cluster_id: another one than this run registered with".into());
            }
            known.repeats += 1;
            known.body = body;
            return Ok(());
        }
        let Run {
            cluster_id,
            agent_id,
            instance_id,
            run_id,
        } = run;
        self.registrations.push(Registration {
            cluster_id,
            agent_id,
            instance_id,
            run_id,
            at,
            repeats: 0,
            body,
        });
        Ok(())
    }

    /// Removes that run's registration, and no other.
    pub(super) fn deregister(&mut self, agent_id: &str, instance_id: &str, run_id: &str) -> bool {
        let before = self.registrations.len();
        self.registrations.retain(|known| {
            (
                known.agent_id.as_str(),
                known.instance_id.as_str(),
                known.run_id.as_str(),
            ) != (agent_id, instance_id, run_id)
        });
        let removed = self.registrations.len() < before;
        self.deregistered += u64::from(removed);
        removed
    }

    /// Forgets all registrations, as a backend that lost its database.
    pub(super) fn forget(&mut self) {
        self.registrations.clear();
    }

    /// The newest run of an instance: the one that registered last for the first time.
    pub(super) fn current(&self, agent_id: &str, instance_id: &str) -> Option<&Registration> {
        let mut newest_first = self.registrations.iter().rev();
        newest_first.find(|known| known.agent_id == agent_id && known.instance_id == instance_id)
    }

    /// Takes a heartbeat of a run that is current. Fails if its number is not above the last.
    pub(super) fn hear(
        &mut self,
        message: &HeartbeatMessage,
        at: String,
        body: Value,
    ) -> Result<(), String> {
        let Run {
            agent_id,
            instance_id,
            run_id,
            ..
        } = message.run.clone();
        let key = (agent_id.clone(), instance_id.clone(), run_id.clone());
        let last = self.seqs.entry(key).or_default();
        if message.seq <= *last {
            return Err(format!(
                "seq: {} after {last}; a repeated heartbeat takes a new one",
                message.seq
            ));
        }
        *last = message.seq;
        self.config_versions
            .insert(agent_id.clone(), message.config_version);
        let rejected = self.rejected.entry(agent_id.clone()).or_default();
        for (id, reason, count) in &message.rejected {
            let entry = rejected
                .entry(id.clone())
                .or_insert_with(|| (reason.clone(), 0));
            entry.0.clone_from(reason);
            entry.1 += count;
        }
        self.heard += 1;
        if self.heartbeats.len() >= self.keep {
            // Half at once, so that keeping few does not cost a copy each time.
            self.heartbeats.drain(..self.keep / 2);
        }
        self.heartbeats.push(Heartbeat {
            agent_id,
            instance_id,
            run_id,
            seq: message.seq,
            at,
            body,
        });
        Ok(())
    }

    pub(super) fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    pub(super) fn heartbeats(&self) -> &[Heartbeat] {
        &self.heartbeats
    }

    /// How many heartbeats were answered 200, kept or not.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// How many registrations were removed by their own run.
    pub(super) fn deregistered(&self) -> u64 {
        self.deregistered
    }

    /// The settings that an agent says are in force; 0 if it said nothing yet.
    pub(super) fn config_version(&self, agent_id: &str) -> u64 {
        self.config_versions
            .get(agent_id)
            .copied()
            .unwrap_or_default()
    }

    /// Whether the agent ever named this envelope among the rejected.
    pub(super) fn has_rejected(&self, agent_id: &str, id: &str) -> bool {
        self.rejected
            .get(agent_id)
            .is_some_and(|rejected| rejected.contains_key(id))
    }

    /// Everything that the agent refused: by id, the last reason and how often.
    pub(super) fn rejected(&self, agent_id: &str) -> BTreeMap<String, (String, u64)> {
        self.rejected.get(agent_id).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(instance_id: &str, run_id: &str) -> Run {
        Run {
            cluster_id: "c".into(),
            agent_id: "a".into(),
            instance_id: instance_id.into(),
            run_id: run_id.into(),
        }
    }

    fn current<'a>(agents: &'a Agents, instance_id: &str) -> Option<&'a str> {
        agents
            .current("a", instance_id)
            .map(|registration| registration.run_id.as_str())
    }

    #[test]
    fn the_newest_run_of_an_instance_is_current() {
        let mut agents = Agents::new(8);
        for run in [run("i", "1"), run("i", "2"), run("j", "3"), run("i", "1")] {
            agents.register(run, String::new(), Value::Null).unwrap();
        }
        // The late repeat of the first run does not make it current again.
        assert_eq!(
            (current(&agents, "i"), current(&agents, "j")),
            (Some("2"), Some("3"))
        );
        assert_eq!(agents.registrations()[0].repeats, 1);
        // The old pod's late call does not remove the new one.
        assert!(agents.deregister("a", "i", "1"));
        assert_eq!(current(&agents, "i"), Some("2"));
        assert!(!agents.deregister("a", "i", "1"));
        assert_eq!(agents.deregistered(), 1);
    }

    #[test]
    fn heartbeats_count_up_and_the_oldest_go() {
        let mut agents = Agents::new(4);
        let mut beat = HeartbeatMessage {
            run: run("i", "1"),
            seq: 0,
            config_version: 3,
            in_progress: Vec::new(),
            rejected: vec![("x".into(), "malformed".into(), 2)],
        };
        for seq in 1..=9 {
            beat.seq = seq;
            agents.hear(&beat, String::new(), Value::Null).unwrap();
        }
        assert!(agents.hear(&beat, String::new(), Value::Null).is_err());
        assert!(agents.heartbeats().len() <= 4 && agents.heard() == 9);
        assert_eq!(agents.heartbeats().last().map(|beat| beat.seq), Some(9));
        assert_eq!(agents.config_version("a"), 3);
        assert_eq!(agents.rejected("a")["x"], ("malformed".to_owned(), 18));
    }
}
