//! Usage: what a test writes, and who serves it.

use serde_json::{Value, json};

use super::any_cluster::AnyCluster;
use super::real::Real;

/// The Metrics API.
pub const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

impl AnyCluster {
    /// Writes the usage of a pod of the test's namespace, as the Metrics Server would measure it: after it was made.
    pub fn measure_pod(&self, pod: &Value, containers: &Value) -> Value {
        self.measure_pod_at("2126-01-02T03:04:05Z", pod, containers)
    }

    /// The same at another time.
    pub fn measure_pod_at(&self, time: &str, pod: &Value, containers: &Value) -> Value {
        let name = &pod["metadata"]["name"];
        let metrics = json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
            "metadata": {"name": name, "namespace": self.namespace()},
            "timestamp": time, "window": "30s", "containers": containers,
        });
        let path = self.path(METRICS, "pods");
        // What was measured before.
        let before = format!("{path}/{}", name.as_str().expect("a name"));
        self.api().delete(&before);
        self.api().create(&path, &metrics)
    }

    /// Writes the usage of a node.
    pub fn measure_node(&self, name: &str, usage: &Value) -> Value {
        let metrics = json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "metadata": {"name": name},
            "timestamp": "2026-01-02T03:04:06Z", "window": "15s", "usage": usage,
        });
        // What an earlier test wrote must not stay.
        self.api().delete(&format!("{METRICS}/nodes/{name}"));
        self.api().create(&format!("{METRICS}/nodes"), &metrics)
    }

    /// What was measured so far is served as metrics-server serves it, until the end of what is returned: the
    /// simulation does so always, a real cluster has custom resources otherwise.
    pub fn metrics_server(&self) -> MetricsServer<'_> {
        if let Some(real) = self.real() {
            real.script("component", &["start", "metrics-server"]);
        }
        MetricsServer(self.real())
    }
}

/// metrics-server at work.
#[must_use]
pub struct MetricsServer<'a>(Option<&'a Real>);

impl Drop for MetricsServer<'_> {
    fn drop(&mut self) {
        if let Some(real) = self.0 {
            real.script("component", &["stop", "metrics-server"]);
        }
    }
}
