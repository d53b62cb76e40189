//! The agent's drain beside kubectl's on a real cluster; started by `tests/cluster/drain-race`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "tables for people")]

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::common::drain::Scene;
use crate::common::settles;
use serde_json::{Value, json};

const REPLICAS: usize = 12;
const ON_NODE: usize = 4;
const ROUNDS: usize = 3;

/// A pod that its budget counts as healthy: ready, and not on its way out.
fn is_healthy(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|it| it["type"] == "Ready" && it["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}

/// The lowest number of healthy pods, as a watch shows it from now on.
struct Lowest {
    seen: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Lowest {
    fn watch(scene: &Scene) -> Self {
        let path = scene.cluster.path("/api/v1", "pods");
        let list = scene.cluster.api().get(&path);
        let uid = |it: &Value| it["metadata"]["uid"].as_str().unwrap().to_owned();
        let mut pods: HashMap<String, bool> = HashMap::new();
        for pod in list["items"].as_array().unwrap() {
            pods.insert(uid(pod), is_healthy(pod));
        }
        let version = list["metadata"]["resourceVersion"].as_str().unwrap();
        let events = scene.cluster.api().watch(&format!(
            "{path}?watch=1&timeoutSeconds=600&resourceVersion={version}"
        ));
        let count = |pods: &HashMap<String, bool>| pods.values().filter(|it| **it).count();
        let seen = Arc::new(AtomicUsize::new(count(&pods)));
        let over = Arc::new(AtomicBool::new(false));
        let lowest = Self {
            seen: seen.clone(),
            over: over.clone(),
        };
        std::thread::spawn(move || {
            for event in events {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let pod = &event["object"];
                if event["type"] == "DELETED" {
                    pods.remove(&uid(pod));
                } else {
                    pods.insert(uid(pod), is_healthy(pod));
                }
                seen.fetch_min(count(&pods), Ordering::SeqCst);
            }
        });
        lowest
    }

    fn end(self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        self.seen.load(Ordering::SeqCst)
    }
}

/// Twelve pods, four of them on the node, all healthy, and the budget allows one to be missing.
fn set_up(scene: &Scene) {
    scene.cordon(&scene.node, false);
    scene.delete("/apis/apps/v1", "deployments", "web");
    settles("nothing is left of the last round", || {
        match scene.cluster.pods().len() {
            0 => Ok(()),
            n => Err(format!("{n} pods")),
        }
    });
    scene.on_node(ON_NODE, || {
        scene.workload("Deployment", "web", ON_NODE, &json!({}));
    });
    scene.cordon(&scene.node, true);
    settles("the node is cordoned", || {
        let node = scene
            .cluster
            .api()
            .get(&format!("/api/v1/nodes/{}", scene.node));
        if node["spec"]["taints"].is_array() {
            Ok(())
        } else {
            Err("no taint".to_owned())
        }
    });
    scene.cluster.scale("web", REPLICAS, REPLICAS);
    scene.cordon(&scene.node, false);
    scene.budget("web", "web", &json!({"minAvailable": REPLICAS - 1}));
    settles("all is well", || {
        let path = scene
            .cluster
            .path("/apis/policy/v1beta1", "poddisruptionbudgets");
        let status = scene.cluster.api().get(&format!("{path}/web"))["status"].take();
        let node = scene
            .cluster
            .api()
            .get(&format!("/api/v1/nodes/{}", scene.node));
        let on_node = scene.pods_on_node().len();
        let good = status["disruptionsAllowed"] == 1
            && !node["spec"]["taints"].is_array()
            && on_node == ON_NODE;
        if good {
            Ok(())
        } else {
            Err(format!("{on_node} pods on the node, {status}"))
        }
    });
}

fn with_kubectl(scene: &Scene) {
    let kubectl = std::env::var("KUBECTL").expect("KUBECTL");
    let folder = std::env::var("KUBERNETES_AGENT_TEST_CLUSTER").expect("a real cluster");
    let done = Command::new(kubectl)
        .env("KUBECONFIG", format!("{folder}/admin.kubeconfig"))
        .args([
            "drain",
            &scene.node,
            "--ignore-daemonsets",
            "--timeout=120s",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(done.is_ok_and(|it| it.success()), "kubectl drain");
}

fn with_agent(scene: &Scene) {
    let drained = scene.drain(&json!({}));
    assert_eq!(drained["status"], "succeeded", "{drained:#}");
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

#[test]
#[ignore = "needs a real cluster and kubectl: tests/cluster/drain-race"]
fn a_drain_takes_half_of_kubectls_time_and_keeps_the_budget() {
    let scene = Scene::new();
    let mut agent = scene.agent();
    let (out, times) = mpsc::channel();
    println!("| round | by | seconds | healthy pods at least |\n|---|---|---|---|");
    for round in 1..=ROUNDS {
        for name in ["kubectl", "agent"] {
            set_up(&scene);
            let lowest = Lowest::watch(&scene);
            let began = Instant::now();
            if name == "kubectl" {
                with_kubectl(&scene);
            } else {
                with_agent(&scene);
            }
            let took = began.elapsed();
            assert_eq!(scene.pods_on_node().len(), 0);
            let lowest = lowest.end();
            println!(
                "| {round} | {name} | {:.1} | {lowest} |",
                took.as_secs_f64()
            );
            assert!(
                lowest >= REPLICAS - 1,
                "{name}: the budget was broken: {lowest}"
            );
            out.send((name, took)).unwrap();
        }
    }
    drop(out);
    let times: Vec<_> = times.iter().collect();
    let of = |tool: &str| {
        median(
            times
                .iter()
                .filter(|it| it.0 == tool)
                .map(|it| it.1)
                .collect(),
        )
    };
    let (kubectl, ours) = (of("kubectl"), of("agent"));
    println!(
        "median: kubectl {kubectl:.1} s, agent {ours:.1} s ({:.0} %)",
        100.0 * ours / kubectl
    );
    assert!(
        ours * 2.0 <= kubectl,
        "{ours:.1} s is more than half of {kubectl:.1} s"
    );
    agent.stop();
    scene.backend.assert_no_violations();
}
