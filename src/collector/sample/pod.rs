//! The sample of a pod, written by hand: of all JSON that the agent makes these are nine tenths, and most of each is
//! constant text.

use crate::backend::json::{Json, Sample};
use crate::cluster::pod::{ContainerHistory, ContainerShape, Pod};
use crate::cluster::workload::Owners;
use crate::collector::usage::{ContainerUsage, Usage};

/// A pod.
pub struct PodSample<'a> {
    pod: &'a Pod,
    owners: &'a Owners,
    usage: Option<&'a Usage<'a>>,
}

impl<'a> PodSample<'a> {
    /// A pod with its usage, or without where the Metrics API has none.
    pub fn new(pod: &'a Pod, owners: &'a Owners, usage: Option<&'a Usage<'a>>) -> Self {
        Self { pod, owners, usage }
    }

    fn containers(&self, json: &mut Json) {
        let shapes = &self.pod.shape.containers;
        let used = self.usage.map_or(&[][..], |it| &it.containers);
        let mut separator = "";
        for (at, shape) in shapes.iter().enumerate() {
            json.raw(std::mem::replace(&mut separator, ","));
            let usage = used.iter().find(|it| *it.name == *shape.name);
            let history = self.pod.history.as_ref().and_then(|it| it.get(at));
            container(json, &shape.name, usage, Some(shape), history);
        }
        // An ephemeral container has usage, but no place in the pod's shape.
        for it in used {
            if shapes.iter().all(|shape| *shape.name != *it.name) {
                json.raw(std::mem::replace(&mut separator, ","));
                container(json, &it.name, Some(it), None, None);
            }
        }
    }
}

impl Sample for PodSample<'_> {
    fn write(&self, json: &mut Json) {
        let Self { pod, usage, .. } = self;
        json.raw(r#"{"kind":"pod","namespace":"#);
        json.string(&pod.namespace);
        json.raw(r#","name":"#);
        json.string(&pod.name);
        json.raw(r#","uid":"#);
        pod.uid.with_text(|it| json.string(it));
        json.raw(r#","node":"#);
        json.optional(pod.node.as_deref());
        json.raw(r#","workload":"#);
        match pod.owner.as_deref().map(|it| self.owners.resolve(it)) {
            Some(workload) => {
                json.raw(r#"{"kind":"#);
                json.string(&workload.kind);
                json.raw(r#","name":"#);
                json.string(&workload.name);
                json.raw("}");
            }
            None => json.raw("null"),
        }
        json.raw(r#","phase":"#);
        json.string(pod.phase.name());
        json.raw(if pod.ready {
            r#","ready":true,"qos":"#
        } else {
            r#","ready":false,"qos":"#
        });
        json.optional(pod.qos.map(|it| it.name()));
        json.raw(r#","restarts":"#);
        json.integer(pod.restarts().into());
        json.raw(r#","timestamp":"#);
        json.optional(usage.map(|it| it.timestamp.as_str()));
        json.raw(r#","window_seconds":"#);
        match usage.and_then(|it| it.window) {
            Some(nanoseconds) => json.billionths(nanoseconds),
            None => json.raw("null"),
        }
        json.raw(r#","containers":["#);
        self.containers(json);
        json.raw("]}");
    }
}

fn container(
    json: &mut Json,
    name: &str,
    usage: Option<&ContainerUsage<'_>>,
    shape: Option<&ContainerShape>,
    history: Option<&ContainerHistory>,
) {
    json.raw(r#"{"name":"#);
    json.string(name);
    millicores(json, r#","cpu_millicores":"#, usage.and_then(|it| it.cpu));
    bytes(json, r#","memory_bytes":"#, usage.and_then(|it| it.memory));
    let amount = |of: fn(&ContainerShape) -> Option<i64>| shape.and_then(of);
    millicores(
        json,
        r#","cpu_request_millicores":"#,
        amount(|it| it.cpu_request),
    );
    millicores(
        json,
        r#","cpu_limit_millicores":"#,
        amount(|it| it.cpu_limit),
    );
    bytes(
        json,
        r#","memory_request_bytes":"#,
        amount(|it| it.memory_request),
    );
    bytes(
        json,
        r#","memory_limit_bytes":"#,
        amount(|it| it.memory_limit),
    );
    json.raw(r#","restarts":"#);
    json.integer(history.map_or(0, |it| it.restarts).into());
    json.raw(r#","last_termination":"#);
    json.optional(history.and_then(|it| it.last_termination.as_deref()));
    json.raw("}");
}

fn millicores(json: &mut Json, name: &str, nanocores: Option<i64>) {
    json.raw(name);
    match nanocores {
        Some(nanocores) => json.millionths(nanocores),
        None => json.raw("null"),
    }
}

fn bytes(json: &mut Json, name: &str, bytes: Option<i64>) {
    json.raw(name);
    match bytes {
        Some(bytes) => json.integer(bytes),
        None => json.raw("null"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::pods::Pods;
    use crate::collector::usage::{self, Measurement};

    fn sample(pod: &Value, metrics: Option<&Value>) -> Value {
        let (pod, mut pods) = (pod.to_string(), Pods::default());
        pods.applied(&serde_json::from_str(&pod).unwrap());
        pods.begin_cycle();
        let mut cursor = 0;
        let pod = pods.report_next(&mut cursor).unwrap();
        let (owners, mut text) = (Owners::default(), Json::default());
        match metrics {
            Some(metrics) => {
                let write = |it: &Measurement<'_>| {
                    PodSample::new(pod, &owners, it.usage.as_ref()).write(&mut text);
                };
                usage::json(metrics.to_string().as_bytes(), write).unwrap();
            }
            None => PodSample::new(pod, &owners, None).write(&mut text),
        }
        serde_json::from_slice(text.bytes()).unwrap()
    }

    #[test]
    fn every_member_is_there() {
        let pod = json!({
            "metadata": {"namespace": "a", "name": "web-1", "uid": "5f0c1d4e-0000-4000-8000-0123456789ab",
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "r", "controller": true}]},
            "spec": {"nodeName": "n", "containers": [
                {"name": "app", "resources": {"requests": {"cpu": "1500u", "memory": "1Mi"}, "limits": {"cpu": "2"}}},
                {"name": "idle"}]},
            "status": {"phase": "Running", "qosClass": "Burstable", "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [
                    {"name": "app", "restartCount": 3, "lastState": {"terminated": {"reason": "a \"reason\""}}}]}});
        let metrics = json!({"metadata": {"name": "web-1", "namespace": "a"}, "timestamp": "2024-01-15T10:25:00Z",
            "window": "1m0.5s", "containers": [{"name": "app", "usage": {"cpu": "2386041n", "memory": "1Ki"}},
                {"name": "debug", "usage": {"cpu": "1n"}}]});
        let container = |name: &str, more: Value| {
            let mut all = json!({"name": name, "cpu_millicores": null, "memory_bytes": null,
                "cpu_request_millicores": null, "cpu_limit_millicores": null, "memory_request_bytes": null,
                "memory_limit_bytes": null, "restarts": 0, "last_termination": null});
            for (key, value) in more.as_object().unwrap() {
                all[key] = value.clone();
            }
            all
        };
        assert_eq!(
            sample(&pod, Some(&metrics)),
            json!({"kind": "pod", "namespace": "a", "name": "web-1", "uid": "5f0c1d4e-0000-4000-8000-0123456789ab",
                "node": "n", "workload": {"kind": "ReplicaSet", "name": "web"}, "phase": "Running", "ready": true,
                "qos": "Burstable", "restarts": 3, "timestamp": "2024-01-15T10:25:00.000Z", "window_seconds": 60.5,
                "containers": [
                    container("app", json!({"cpu_millicores": 2.386_041, "memory_bytes": 1024,
                        "cpu_request_millicores": 1.5, "cpu_limit_millicores": 2000, "memory_request_bytes": 1 << 20,
                        "restarts": 3, "last_termination": "a \"reason\""})),
                    container("idle", json!({})),
                    container("debug", json!({"cpu_millicores": 0.000_001}))]})
        );
    }

    #[test]
    fn what_is_unknown_is_null() {
        let sample = sample(&json!({"metadata": {"name": "p", "namespace": "a"}}), None);
        for name in ["node", "workload", "qos", "timestamp", "window_seconds"] {
            assert!(sample[name].is_null(), "{name}");
        }
        assert_eq!(
            (sample["phase"].as_str(), sample["ready"].as_bool()),
            (Some("Unknown"), Some(false))
        );
        assert_eq!(sample["containers"], json!([]));
    }
}
