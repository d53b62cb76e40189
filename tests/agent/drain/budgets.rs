//! Budgets that hold a drain up, and let it go on.

use std::time::Instant;

use serde_json::{Value, json};

use super::{assert_each, assert_ended, hold};
use crate::common::agent::Setup;
use crate::common::drain::{SHORT, Scene};
use crate::common::eventually;

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
    assert_each(&scene, &drained, "web-", 4, "evicted");
    assert!(agent.metric("kubernetes_agent_evictions_blocked_total") > Some(0.0));
    assert!(agent.metric("kubernetes_agent_evictions_total{outcome=\"accepted\"}") >= Some(4.0));
    println!("four pods one by one: {:.1} s", took.as_secs_f64());
    agent.stop();
    scene.backend.assert_no_violations();
}

#[test]
fn a_drain_in_vain_restores_the_node_or_not_as_it_is_told() {
    let scene = Scene::new();
    hold(&scene);
    let mut agent = scene.agent();
    let failed = scene.drain(&json!({"timeout_seconds": SHORT}));
    assert_ended(&failed, "failed", &json!("timed_out"));
    assert_eq!(scene.outcomes(&failed, "web-"), ["blocked"]);
    assert_eq!(failed["details"]["pods"][0]["never"], false);
    assert_eq!(failed["details"]["restored"], true);
    assert!(!scene.is_cordoned());

    let kept = scene.drain(&json!({"timeout_seconds": SHORT, "on_failure": "keep_cordoned"}));
    assert_ended(&kept, "failed", &json!("timed_out"));
    assert_eq!(kept["details"]["restored"], false);
    assert!(scene.is_cordoned());

    // What somebody else has cordoned stays so.
    scene.cordon(&scene.node, false);
    scene.cordon(&scene.node, true);
    let foreign = scene.drain(&json!({"timeout_seconds": SHORT}));
    assert_ended(&foreign, "failed", &json!("timed_out"));
    assert_eq!(foreign["details"]["cordoned_by_this"], false);
    assert!(scene.is_cordoned());

    // The budget goes, and the drain goes on at once.
    let blocked = || agent.metric("kubernetes_agent_evictions_blocked_total");
    let before = blocked();
    let id = scene.issue("drain_node", &scene.drain_params(&json!({})), false);
    agent.logged(&id);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("the fourth drain is held up", || blocked() > before);
            scene.delete_budget("web");
        });
        assert_ended(&scene.result(&id), "succeeded", &Value::Null);
    });
    agent.stop();
    scene.backend.assert_no_violations();
}

/// How often the agent changed a node or a pod, evictions among it.
fn changes(scene: &Scene) -> usize {
    let writes = scene.cluster.writes().into_iter();
    let touched = |it: &str| it.starts_with("nodes") || it.starts_with("pods");
    writes.filter(|it| touched(&it.resource)).count()
}

#[test]
fn a_plan_names_the_budget_that_would_hold_it_and_writes_nothing() {
    let scene = Scene::new();
    hold(&scene);
    let before = changes(&scene);
    let pod = scene.pods_on_node().remove(0);
    let evict = scene.evict_params(pod["metadata"]["name"].as_str().unwrap(), &json!({}));
    let drain = scene.drain_params(&json!({}));
    let is_held = |plan: &Value, of: &Value| {
        assert_ended(plan, "succeeded", &Value::Null);
        assert_eq!(of["would"], "wait_for_budget", "{plan:#}");
        assert_eq!(of["budget"]["budgets"], json!(["web"]));
        let numbers = (&of["budget"]["needs"], &of["budget"]["has"]);
        assert_eq!(numbers, (&json!(1), &json!(1)));
    };
    let plans = |dry_run: bool| {
        let plan = scene.result(&scene.issue("evict_pod", &evict, dry_run));
        is_held(&plan, &plan["details"]["plan"][0]);
        let plan = scene.result(&scene.issue("drain_node", &drain, dry_run));
        is_held(&plan, &plan["details"]["pods"][0]);
    };
    // By the envelope, and by the agent's own DRY_RUN.
    let mut agent = scene.agent();
    plans(true);
    agent.stop();
    let observing = Setup::new(scene.cluster.kubeconfig(), &scene.backend);
    let mut agent = observing.with("DRY_RUN", "true").start();
    plans(false);
    agent.stop();
    assert_eq!(changes(&scene), before);
    assert!(!scene.is_cordoned());
    scene.backend.assert_no_violations();
}
