//! Disruption budgets, with the status that their controller would give them.

use serde_json::{Value, json};

use super::super::random::timestamp;
use super::Workload;

/// A budget that lets one pod of a workload go at a time.
pub(super) fn make(workload: &Workload, ready: usize) -> Value {
    let created = timestamp(workload.created);
    let desired = workload.replicas.saturating_sub(1);
    let allowed = ready.saturating_sub(desired);
    let (status, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    json!({
        "metadata": {
            "name": workload.name, "namespace": workload.namespace, "uid": workload.uid_of("budget"),
            "creationTimestamp": created, "generation": 1, "labels": {"app.kubernetes.io/name": workload.name},
        },
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": workload.selector()}},
        "status": {
            "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": ready,
            "desiredHealthy": desired, "expectedPods": workload.replicas,
            "conditions": [{
                "type": "DisruptionAllowed", "status": status, "observedGeneration": 1,
                "lastTransitionTime": created, "reason": reason, "message": "",
            }],
        },
    })
}
