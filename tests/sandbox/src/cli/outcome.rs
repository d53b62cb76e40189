//! What came of a run, as one line of JSON, and whether it is what it should be.

use std::collections::HashSet;
use std::process::ExitStatus;
use std::time::Duration;

use sandbox::apiserver::ApiServer;
use sandbox::backend::{Backend, Kind};
use serde_json::{Value, json};

use super::agent::Usage;

/// Everything at the end of a run, the agent's end included.
pub(crate) struct Outcome<'a> {
    /// The cluster.
    pub(crate) server: &'a ApiServer,
    /// What arrived of it.
    pub(crate) backend: &'a Backend,
    /// What the agent had used before its end.
    pub(crate) usage: Usage,
    /// How long after its start it was ready.
    pub(crate) ready_after: Option<Duration>,
    /// How it ended; nothing if it had to be killed.
    pub(crate) ended: Option<ExitStatus>,
}

impl Outcome<'_> {
    /// The line.
    pub(crate) fn to_json(&self) -> Value {
        let count = |kind| self.backend.sample_count(kind);
        let summary = self.backend.summary();
        json!({
            "nodes": self.seen("nodes").1,
            "pods": self.seen("pods").1,
            "samples": {"pod": count(Kind::Pod), "node": count(Kind::Node), "event": count(Kind::Event)},
            "batches": summary.batches,
            "heartbeats": summary.heartbeats,
            "agent_ready_ms": self.ready_after.map(|it| it.as_millis()),
            "agent_rss_kib": self.usage.rss_kib,
            "agent_peak_rss_kib": self.usage.peak_rss_kib,
            "agent_cpu_seconds": self.usage.cpu_seconds,
        })
    }

    /// Everything that is not as it should be.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for resource in ["nodes", "pods"] {
            let (there, seen) = self.seen(resource);
            if seen < there {
                faults.push(format!("{seen} of {there} {resource} arrived"));
            }
        }
        match self.ended {
            None => faults.push("the agent did not end and was killed".to_owned()),
            Some(status) if !status.success() => {
                faults.push(format!("the agent ended with {status}"));
            }
            Some(_) => {}
        }
        let summary = self.backend.summary();
        if summary.registrations > 0 || summary.deregistered == 0 {
            faults.push("the agent did not deregister".to_owned());
        }
        if summary.duplicates > 0 {
            faults.push(format!(
                "{} samples came twice in their cycle",
                summary.duplicates
            ));
        }
        faults.extend(
            self.backend
                .violations()
                .iter()
                .map(|it| format!("against the protocol: {it}")),
        );
        faults
    }

    /// How many objects there are, and of how many of them a sample came.
    fn seen(&self, resource: &str) -> (usize, usize) {
        let kind = if resource == "pods" {
            Kind::Pod
        } else {
            Kind::Node
        };
        let seen: HashSet<String> = self
            .backend
            .last_samples(kind)
            .iter()
            .map(|it| it.uid.clone())
            .collect();
        let there = self.server.list(resource, "");
        let uids = there.iter().filter_map(|it| it["metadata"]["uid"].as_str());
        (there.len(), uids.filter(|it| seen.contains(*it)).count())
    }
}
