//! Drains that something ends in the middle: a stop, a crash, somebody who uncordons the node.

use std::time::Duration;

use serde_json::{Value, json};

use super::assert_ended;
use crate::common::drain::Scene;
use crate::common::eventually;

/// Holds a pod that is deleted until it is taken away.
const HOLD: &str = "kubernetes-agent.test/hold";

fn release(scene: &Scene) {
    for pod in scene.cluster.pods() {
        if pod["metadata"]["finalizers"].is_array() {
            let path = format!(
                "{}/{}",
                scene.cluster.path("/api/v1", "pods"),
                pod["metadata"]["name"].as_str().unwrap()
            );
            scene
                .cluster
                .api()
                .patch(&path, &json!({"metadata": {"finalizers": null}}));
        }
    }
}

fn held() -> Value {
    json!({"metadata": {"finalizers": [HOLD]}})
}

#[test]
fn a_drain_is_interrupted_by_the_stop_and_does_not_go_on() {
    let scene = Scene::new();
    scene.on_node(4, || {
        scene.workload("Deployment", "web", 2, &json!({}));
        scene.bare("held-1", &held());
        scene.bare(
            "later-1",
            &json!({"spec": {"priorityClassName": "system-node-critical"}}),
        );
    });
    let mut agent = scene.agent();
    let id = scene.issue(
        "drain_node",
        &scene.drain_params(&json!({"force": true})),
        false,
    );
    eventually("the pods that may are gone", || {
        scene.pods_on_node().len() == 2
    });
    agent.signal("TERM");
    let (status, took) = agent.wait();
    assert!(
        status.success() && took < Duration::from_secs(10),
        "{status} {took:?}"
    );
    let result = scene.result(&id);
    assert_ended(&result, "interrupted", &json!("shutdown"));
    assert_eq!(scene.outcomes(&result, "web-"), ["evicted"; 2]);
    assert_eq!(scene.outcomes(&result, "held-"), ["terminating"]);
    assert_eq!(scene.outcomes(&result, "later-"), ["not_tried"]);
    assert!(scene.is_cordoned());

    let evictions = scene.cluster.requests("create", "pods/eviction");
    release(&scene);
    let mut next = scene.agent();
    let beats = scene.backend.heartbeats().len();
    eventually("it beats for a while", || {
        scene.backend.heartbeats().len() > beats + 3
    });
    assert_eq!(scene.cluster.requests("create", "pods/eviction"), evictions);
    assert_eq!(scene.result(&id), result);
    assert_eq!(scene.pods_on_node().len(), 1);
    next.stop();
    scene.backend.assert_no_violations();
}

#[test]
fn a_drain_that_a_crash_has_ended_is_looked_at_and_not_run_again() {
    let scene = Scene::new();
    scene.on_node(2, || {
        scene.workload("Deployment", "web", 1, &json!({}));
        scene.bare("held-1", &held());
    });
    let mut agent = scene.agent();
    let id = scene.issue(
        "drain_node",
        &scene.drain_params(&json!({"force": true})),
        false,
    );
    eventually("the pod that may is gone", || {
        scene.pods_on_node().len() == 1
    });
    agent.signal("KILL");
    agent.wait();
    let evictions = scene.cluster.requests("create", "pods/eviction");
    let mut next = scene.agent();
    let result = scene.result(&id);
    assert_ended(&result, "interrupted", &json!("restarted"));
    let steps = result["details"]["steps"].as_array().unwrap();
    let done: Vec<_> = steps
        .iter()
        .map(|it| it["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(done, ["evicted"; 2], "{steps:?}");
    assert_eq!(scene.outcomes(&result, "held-"), ["present"]);
    assert_eq!(scene.cluster.requests("create", "pods/eviction"), evictions);
    release(&scene);
    next.stop();
    scene.backend.assert_no_violations();
}

#[test]
fn whoever_uncordons_the_node_ends_its_drain() {
    let scene = Scene::new();
    scene.on_node(2, || {
        scene.workload("Deployment", "web", 1, &json!({}));
        scene.bare("held-1", &held());
    });
    let mut agent = scene.agent();
    let id = scene.issue(
        "drain_node",
        &scene.drain_params(&json!({"force": true})),
        false,
    );
    eventually("the pod that may is gone", || {
        scene.pods_on_node().len() == 1
    });
    scene.cordon(&scene.node, false);
    let result = scene.result(&id);
    assert_ended(&result, "partial", &json!("precondition_failed"));
    assert!(
        result["message"].as_str().unwrap().contains("uncordoned"),
        "{result}"
    );
    assert!(!scene.is_cordoned());
    release(&scene);
    agent.stop();
    scene.backend.assert_no_violations();
}
