//! Settings that wait to be applied (protocol, sections 2 and 3).

use serde::Serialize;

use super::agents::Agents;
use super::envelope::Envelope;

/// A version of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// As they were signed.
    pub envelope: Envelope,
    /// The cluster they are for.
    pub cluster_id: String,
    /// The only agent they are for, if there is one.
    pub agent_id: Option<String>,
    /// Their version.
    pub config_version: i64,
    /// In unix seconds.
    pub expires_at: i64,
}

/// All versions, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct AllSettings(Vec<Settings>);

impl AllSettings {
    pub(super) fn add(&mut self, settings: Settings) -> Result<(), String> {
        if self.get(&settings.envelope.id).is_some() {
            return Err(format!("id: {} is taken", settings.envelope.id));
        }
        self.0.push(settings);
        Ok(())
    }

    /// The version after the highest so far.
    pub(super) fn next_version(&self) -> i64 {
        self.0
            .iter()
            .map(|settings| settings.config_version)
            .max()
            .unwrap_or_default()
            + 1
    }

    pub(super) fn get(&self, id: &str) -> Option<&Settings> {
        self.0.iter().find(|settings| settings.envelope.id == id)
    }

    pub(super) fn all(&self) -> &[Settings] {
        &self.0
    }

    /// What a list for this agent offers: the newest version, until its heartbeat reaches it or names it
    /// among the rejected, or it expires.
    pub(super) fn offered(
        &self,
        cluster_id: &str,
        agent_id: &str,
        agents: &Agents,
        unix: i64,
    ) -> Option<&Settings> {
        let newest = self
            .0
            .iter()
            .filter(|settings| {
                settings.cluster_id == cluster_id
                    && settings
                        .agent_id
                        .as_deref()
                        .is_none_or(|wanted| wanted == agent_id)
            })
            .max_by_key(|settings| settings.config_version)?;
        let reached = i64::try_from(agents.config_version(agent_id)).unwrap_or(i64::MAX);
        let waits = newest.expires_at > unix
            && newest.config_version > reached
            && !agents.has_rejected(agent_id, &newest.envelope.id);
        waits.then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::backend::messages::{HeartbeatMessage, Run};

    fn settings(id: &str, config_version: i64) -> Settings {
        let envelope = Envelope {
            id: id.into(),
            timestamp: 0,
            payload: "{}".into(),
            signature: String::new(),
        };
        let cluster_id = "c".into();
        Settings {
            envelope,
            cluster_id,
            agent_id: None,
            config_version,
            expires_at: 100,
        }
    }

    fn offered(all: &AllSettings, agents: &Agents, unix: i64) -> Option<i64> {
        all.offered("c", "a", agents, unix)
            .map(|settings| settings.config_version)
    }

    #[test]
    fn only_the_newest_waits_until_it_is_answered() {
        let mut all = AllSettings::default();
        let mut agents = Agents::new(8);
        for (id, version) in [("one", 1), ("two", 2)] {
            assert_eq!(all.next_version(), version);
            all.add(settings(id, version)).unwrap();
        }
        assert!(all.add(settings("two", 3)).is_err());
        assert_eq!(offered(&all, &agents, 0), Some(2));
        assert_eq!(offered(&all, &agents, 100), None);
        assert!(all.offered("d", "a", &agents, 0).is_none());

        let mut beat = HeartbeatMessage {
            run: Run {
                cluster_id: "c".into(),
                agent_id: "a".into(),
                instance_id: "i".into(),
                run_id: "r".into(),
            },
            seq: 1,
            config_version: 1,
            in_progress: Vec::new(),
            rejected: Vec::new(),
        };
        agents.hear(&beat, String::new(), Value::Null).unwrap();
        assert_eq!(offered(&all, &agents, 0), Some(2));
        beat.seq = 2;
        beat.config_version = 2;
        agents.hear(&beat, String::new(), Value::Null).unwrap();
        assert_eq!(offered(&all, &agents, 0), None);
        // A refused version does not make room for an older one.
        all.add(settings("three", 3)).unwrap();
        assert_eq!(offered(&all, &agents, 0), Some(3));
        beat.seq = 3;
        beat.rejected = vec![("three".into(), "invalid_params".into(), 1)];
        agents.hear(&beat, String::new(), Value::Null).unwrap();
        assert_eq!(offered(&all, &agents, 0), None);
    }
}
