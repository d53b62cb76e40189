//! The Lease object: the few members of it that an election is about, read from and written into the whole, so that
//! labels and whatever a later Kubernetes adds stay as they are.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/>

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

/// The annotation in which the holder tells its successor up to which event the backend has them all.
const EVENTS_DELIVERED: &str = "kubernetes-agent/events-delivered";

/// The annotation in which the holder says that it cannot carry out actions: whoever can takes the Lease from it. It
/// names the holder, so that it says nothing of one that does not know the annotation and leaves it as it was.
const UNFIT: &str = "kubernetes-agent/unfit";

/// A Lease as the API server has it, or as it is to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease(Value);

/// Who holds a Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `holderIdentity`; empty once it was released.
    pub holder: String,
    /// `leaseDurationSeconds`.
    pub duration: Duration,
    /// `acquireTime`, a MicroTime; for people alone.
    pub acquired: String,
    /// `renewTime`, a MicroTime. That it changes is a sign of life; what it says is never compared with a clock.
    pub renewed: String,
    /// `leaseTransitions`: how often the holder has changed.
    pub transitions: i64,
    /// What the holder tells its successor; empty where it told nothing.
    pub told: String,
    /// The holder carries out no action.
    pub is_unfit: bool,
}

/// Seconds: what stands in a Lease is added to the time, and must not go beyond what that can be.
const LONGEST: u64 = i32::MAX as u64;

impl Lease {
    /// One that does not exist yet.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"namespace": namespace, "name": name},
        }))
    }

    /// Its resource version; empty where it does not exist yet.
    pub fn version(&self) -> &str {
        text(&self.0["metadata"]["resourceVersion"])
    }

    /// What stands in it. What is missing counts as empty: such a Lease is free.
    pub fn record(&self) -> Record {
        let spec = &self.0["spec"];
        let owned = |it: &Value| text(it).to_owned();
        let seconds = spec["leaseDurationSeconds"].as_u64().unwrap_or(0);
        let seconds = seconds.min(LONGEST);
        let holder = owned(&spec["holderIdentity"]);
        let unfit = text(&self.0["metadata"]["annotations"][UNFIT]);
        Record {
            is_unfit: !holder.is_empty() && unfit == holder,
            holder,
            duration: Duration::from_secs(seconds),
            acquired: owned(&spec["acquireTime"]),
            renewed: owned(&spec["renewTime"]),
            transitions: spec["leaseTransitions"].as_i64().unwrap_or(0),
            told: owned(&self.0["metadata"]["annotations"][EVENTS_DELIVERED]),
        }
    }

    /// The same Lease with this in it: with its resource version, so that the API server refuses the update of
    /// whoever did not know the latest.
    #[must_use]
    pub fn with(&self, record: &Record) -> Self {
        let mut lease = self.0.clone();
        let spec = &mut lease["spec"];
        spec["holderIdentity"] = record.holder.as_str().into();
        spec["leaseDurationSeconds"] = record.duration.as_secs().into();
        spec["acquireTime"] = record.acquired.as_str().into();
        spec["renewTime"] = record.renewed.as_str().into();
        spec["leaseTransitions"] = record.transitions.into();
        let annotations = &mut lease["metadata"]["annotations"];
        annotations[EVENTS_DELIVERED] = record.told.as_str().into();
        let unfit = if record.is_unfit { &*record.holder } else { "" };
        annotations[UNFIT] = unfit.into();
        Self(lease)
    }

    /// As the API server reads it.
    pub fn to_json(&self) -> String {
        self.0.to_string()
    }
}

impl From<Value> for Lease {
    /// An answer of the API server. Whatever it is, it can be read as a Lease; of one that is none nothing is known.
    fn from(value: Value) -> Self {
        match value {
            Value::Object(_) => Self(value),
            _ => Self(json!({})),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A MicroTime: `2024-01-15T10:25:00.123456Z`.
pub fn micro_time(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC)
        .format(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
        ))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn record() -> Record {
        Record {
            holder: "agent-0_i".to_owned(),
            duration: Duration::from_secs(15),
            acquired: micro_time(datetime!(2026-01-02 03:04:05.678901 UTC)),
            renewed: "2026-01-02T03:04:07.000000Z".to_owned(),
            transitions: 3,
            told: "17".to_owned(),
            is_unfit: true,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let lease = Lease::new("ml-optimizer", "ml-agent").with(&record());
        assert_eq!(lease.record(), record());
        let value: Value = serde_json::from_str(&lease.to_json()).unwrap();
        assert_eq!(value["spec"]["acquireTime"], "2026-01-02T03:04:05.678901Z");
        assert_eq!(value["spec"]["leaseDurationSeconds"], 15);
    }

    #[test]
    fn no_duration_is_too_long_for_a_clock() {
        let lease = Lease::from(json!({
            "spec": {"holderIdentity": "x", "leaseDurationSeconds": u64::MAX},
        }));
        let until = std::time::Instant::now().checked_add(lease.record().duration);
        assert!(until.is_some());
    }

    #[test]
    fn an_update_leaves_the_rest_as_it_was() {
        let lease = Lease::from(json!({
            "metadata": {"resourceVersion": "7", "labels": {"a": "b"}, "annotations": {"c": "d"}},
            "spec": {"strategy": "OldestEmulationVersion"},
        }));
        let Lease(updated) = lease.with(&record());
        assert_eq!(updated["metadata"]["resourceVersion"], "7");
        assert_eq!(updated["metadata"]["labels"]["a"], "b");
        assert_eq!(updated["metadata"]["annotations"]["c"], "d");
        assert_eq!(updated["spec"]["strategy"], "OldestEmulationVersion");
    }

    #[test]
    fn a_holder_of_an_older_version_is_not_taken_for_the_unfit_one_before_it() {
        let mut lease = Lease::new("a", "b").with(&record());
        assert!(lease.record().is_unfit);
        lease.0["spec"]["holderIdentity"] = "agent-1_j".into();
        assert!(!lease.record().is_unfit);
    }

    #[test]
    fn an_empty_lease_is_nobodys() {
        let record = Lease::from(json!({"metadata": {"name": "x"}})).record();
        assert_eq!((record.holder.as_str(), record.transitions), ("", 0));
        assert_eq!(Lease::from(Value::Null).version(), "");
    }
}
