//! The main job against a real Kubernetes: what its API holds is what arrives.
//!
//! Runs where KUBERNETES_AGENT_TEST_CLUSTER names the folder of a cluster that `tests/cluster/up` started; passes
//! without doing anything elsewhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use common::agent::Setup;
use common::eventually;
use sandbox::backend::{Backend, Kind, Options};
use serde_json::Value;

/// A started cluster, spoken to by kubectl: a second opinion on what its API holds.
struct RealCluster {
    folder: PathBuf,
}

impl RealCluster {
    fn here() -> Option<Self> {
        let folder = std::env::var_os("KUBERNETES_AGENT_TEST_CLUSTER")?;
        Some(Self {
            folder: folder.into(),
        })
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(arguments)
            .output()
            .expect("kubectl runs");
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }

    fn items(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.kubectl(&[&["get"], arguments, &["-o", "json"]].concat());
        let list: Value = serde_json::from_str(&text).expect("JSON");
        list["items"].as_array().expect("a list").clone()
    }

    /// Lists of a resource by the agent, as the API server's audit log counts them.
    fn lists_by_agent(&self, resource: &str) -> usize {
        let log = std::fs::read_to_string(self.folder.join("audit.log")).expect("an audit log");
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|entry| {
                entry["verb"] == "list"
                    && entry["objectRef"]["resource"] == resource
                    && entry["objectRef"]["apiGroup"].is_null()
                    && entry["userAgent"]
                        .as_str()
                        .is_some_and(|it| it.starts_with("kubernetes-agent/"))
            })
            .count()
    }

    fn running_pods(&self) -> usize {
        let pods = self.items(&["pods", "-n", "default"]);
        pods.iter()
            .filter(|it| it["status"]["phase"] == "Running")
            .count()
    }
}

/// The pod samples of the newest whole cycle, by name, if that cycle holds each once.
fn newest_cycle(backend: &Backend) -> BTreeMap<String, Value> {
    backend
        .last_samples(Kind::Pod)
        .iter()
        .map(|it| {
            let name = it.get("name").as_str().unwrap_or_default().to_owned();
            (name, it.get("phase").clone())
        })
        .collect()
}

#[test]
fn every_pod_and_node_arrives_and_a_scale_shows_without_another_list() {
    let Some(cluster) = RealCluster::here() else {
        println!("skipped: KUBERNETES_AGENT_TEST_CLUSTER is not set");
        return;
    };
    let image = "--image=registry.invalid/app:1";
    for name in ["one", "two", "three"] {
        cluster.kubectl(&["create", "deployment", name, image, "--replicas=10"]);
    }
    eventually("30 running pods", || cluster.running_pods() == 30);

    let backend = Backend::start(Options::default()).expect("the backend starts");
    let setup = Setup::new(&cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    let names = |kind, of: &str| -> BTreeSet<String> {
        let samples = backend.last_samples(kind);
        let text = samples
            .iter()
            .map(|it| it.get(of).as_str().unwrap_or_default().to_owned());
        text.collect()
    };
    eventually("all nodes and pods", || {
        names(Kind::Pod, "name").len() == 30 && names(Kind::Node, "name").len() == 3
    });

    let pods = cluster.items(&["pods", "-A"]);
    for pod in &pods {
        let uid = &pod["metadata"]["uid"];
        let samples = backend.last_samples(Kind::Pod);
        let sample = samples
            .iter()
            .find(|it| it.get("uid") == uid)
            .unwrap_or_else(|| panic!("no sample of {}", pod["metadata"]["name"]));
        assert_eq!(sample.get("node"), &pod["spec"]["nodeName"]);
        assert_eq!(sample.get("phase"), &pod["status"]["phase"]);
        assert_eq!(sample.get("qos"), &pod["status"]["qosClass"]);
        assert_eq!(sample.get("workload")["kind"], "Deployment");
        let workload = sample.get("workload")["name"].as_str().unwrap_or_default();
        assert_eq!(workload, pod["metadata"]["labels"]["app"], "{sample:?}");
    }
    for node in cluster.items(&["nodes"]) {
        let samples = backend.last_samples(Kind::Node);
        let sample = samples
            .iter()
            .find(|it| it.get("uid") == &node["metadata"]["uid"])
            .expect("a sample of the node");
        let on_node = pods
            .iter()
            .filter(|it| it["spec"]["nodeName"] == node["metadata"]["name"]);
        assert_eq!(sample.get("pods").as_u64(), Some(on_node.count() as u64));
        let kubelet = node["status"]["capacity"]["pods"].as_str();
        assert_eq!(
            sample.get("capacity")["pods"].as_i64(),
            kubelet.and_then(|it| it.parse().ok())
        );
        assert_eq!(sample.get("conditions")["Ready"], "True");
    }

    let lists = cluster.lists_by_agent("pods");
    assert_eq!(lists, 1, "pods are listed once");
    cluster.kubectl(&["scale", "deployment", "one", "--replicas=13"]);
    eventually("the three new pods", || newest_cycle(&backend).len() == 33);
    assert_eq!(cluster.lists_by_agent("pods"), lists);

    agent.stop();
    backend.assert_no_violations();
    for name in ["one", "two", "three"] {
        cluster.kubectl(&["delete", "deployment", name]);
    }
}
