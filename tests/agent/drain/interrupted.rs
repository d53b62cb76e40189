//! Drains that something ends in the middle: a stop, a crash, somebody who uncordons the node.

use std::time::Duration;

use serde_json::{Value, json};

use super::{assert_each, assert_ended, held, release};
use crate::common::drain::Scene;
use crate::common::eventually;

/// Waits until a drain waits for nothing but held-1: so many pods of `web` are elsewhere, all that is left on the node
/// are so many others, and the agent has written down what it evicted.
fn waits_for_held(scene: &Scene, web: usize, left: usize) {
    // A late scheduler may put what takes their place on the node, from where it goes as well.
    let is_elsewhere = |it: &&Value| {
        let node = it["spec"]["nodeName"].as_str();
        it["metadata"]["labels"]["app"] == "web" && node.is_some_and(|it| it != scene.node)
    };
    eventually("the pods that may are gone", || {
        let pods = scene.cluster.pods();
        pods.iter().filter(is_elsewhere).count() >= web && scene.pods_on_node().len() == left
    });
    let journal = scene.setup.folder().join("state/journal");
    eventually("the evictions are written down", || {
        let text = std::fs::read_to_string(&journal).unwrap();
        text.contains("/held-1") && text.matches("/web-").count() >= web
    });
}

#[test]
fn a_drain_is_interrupted_by_the_stop_and_does_not_go_on() {
    let scene = Scene::new();
    scene.on_node(4, || {
        scene.workload("Deployment", "web", 2, &json!({}));
        scene.bare("held-1", &held(json!({})));
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
    waits_for_held(&scene, 2, 2);
    agent.signal("TERM");
    let (status, took) = agent.wait();
    assert!(
        status.success() && took < Duration::from_secs(10),
        "{status} {took:?}"
    );
    let result = scene.result(&id);
    assert_ended(&result, "interrupted", &json!("shutdown"));
    assert_each(&scene, &result, "web-", 2, "evicted");
    // A kubelet may take more than a minute for the pods before.
    let held = scene.outcomes(&result, "held-");
    assert!(
        held == ["terminating"] || held == ["stuck_terminating"],
        "{result:#}"
    );
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
    // A kubelet may not have confirmed its end yet.
    eventually("only the one that was not tried is left", || {
        scene.pods_on_node().len() == 1
    });
    next.stop();
    scene.backend.assert_no_violations();
}

#[test]
fn a_drain_that_a_crash_has_ended_is_looked_at_and_not_run_again() {
    let scene = Scene::new();
    scene.on_node(2, || {
        scene.workload("Deployment", "web", 1, &json!({}));
        scene.bare("held-1", &held(json!({})));
    });
    let mut agent = scene.agent();
    let id = scene.issue(
        "drain_node",
        &scene.drain_params(&json!({"force": true})),
        false,
    );
    waits_for_held(&scene, 1, 1);
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
    assert!(
        done.len() >= 2 && done.iter().all(|it| *it == "evicted"),
        "{steps:?}"
    );
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
        scene.bare("held-1", &held(json!({})));
    });
    let mut agent = scene.agent();
    let id = scene.issue(
        "drain_node",
        &scene.drain_params(&json!({"force": true})),
        false,
    );
    waits_for_held(&scene, 1, 1);
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
