//! What happens in the simulated cluster while it is watched: a few events, each about a pod.

use sandbox::apiserver::ApiServer;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What happens to pods, in turn: type, reason, message, who says so.
const HAPPENINGS: [(&str, &str, &str, &str); 6] = [
    (
        "Normal",
        "Pulled",
        "Container image already present on machine",
        "kubelet",
    ),
    (
        "Warning",
        "Unhealthy",
        "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "kubelet",
    ),
    ("Normal", "Killing", "Stopping container main", "kubelet"),
    (
        "Warning",
        "BackOff",
        "Back-off restarting failed container",
        "kubelet",
    ),
    ("Normal", "Started", "Started container main", "kubelet"),
    (
        "Warning",
        "NodeNotReady",
        "Node is not ready",
        "node-controller",
    ),
];

/// The pods that things happen to.
pub(crate) struct Life {
    pods: Vec<Value>,
    happened: usize,
}

impl Life {
    /// Of some of the cluster's pods.
    pub(crate) fn of(server: &ApiServer) -> Self {
        let mut pods = server.list("pods", "");
        pods.truncate(100);
        Self { pods, happened: 0 }
    }

    /// Lets something happen to one, two or three pods.
    pub(crate) fn go_on(&mut self, server: &ApiServer) {
        for _ in 0..=self.happened % 3 {
            self.happened += 1;
            // A stride that is no divisor of their number meets all of them.
            let Some(pod) = self.pods.get(self.happened * 7 % self.pods.len().max(1)) else {
                return;
            };
            server.create(event(&pod["metadata"], self.happened));
        }
    }
}

fn event(pod: &Value, number: usize) -> Value {
    let (kind, reason, message, source) = HAPPENINGS[number % HAPPENINGS.len()];
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).ok();
    let now = now
        .and_then(|it| it.format(&Rfc3339).ok())
        .unwrap_or_default();
    let name = format!("{}.{number:x}", pod["name"].as_str().unwrap_or_default());
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name, "namespace": pod["namespace"]},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod",
            "namespace": pod["namespace"], "name": pod["name"], "uid": pod["uid"],
        },
        "type": kind, "reason": reason, "message": message, "source": {"component": source},
        "count": 1, "firstTimestamp": now, "lastTimestamp": now, "eventTime": null,
        "reportingComponent": "", "reportingInstance": "",
    })
}
