//! Pods leave as their budgets allow it, and the result says of each what became of it: the same on the simulated and
//! on a real cluster.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "tables for people")]

use std::time::{Duration, Instant};

use crate::common::drain::Scene;
use crate::common::{eventually, settles};
use serde_json::{Value, json};

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

fn assert_ended(result: &Value, status: &str, reason: &Value) {
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!(status), reason),
        "{result:#}"
    );
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
        let outcomes = scene.outcomes(result, &format!("{name}-"));
        assert_eq!(outcomes, [*outcome], "{name}: {result:#}");
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

#[test]
fn pods_go_the_moment_their_budget_allows_it() {
    let scene = Scene::new();
    scene.on_node(4, || scene.workload("Deployment", "web", 4, &json!({})));
    scene.budget("web", "web", &json!({"minAvailable": 3}));
    let mut agent = scene.agent();
    agent.logged("pods");
    let began = Instant::now();
    let drained = scene.drain(&json!({}));
    let took = began.elapsed();
    assert_ended(&drained, "succeeded", &Value::Null);
    assert_eq!(scene.outcomes(&drained, "web-"), ["evicted"; 4]);
    assert!(agent.metric("kubernetes_agent_evictions_blocked_total") > Some(0.0));
    assert!(agent.metric("kubernetes_agent_evictions_total{outcome=\"accepted\"}") == Some(4.0));
    println!("four pods one by one: {:.1} s", took.as_secs_f64());
    agent.stop();
    scene.backend.assert_no_violations();
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

#[test]
fn a_drain_in_vain_restores_the_node_or_not_as_it_is_told() {
    let scene = Scene::new();
    hold(&scene);
    let mut agent = scene.agent();
    let failed = scene.drain(&json!({"timeout_seconds": 2}));
    assert_ended(&failed, "failed", &json!("timed_out"));
    assert_eq!(scene.outcomes(&failed, "web-"), ["blocked"]);
    assert_eq!(failed["details"]["pods"][0]["never"], false);
    assert_eq!(failed["details"]["restored"], true);
    assert!(!scene.is_cordoned());

    let kept = scene.drain(&json!({"timeout_seconds": 2, "on_failure": "keep_cordoned"}));
    assert_ended(&kept, "failed", &json!("timed_out"));
    assert_eq!(kept["details"]["restored"], false);
    assert!(scene.is_cordoned());

    // What somebody else has cordoned stays so.
    scene.cordon(&scene.node, false);
    scene.cordon(&scene.node, true);
    let foreign = scene.drain(&json!({"timeout_seconds": 2}));
    assert_ended(&foreign, "failed", &json!("timed_out"));
    assert_eq!(foreign["details"]["cordoned_by_this"], false);
    assert!(scene.is_cordoned());

    // The budget goes, and the drain goes on at once.
    let id = scene.issue("drain_node", &scene.drain_params(&json!({})), false);
    agent.logged(&id);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let blocked = || agent.metric("kubernetes_agent_evictions_blocked_total") >= Some(4.0);
            eventually("the fourth drain is held up", blocked);
            scene.delete_budget("web");
        });
        assert_ended(&scene.result(&id), "succeeded", &Value::Null);
    });
    agent.stop();
    scene.backend.assert_no_violations();
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
        &scene.evict_params(&name, &json!({"timeout_seconds": 2})),
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
