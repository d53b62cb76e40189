//! Evictions of one pod.

use serde_json::{Value, json};

use super::{assert_ended, finish, hold};
use crate::common::drain::{SHORT, Scene};
use crate::common::eventually;

#[test]
fn evictions() {
    let scene = Scene::new();
    scene.on_node(3, || {
        scene.workload("StatefulSet", "stateful", 1, &json!({}));
        let annotations =
            json!({"metadata": {"annotations": {"kubernetes-agent/do-not-disrupt": "true"}}});
        scene.bare("protected-1", &annotations);
        scene.workload("StatefulSet", "strict", 1, &json!({}));
    });
    finish(&scene, "finished-1");
    scene.budget("strict", "strict", &json!({"maxUnavailable": 0}));
    let mut agent = scene.agent();
    let evict =
        |name: &str, params: Value| scene.act("evict_pod", &scene.evict_params(name, &params));
    let pod = |name: &str| {
        scene
            .cluster
            .api()
            .get(&format!("{}/{name}", scene.cluster.path("/api/v1", "pods")))
    };

    let missing = evict("no-such-pod", json!({}));
    assert_ended(&missing, "noop", &Value::Null);
    assert_eq!(missing["details"]["outcome"], "already_gone");
    let other = evict(
        "stateful-0",
        json!({"pod_uid": "00000000-0000-4000-8000-000000000000"}),
    );
    assert_ended(&other, "noop", &Value::Null);
    assert_eq!(other["details"]["outcome"], "replaced");
    assert_ended(&evict("finished-1", json!({})), "noop", &Value::Null);
    assert_ended(
        &evict("protected-1", json!({})),
        "rejected",
        &json!("policy_denied"),
    );
    let never = evict("strict-0", json!({}));
    assert_ended(&never, "rejected", &json!("precondition_failed"));
    assert_eq!(
        (&never["details"]["outcome"], &never["details"]["never"]),
        (&json!("blocked"), &json!(true))
    );
    assert_eq!(never["details"]["budget"]["budgets"], json!(["strict"]));
    let params = scene.evict_params("stateful-0", &json!({}));
    let plan = scene.result(&scene.issue("evict_pod", &params, true));
    assert_ended(&plan, "succeeded", &Value::Null);
    assert_eq!(plan["details"]["plan"][0]["would"], "evict");

    let before = pod("stateful-0");
    assert!(before["metadata"]["deletionTimestamp"].is_null());
    let uid = before["metadata"]["uid"].clone();
    let evicted = evict(
        "stateful-0",
        json!({"pod_uid": uid, "grace_period_seconds": 1}),
    );
    assert_ended(&evicted, "succeeded", &Value::Null);
    assert_eq!(
        (&evicted["details"]["outcome"], &evicted["details"]["uid"]),
        (&json!("evicted"), &uid)
    );
    eventually("the next pod of its name", || {
        scene
            .cluster
            .pods()
            .iter()
            .any(|it| it["metadata"]["name"] == "stateful-0" && it["metadata"]["uid"] != uid)
    });
    agent.stop();
    scene.backend.assert_no_violations();
}

#[test]
fn nothing_is_evicted_from_a_protected_namespace() {
    let mut scene = Scene::new();
    scene.bare("bare-1", &json!({}));
    let namespace = scene.cluster.namespace().to_owned();
    scene.setup = crate::common::agent::Setup::new(scene.cluster.kubeconfig(), &scene.backend)
        .with("PROTECTED_NAMESPACES", &namespace);
    let mut agent = scene.agent();
    let denied = scene.act("evict_pod", &scene.evict_params("bare-1", &json!({})));
    assert_ended(&denied, "rejected", &json!("policy_denied"));
    agent.stop();
}

#[test]
fn an_eviction_that_its_budget_holds_names_it_and_ends_in_time() {
    let scene = Scene::new();
    hold(&scene);
    let mut agent = scene.agent();
    let name = scene.pods_on_node()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let blocked = scene.act(
        "evict_pod",
        &scene.evict_params(&name, &json!({"timeout_seconds": SHORT})),
    );
    assert_ended(&blocked, "failed", &json!("timed_out"));
    assert_eq!(blocked["details"]["outcome"], "blocked");
    assert_eq!(blocked["details"]["budget"]["needs"], 1);
    assert!(
        blocked["message"]
            .as_str()
            .unwrap()
            .contains("budget web needs 1 healthy pods and has 1"),
        "{blocked}"
    );
    agent.stop();
    scene.backend.assert_no_violations();
}
