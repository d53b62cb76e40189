//! What the agent sees of a cluster is what arrives at the backend.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::agent::Setup;
use common::cluster::Cluster;
use common::eventually;
use sandbox::apiserver::{Availability, MetricsMode};
use sandbox::backend::{Backend, Kind, Options};
use serde_json::json;

#[test]
fn every_pod_and_node_arrives_once_a_cycle() {
    let cluster = Cluster::with(3, 50);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("two cycles", || backend.sample_count(Kind::Pod) >= 100);
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn a_change_shows_in_the_next_cycle_without_a_new_list() {
    let cluster = Cluster::with(3, 50);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("the first cycle", || backend.sample_count(Kind::Pod) >= 50);
    assert_eq!(cluster.server.audit().count("list", "pods"), 1);
    cluster
        .server
        .patch(
            "nodes",
            "",
            "node-1",
            &json!({"spec": {"unschedulable": true}}),
        )
        .expect("the node is there");
    let gone = cluster.server.list("pods", "").remove(0);
    let text = |member: &str| gone["metadata"][member].as_str().expect("text").to_owned();
    cluster
        .server
        .delete("pods", &text("namespace"), &text("name"))
        .expect("the pod is there");
    eventually("the node's change and the pod's end", || {
        let cycles = backend.cycles();
        cycles.last().is_some_and(|it| {
            it.count(Kind::Pod) == 49
                && it.of(Kind::Pod).all(|pod| pod.uid != text("uid"))
                && it
                    .of(Kind::Node)
                    .any(|node| *node.get("name") == "node-1" && *node.get("unschedulable") == true)
        })
    });
    assert_eq!(cluster.server.audit().count("list", "pods"), 1);
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn values_are_those_of_the_cluster() {
    let cluster = Cluster::with(3, 50);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("every pod", || backend.last_samples(Kind::Pod).len() == 50);
    for pod in cluster.server.list("pods", "") {
        let samples = backend.last_samples(Kind::Pod);
        let sample = samples
            .iter()
            .find(|it| *it.uid == pod["metadata"]["uid"])
            .expect("the pod arrived");
        assert_eq!(sample.get("name"), &pod["metadata"]["name"]);
        assert_eq!(sample.get("namespace"), &pod["metadata"]["namespace"]);
        assert_eq!(sample.get("node"), &pod["spec"]["nodeName"]);
        assert_eq!(sample.get("phase"), &pod["status"]["phase"]);
        let names = |it: &serde_json::Value| -> Vec<_> {
            it.as_array()
                .into_iter()
                .flatten()
                .map(|it| it["name"].clone())
                .collect()
        };
        assert_eq!(
            names(sample.get("containers")),
            names(&pod["spec"]["containers"])
        );
    }
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn without_the_metrics_api_the_rest_is_sent_and_the_collector_says_why() {
    for availability in [Availability::Missing, Availability::Unavailable] {
        let cluster = Cluster::with(3, 50);
        cluster.server.set_metrics(MetricsMode {
            availability,
            ..MetricsMode::default()
        });
        let backend = Backend::start(Options::default()).unwrap();
        let setup = Setup::new(cluster.kubeconfig(), &backend);
        let mut agent = setup.start();
        eventually("all pods and nodes, without usage", || {
            let (pods, nodes) = (
                backend.last_samples(Kind::Pod),
                backend.last_samples(Kind::Node),
            );
            let idle =
                |it: &std::sync::Arc<sandbox::backend::Sample>| it.get("timestamp").is_null();
            pods.len() == 50 && nodes.len() == 3 && pods.iter().all(idle) && nodes.iter().all(idle)
        });
        eventually("a heartbeat that says degraded", || {
            backend.last_heartbeat().is_some_and(|it| {
                *it.component("collector", "state") == "degraded"
                    && it.component("collector", "reason").is_string()
            })
        });
        assert_eq!(agent.get("/healthz").0, 200);
        cluster.server.set_metrics(MetricsMode::default());
        // Only what runs is measured.
        eventually("usage of all that runs", || {
            let mut pods = backend.last_samples(Kind::Pod);
            pods.retain(|it| *it.get("phase") == "Running");
            !pods.is_empty() && pods.iter().all(|it| it.get("timestamp").is_string())
        });
        agent.stop();
        backend.assert_no_violations();
    }
}
