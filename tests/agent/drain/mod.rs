//! Evictions and drains, the same on the simulated and on a real cluster: pods leave as their budgets allow it, and the
//! result says of each what became of it.

#![allow(clippy::print_stdout, reason = "tables for people")]

mod budgets;
mod evictions;
mod interrupted;
mod outcomes;
mod returns;

use serde_json::{Value, json};

use crate::common::drain::Scene;
use crate::common::{eventually, settles};

fn assert_ended(result: &Value, status: &str, reason: &Value) {
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!(status), reason),
        "{result:#}"
    );
}

/// So many pods at least have names that begin so, and all of them this outcome: a late scheduler may put what takes
/// their place on the node once more, and that goes as well.
#[track_caller]
fn assert_each(scene: &Scene, result: &Value, prefix: &str, least: usize, outcome: &str) {
    let outcomes = scene.outcomes(result, prefix);
    assert!(
        outcomes.len() >= least && outcomes.iter().all(|it| *it == outcome),
        "{prefix}: {least} of {outcome} in {result:#}"
    );
}

/// `change`, of a pod that stays when it is deleted until it is released.
fn held(mut change: Value) -> Value {
    change["metadata"]["finalizers"] = json!(["kubernetes-agent.test/hold"]);
    change
}

/// Lets the held pods go.
fn release(scene: &Scene) {
    let pods = scene.cluster.path("/api/v1", "pods");
    for pod in scene.cluster.pods() {
        if pod["metadata"]["finalizers"].is_array() {
            let path = format!("{pods}/{}", pod["metadata"]["name"].as_str().unwrap());
            let none = json!({"metadata": {"finalizers": null}});
            scene.cluster.api().patch(&path, &none);
        }
    }
}

/// A pod that has ended by itself.
fn finish(scene: &Scene, name: &str) {
    scene.bare(
        name,
        &json!({"spec": {"activeDeadlineSeconds": 1, "restartPolicy": "Never"}}),
    );
    let path = format!("{}/{name}", scene.cluster.path("/api/v1", "pods"));
    if std::env::var_os("KUBERNETES_AGENT_TEST_CLUSTER").is_none() {
        // The simulated kubelet knows no deadlines.
        scene.cluster.api().patch(
            &format!("{path}/status"),
            &json!({"status": {"phase": "Failed"}}),
        );
    }
    eventually("the pod has finished", || {
        scene.cluster.api().get(&path)["status"]["phase"] == "Failed"
    });
}

/// A budget that holds for now and may pass: it counts a pod that is not running yet.
fn hold(scene: &Scene) {
    scene.on_node(1, || scene.workload("Deployment", "web", 1, &json!({})));
    let nowhere = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"nodeName": null, "nodeSelector": {"nowhere": "x"}}});
    scene.bare("waiting", &nowhere);
    scene.budget("web", "web", &json!({"minAvailable": 1}));
    settles("the budget counts both pods", || {
        let path = scene
            .cluster
            .path("/apis/policy/v1beta1", "poddisruptionbudgets");
        let status = scene.cluster.api().get(&format!("{path}/web"))["status"].take();
        if status["expectedPods"] == 2 && status["currentHealthy"] == 1 {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
}
