//! What tests do to the backend.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::Error;
use super::actions::Answer;
use super::envelope::{Envelope, NewAction, NewSettings};
use super::fault::{Endpoint, Fault};
use super::settings::Settings;
use super::state::{Core, lock, parse_key};

/// How long what tests make lives, if they do not say.
const TTL_SECONDS: i64 = 600;

impl Core {
    /// Signs an action and offers it.
    pub fn create_action(&self, new: &NewAction) -> Result<Envelope, Error> {
        let (id, timestamp, expires_at) =
            self.stamp("act", new.id.as_ref(), new.timestamp, new.ttl_seconds);
        let cluster_id = self.cluster(new.cluster_id.as_ref())?;
        let payload = new.payload(&id, &cluster_id, expires_at);
        let envelope = self.sign(&id, timestamp, payload);
        let at = self.clock.rfc3339();
        let agent_id = new.agent_id.clone();
        self.state()
            .actions
            .add(
                envelope.clone(),
                &new.action,
                &cluster_id,
                agent_id,
                expires_at,
                at,
            )
            .map_err(Error)?;
        self.push_waiting();
        self.notify();
        Ok(envelope)
    }

    /// Signs settings and offers them.
    pub fn create_settings(&self, new: &NewSettings) -> Result<Envelope, Error> {
        let (id, timestamp, expires_at) =
            self.stamp("cfg", new.id.as_ref(), new.timestamp, new.ttl_seconds);
        let cluster_id = self.cluster(new.cluster_id.as_ref())?;
        let mut state = self.state();
        let config_version = new
            .config_version
            .unwrap_or_else(|| state.settings.next_version());
        let payload = new.payload(&id, &cluster_id, expires_at, config_version);
        let envelope = self.sign(&id, timestamp, payload);
        let agent_id = new.agent_id.clone();
        let settings = Settings {
            envelope: envelope.clone(),
            cluster_id,
            agent_id,
            config_version,
            expires_at,
        };
        state.settings.add(settings).map_err(Error)?;
        drop(state);
        self.push_waiting();
        self.notify();
        Ok(envelope)
    }

    /// Signs any payload as it is. It is offered nowhere: see [`Core::offer`].
    pub fn sign(&self, id: &str, timestamp: i64, payload: String) -> Envelope {
        Envelope::sign(&lock(&self.keys).signing, id, timestamp, payload)
    }

    /// Puts anything into every list from now on. An agent must never claim it.
    pub fn offer(&self, element: Value) -> u64 {
        let offer = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.state().offers.push((offer, element));
        self.notify();
        offer
    }

    /// Takes out again what [`Core::offer`] put in.
    pub fn withdraw(&self, offer: u64) {
        self.state().offers.retain(|(this, _)| *this != offer);
    }

    /// Cancels an action, if nobody has claimed it.
    pub fn cancel(&self, id: &str) -> Result<(), Error> {
        match self.advanced().actions.cancel(id) {
            Answer::Granted => Ok(()),
            Answer::Conflict { why, .. } | Answer::Gone(why) => Err(Error(why.to_owned())),
            Answer::Unknown => Err(Error("no such action".to_owned())),
        }
    }

    /// Forgets who is registered: heartbeats are answered 404 from now on.
    pub fn forget_registrations(&self) {
        self.state().agents.forget();
    }

    /// Says in every list that is not empty when to poll next.
    pub fn set_next_poll_seconds(&self, seconds: Option<u64>) {
        self.state().next_poll_seconds = seconds;
    }

    /// Sets the one fault of an endpoint.
    pub fn set_fault(&self, endpoint: Endpoint, fault: impl Into<Fault>) {
        self.faults.set(endpoint, [fault.into()]);
    }

    /// Sets faults that follow one another, each for its number of times.
    pub fn set_faults(&self, endpoint: Endpoint, faults: impl IntoIterator<Item = Fault>) {
        self.faults.set(endpoint, faults);
    }

    /// Takes the faults of an endpoint away.
    pub fn clear_fault(&self, endpoint: Endpoint) {
        self.faults.set(endpoint, []);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// Sets the clock wrong, by so much against the system's.
    pub fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.clock.shift(offset_ms);
    }

    /// Takes these API keys from now on, and no others.
    pub fn set_api_keys(&self, keys: &[&str]) {
        lock(&self.keys).api = keys.iter().map(|&key| key.to_owned()).collect();
    }

    /// Signs with each of these from now on.
    pub fn set_secret_keys(&self, secrets: &[&str]) -> Result<(), Error> {
        let signing = secrets
            .iter()
            .map(|secret| parse_key(secret))
            .collect::<Result<_, _>>()?;
        lock(&self.keys).signing = signing;
        Ok(())
    }

    fn stamp(
        &self,
        prefix: &str,
        id: Option<&String>,
        timestamp: Option<i64>,
        ttl: Option<i64>,
    ) -> (String, i64, i64) {
        let now = self.clock.now();
        let timestamp = timestamp.unwrap_or_else(|| now.unix_timestamp());
        let fresh = || {
            // Unique also among backends that one agent meets in turn.
            let number = self.next_id.fetch_add(1, Ordering::Relaxed);
            format!("{prefix}_{:x}_{number}", now.unix_timestamp_nanos())
        };
        let id = id.cloned().unwrap_or_else(fresh);
        (
            id,
            timestamp,
            timestamp.saturating_add(ttl.unwrap_or(TTL_SECONDS)),
        )
    }

    /// The cluster that was asked for, that of the options, or the only one that is registered.
    fn cluster(&self, wanted: Option<&String>) -> Result<String, Error> {
        if let Some(cluster_id) = wanted.or(self.options.cluster_id.as_ref()) {
            return Ok(cluster_id.clone());
        }
        let state = self.state();
        let mut clusters: Vec<&String> = state
            .agents
            .registrations()
            .iter()
            .map(|registration| &registration.cluster_id)
            .collect();
        clusters.dedup();
        match clusters[..] {
            [only] => Ok(only.clone()),
            _ => Err(Error(
                "cluster_id: not said, and not one cluster is registered".to_owned(),
            )),
        }
    }
}
