//! What becomes of every kind of pod, and of a node that is not the one that was meant.

use serde_json::{Value, json};

use super::{assert_each, assert_ended, finish};
use crate::common::drain::Scene;
use crate::common::{eventually, settles};

/// One line of the table for each kind of pod.
fn table(scene: &Scene, result: &Value, expected: &[(&str, &str)]) {
    println!("| pod | outcome | why |\n|---|---|---|");
    for pod in result["details"]["pods"].as_array().unwrap() {
        let why = pod["message"]
            .as_str()
            .map_or_else(|| pod["reasons"].to_string(), str::to_owned);
        println!(
            "| {} | {} | {why} |",
            pod["name"].as_str().unwrap(),
            pod["outcome"].as_str().unwrap()
        );
    }
    for (name, outcome) in expected {
        assert_each(scene, result, &format!("{name}-"), 1, outcome);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn the_outcome_of_every_kind_of_pod() {
    let scene = Scene::new();
    let node = scene
        .cluster
        .api()
        .get(&format!("/api/v1/nodes/{}", scene.node));
    finish(&scene, "finished-1");
    // Ten pods: five of deployments, one each of the others.
    scene.on_node(10, || {
        scene.workload("Deployment", "plain", 1, &json!({}));
        let volume = json!({"spec": {"volumes": [{"name": "scratch", "emptyDir": {}}]}});
        scene.workload("Deployment", "scratch", 1, &volume);
        let annotations = json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}});
        scene.workload("Deployment", "protected", 1, &annotations);
        scene.workload("Deployment", "twice", 1, &json!({}));
        scene.workload("Deployment", "strict", 1, &json!({}));
        scene.workload("StatefulSet", "stateful", 1, &json!({}));
        let everything = json!({"spec": {"tolerations": [{"operator": "Exists"}], "nodeName": scene.node}});
        scene.workload("Deployment", "tolerant", 1, &everything);
        let unpinned = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
        scene.workload("DaemonSet", "daemon", 0, &unpinned);
        scene.bare("bare-1", &json!({}));
        let owner = json!([{
            "apiVersion": "v1", "kind": "Node", "name": scene.node, "uid": node["metadata"]["uid"], "controller": true,
        }]);
        scene.bare("mirror-1", &json!({"metadata": {"ownerReferences": owner}}));
    });
    scene.budget("twice-a", "twice", &json!({"minAvailable": 0}));
    scene.budget("twice-b", "twice", &json!({"minAvailable": 0}));
    scene.budget("strict", "strict", &json!({"minAvailable": 1}));
    let mut agent = scene.agent();

    let evictions = scene.cluster.requests("create", "pods/eviction");
    // What may not go refuses the drain as a whole, before anything is touched.
    let refused = scene.drain(&json!({}));
    assert_ended(&refused, "rejected", &json!("precondition_failed"));
    table(
        &scene,
        &refused,
        &[
            ("plain", "not_tried"),
            ("scratch", "refused"),
            ("protected", "protected"),
            ("twice", "pdb_misconfigured"),
            ("strict", "blocked"),
            ("stateful", "not_tried"),
            ("tolerant", "skipped"),
            ("daemon", "skipped"),
            ("finished", "skipped"),
            ("bare", "refused"),
            ("mirror", "skipped"),
        ],
    );
    let strict = |it: &&Value| it["name"].as_str().unwrap().starts_with("strict-");
    let strict = refused["details"]["pods"]
        .as_array()
        .unwrap()
        .iter()
        .find(strict)
        .unwrap();
    assert_eq!(strict["never"], true);
    assert_eq!(strict["budget"]["budgets"], json!(["strict"]));
    assert_eq!(
        (&strict["budget"]["needs"], &strict["budget"]["has"]),
        (&json!(1), &json!(1))
    );
    assert!(!scene.is_cordoned());
    assert_eq!(
        scene.cluster.requests("create", "pods/eviction"),
        evictions,
        "nothing was asked of the server"
    );

    scene.delete("/apis/apps/v1", "deployments", "protected");
    for name in ["twice-a", "twice-b", "strict"] {
        scene.delete_budget(name);
    }
    eventually("the protected pod is gone", || {
        !scene
            .cluster
            .pods()
            .iter()
            .any(|it| it["metadata"]["labels"]["app"] == "protected")
    });
    let allowed = json!({"force": true, "delete_emptydir_data": true});

    // What the server would say, and nothing written.
    let plan = scene.result(&scene.issue("drain_node", &scene.drain_params(&allowed), true));
    assert_ended(&plan, "succeeded", &Value::Null);
    assert_eq!(plan["details"]["dry_run"], true);
    assert_eq!(scene.outcomes(&plan, "plain-"), ["evict"]);
    assert_eq!(scene.outcomes(&plan, "daemon-"), ["skipped"]);
    assert!(!scene.is_cordoned());
    let before = scene.pods_on_node().len();
    let claim = scene.cluster.api().get(&format!(
        "{}/stateful-0",
        scene.cluster.path("/api/v1", "pods")
    ));

    let drained = scene.drain(&allowed);
    assert_ended(&drained, "succeeded", &Value::Null);
    table(
        &scene,
        &drained,
        &[
            ("plain", "evicted"),
            ("scratch", "evicted"),
            ("twice", "evicted"),
            ("strict", "evicted"),
            ("stateful", "evicted"),
            ("tolerant", "skipped"),
            ("daemon", "skipped"),
            ("finished", "skipped"),
            ("bare", "evicted"),
            ("mirror", "skipped"),
        ],
    );
    assert!(scene.is_cordoned());
    assert_eq!(drained["details"]["cordoned_by_this"], true);
    assert_eq!(scene.pods_on_node().len(), before - 6);
    settles(
        "the stateful set's pod is back elsewhere, under its name",
        || {
            let (_, pod) = scene
                .cluster
                .api()
                .try_request(
                    &ureq::http::Method::GET,
                    &format!("{}/stateful-0", scene.cluster.path("/api/v1", "pods")),
                    None,
                )
                .unwrap();
            let is_other = pod["metadata"]["uid"].is_string()
                && pod["metadata"]["uid"] != claim["metadata"]["uid"];
            let node = pod["spec"]["nodeName"].as_str();
            if is_other && node.is_some_and(|it| it != scene.node) {
                Ok(())
            } else {
                Err(format!("{node:?}"))
            }
        },
    );

    // And again: there is nothing to do.
    let again = scene.drain(&allowed);
    assert_ended(&again, "noop", &Value::Null);
    agent.stop();
    scene.backend.assert_no_violations();
}

#[test]
fn a_node_that_is_not_there_and_one_that_is_another() {
    let scene = Scene::new();
    let mut agent = scene.agent();
    let absent = scene.act("drain_node", &json!({"node": "no-such-node"}));
    assert_ended(&absent, "noop", &Value::Null);
    assert_eq!(absent["details"]["outcome"], "node_absent");
    let other = scene.drain(&json!({"node_uid": "00000000-0000-4000-8000-000000000000"}));
    assert_ended(&other, "rejected", &json!("precondition_failed"));
    assert!(!scene.is_cordoned());
    agent.stop();
}
