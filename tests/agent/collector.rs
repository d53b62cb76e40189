//! What the agent sees of a cluster is what arrives at the backend: every pod and node once a cycle, with the values
//! that the API holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::common::agent::Setup;
use crate::common::any_cluster::AnyCluster;
use crate::common::cluster::Cluster;
use crate::common::usage::METRICS;
use crate::common::{eventually, expected, settles};
use sandbox::apiserver::{self, Availability, Effect, Fault, MetricsMode};
use sandbox::backend::{Backend, Cycle, Kind, Options, Sample};
use serde_json::{Value, json};

/// The uids of a kind in a cycle, of one namespace where one is named.
pub(crate) fn uids(cycle: &Cycle, kind: Kind, namespace: &str) -> BTreeSet<String> {
    let samples = cycle
        .of(kind)
        .filter(|it| namespace.is_empty() || it.get("namespace") == namespace);
    samples.map(|it| it.uid.clone()).collect()
}

pub(crate) fn uids_of(objects: &[Value]) -> BTreeSet<String> {
    objects
        .iter()
        .map(|it| it["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect()
}

/// Every object has a sample, and every sample says what is expected of its object.
pub(crate) fn compare(
    objects: &[Value],
    samples: &[Arc<Sample>],
    expect: impl Fn(&Value) -> Value,
    shown: impl Fn(&Sample) -> Value,
) -> Result<(), String> {
    for object in objects {
        let (metadata, name) = (&object["metadata"], &object["metadata"]["name"]);
        let sample = samples.iter().find(|it| it.uid == metadata["uid"]);
        let sample = sample.ok_or_else(|| format!("no sample of {name}"))?;
        if let Some(difference) = expected::difference(&expect(object), &shown(sample)) {
            return Err(format!("{name}{difference}"));
        }
    }
    Ok(())
}

/// A sample without its usage, which changes between our look and the agent's.
pub(crate) fn idle(sample: &Sample) -> Value {
    let mut body = sample.body.clone();
    body["timestamp"] = Value::Null;
    body["window_seconds"] = Value::Null;
    for used in body["containers"].as_array_mut().into_iter().flatten() {
        used["cpu_millicores"] = Value::Null;
        used["memory_bytes"] = Value::Null;
    }
    body
}

#[test]
fn every_pod_and_node_arrives_once_a_cycle() {
    let cluster = AnyCluster::start();
    for name in ["one", "two", "three"] {
        cluster.deploy(name, 10);
    }
    let (pods, nodes) = (
        uids_of(&cluster.pods()),
        uids_of(&cluster.api().list("/api/v1/nodes")),
    );
    assert_eq!((pods.len(), nodes.len()), (30, 3));
    let backend = Backend::start(Options::default()).unwrap();
    // A cycle is several batches.
    let setup = Setup::new(cluster.kubeconfig(), &backend).with("BATCH_SIZE", "7");
    let mut agent = setup.start();
    let cycles = || {
        backend
            .cycles()
            .iter()
            .filter(|it| it.count(Kind::Node) > 0)
            .count()
    };
    eventually("four cycles", || cycles() >= 4);
    agent.stop();
    let whole = backend
        .cycles()
        .into_iter()
        .filter(|it| it.count(Kind::Node) > 0);
    for cycle in whole.take(3) {
        assert_eq!(cycle.duplicates, 0, "{}", cycle.collected_at);
        assert_eq!(
            uids(&cycle, Kind::Node, ""),
            nodes,
            "{}",
            cycle.collected_at
        );
        assert_eq!(
            uids(&cycle, Kind::Pod, cluster.namespace()),
            pods,
            "{}",
            cycle.collected_at
        );
    }
    backend.assert_no_violations();
}

#[test]
fn a_scaled_deployment_shows_in_the_next_cycle_without_a_new_list() {
    let cluster = AnyCluster::start();
    cluster.deploy("web", 10);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let before = cluster.requests("list", "pods");
    let mut agent = setup.start();
    let newest = || {
        backend
            .cycles()
            .into_iter()
            .rev()
            .find(|it| it.count(Kind::Node) > 0)
    };
    for replicas in [10, 13, 4] {
        cluster.scale("web", replicas, replicas);
        let pods = uids_of(&cluster.pods());
        settles(&format!("a cycle with {replicas} pods"), || {
            let seen = newest()
                .map(|it| uids(&it, Kind::Pod, cluster.namespace()))
                .unwrap_or_default();
            if seen == pods {
                Ok(())
            } else {
                Err(format!("{} pods", seen.len()))
            }
        });
    }
    assert_eq!(
        cluster.requests("list", "pods") - before,
        1,
        "pods are listed once"
    );
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn samples_say_what_the_api_says() {
    let cluster = AnyCluster::start();
    cluster.deploy("web", 5);
    let bare = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"},
        "spec": {
            "initContainers": [{
                "name": "init", "image": "registry.invalid/init:1", "resources": {"requests": {"cpu": "0.25"}},
            }],
            "containers": [{
                "name": "only", "image": "registry.invalid/app:1", "resources": {"limits": {"cpu": "50m", "memory": "32Mi"}},
            }],
        },
    });
    cluster
        .api()
        .create(&cluster.path("/api/v1", "pods"), &bare);
    // A pod that no scheduler takes, so that no kubelet speaks for it.
    let ended = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ended"},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "only", "image": "registry.invalid/app:1"}]},
    });
    let pods = cluster.path("/api/v1", "pods");
    cluster.api().create(&pods, &ended);
    let status = json!({"status": {"containerStatuses": [{
        "name": "only", "image": "", "imageID": "", "ready": false, "restartCount": 3,
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }]}});
    cluster
        .api()
        .patch(&format!("{pods}/ended/status"), &status);
    let node = cluster.api().list("/api/v1/nodes").remove(0);
    let node = format!(
        "/api/v1/nodes/{}",
        node["metadata"]["name"].as_str().unwrap()
    );
    cluster.api().patch(
        &node,
        &json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "zone-b"}}}),
    );
    // All but two pods are measured.
    let mut pods = cluster.pods();
    pods.retain(|it| {
        !["bare", "ended"]
            .iter()
            .any(|name| it["metadata"]["name"] == *name)
    });
    let mut measured = measure(&cluster, &pods);
    let used = json!({"cpu": "1500250u", "memory": "3000Mi"});
    measured.push(cluster.measure_node(node.rsplit('/').next().unwrap(), &used));
    let backend = says_what_the_api_says(&cluster, &measured);
    let named = backend.last_samples(Kind::Pod);
    assert!(
        named
            .iter()
            .any(|it| *it.get("workload") == json!({"kind": "Deployment", "name": "web"}))
    );
    assert!(
        named
            .iter()
            .any(|it| it.get("containers")[0]["last_termination"] == "OOMKilled")
    );
}

/// metrics-server and what is made like it speak protobuf.
#[test]
fn samples_say_what_a_metrics_server_says() {
    let cluster = AnyCluster::start();
    cluster.deploy("web", 5);
    let mut measured = measure(&cluster, &cluster.pods());
    let used = json!({"cpu": "1500250u", "memory": "3000Mi"});
    let node = cluster.api().list("/api/v1/nodes").remove(0);
    let node = node["metadata"]["name"].as_str().unwrap();
    measured.push(cluster.measure_node(node, &used));
    let _server = cluster.metrics_server();
    for resource in ["pods", "nodes"] {
        let answer = cluster.api().protobuf(&format!("{METRICS}/{resource}"));
        assert!(answer.starts_with(b"k8s\0"), "{resource}");
    }
    let path = cluster.path(METRICS, "pods");
    let list = cluster.api().list(&format!("{path}?limit=1"));
    assert_eq!(list.len(), 5, "in one piece");
    says_what_the_api_says(&cluster, &measured);
}

/// The Metrics API knows pods by their names: after a pod was made anew it tells of the old one for a while.
#[test]
fn what_was_measured_before_a_pod_was_made_is_not_its_own() {
    let cluster = AnyCluster::start();
    let usage = json!([{"name": "main", "usage": {"cpu": "5m", "memory": "1Mi"}}]);
    let uids = ["again", "other"].map(|name| {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"schedulerName": "nobody", "containers": [{"name": "main", "image": "registry.invalid/app:1"}]},
        });
        let pod = cluster.api().create(&cluster.path("/api/v1", "pods"), &pod);
        // At the very second is no measurement of it either.
        let made = pod["metadata"]["creationTimestamp"].as_str().unwrap();
        if name == "again" {
            cluster.measure_pod_at(made, &pod, &usage);
        } else {
            cluster.measure_pod(&pod, &usage);
        }
        pod["metadata"]["uid"].clone()
    });
    let backend = Backend::start(Options::default()).unwrap();
    let mut agent = Setup::new(cluster.kubeconfig(), &backend).start();
    let shown = || {
        let samples = backend.last_samples(Kind::Pod);
        uids.each_ref().map(|uid| {
            let sample = samples.iter().find(|it| it.uid == *uid);
            sample.map(|it| {
                let used = &it.get("containers")[0];
                (
                    it.get("timestamp").is_string(),
                    used["cpu_millicores"].as_f64(),
                )
            })
        })
    };
    settles(
        "one has usage of its own, the other has none yet",
        || match shown() {
            [Some((false, None)), Some((true, Some(_)))] => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );
    cluster.measure_pod(&json!({"metadata": {"name": "again"}}), &usage);
    settles("both have it", || match shown() {
        [Some((true, Some(_))), Some((true, Some(_)))] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    agent.stop();
    backend.assert_no_violations();
}

/// Gives usage to each of `pods`; returns what the API has of it.
fn measure(cluster: &AnyCluster, pods: &[Value]) -> Vec<Value> {
    let usage = |at: usize| {
        json!([
            {"name": "main", "usage": {"cpu": format!("{}n", 1_234_567 + at), "memory": format!("{}Ki", 12_345 + at)}},
            {"name": "sidecar", "usage": {"cpu": "0", "memory": "1500k"}},
        ])
    };
    let pods = pods.iter().enumerate();
    pods.map(|(at, it)| cluster.measure_pod(it, &usage(at)))
        .collect()
}

/// Of each pod of the test and each node that is `measured` the backend has what the API says.
fn says_what_the_api_says(cluster: &AnyCluster, measured: &[Value]) -> Backend {
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    let sets = cluster.api().list("/apis/apps/v1/replicasets");
    let metrics = |object: &Value| {
        measured.iter().find(|it| {
            ["name", "namespace"]
                .iter()
                .all(|member| it["metadata"][member] == object["metadata"][member])
        })
    };
    let whole = |it: &Sample| it.body.clone();
    settles("pods as the API has them", || {
        let expect = |it: &Value| expected::pod(it, &sets, metrics(it));
        compare(
            &cluster.pods(),
            &backend.last_samples(Kind::Pod),
            expect,
            whole,
        )
    });
    settles("nodes as the API has them", || {
        let pods = cluster.api().list("/api/v1/pods");
        let expect = |it: &Value| expected::node(it, &pods, metrics(it));
        // Of the others an earlier test may have written usage.
        let mut nodes = cluster.api().list("/api/v1/nodes");
        nodes.retain(|it| metrics(it).is_some());
        compare(&nodes, &backend.last_samples(Kind::Node), expect, whole)
    });
    agent.stop();
    backend.assert_no_violations();
    backend
}

/// Pods of all kinds and fates, which no test brings about on a real cluster in a moment.
#[test]
fn samples_say_what_the_api_says_of_pods_in_every_state() {
    pods_in_every_state(true);
}

/// Nothing on the way to the API server need know protobuf.
#[test]
fn samples_say_the_same_where_all_comes_as_json() {
    pods_in_every_state(false);
}

fn pods_in_every_state(protobuf: bool) {
    let options = apiserver::Options {
        protobuf,
        ..apiserver::Options::default()
    };
    let cluster = Cluster::of(options, 5, 400);
    cluster.server.set_metrics(MetricsMode {
        absent_percent: 10,
        ..MetricsMode::default()
    });
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    let (pods, sets) = (
        cluster.server.list("pods", ""),
        cluster.server.list("replicasets", ""),
    );
    let agree = |pods: &[Value]| {
        let samples = backend.last_samples(Kind::Pod);
        compare(pods, &samples, |it| expected::pod(it, &sets, None), idle)
    };
    settles("pods as the API has them", || agree(&pods));
    let samples = backend.last_samples(Kind::Pod);
    assert_eq!(samples.len(), pods.len());
    let some = |holds: &dyn Fn(&Sample) -> bool| assert!(samples.iter().any(|it| holds(it)));
    for kind in ["Deployment", "DaemonSet"] {
        some(&|it| it.get("workload")["kind"] == kind);
    }
    for phase in ["Running", "Pending"] {
        some(&|it| it.get("phase") == phase);
    }
    some(&|it| it.get("restarts").as_u64() > Some(0));
    some(&|it| it.get("phase") == "Running" && it.get("timestamp").is_null());
    some(&|it| it.get("containers")[0]["cpu_millicores"].as_f64() > Some(0.0));
    // What changes afterwards comes by the watch.
    for (at, pod) in pods.iter().take(20).enumerate() {
        let mut pod = pod.clone();
        if at % 2 == 0 {
            pod["status"]["phase"] = "Failed".into();
            cluster.server.create(pod);
        } else {
            let name = |it: &str| pod["metadata"][it].as_str().unwrap().to_owned();
            cluster
                .server
                .delete("pods", &name("namespace"), &name("name"));
        }
    }
    let pods = cluster.server.list("pods", "");
    settles("pods as the API has them now", || agree(&pods));
    eventually("a cycle without the pods that are gone", || {
        let cycles = backend.cycles();
        let mut whole = cycles.iter().rev().filter(|it| it.count(Kind::Node) > 0);
        whole.any(|it| it.count(Kind::Pod) == pods.len())
    });
    assert_eq!(cluster.server.audit().count("list", "pods"), 1);
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
            let idle = |it: &Arc<Sample>| it.get("timestamp").is_null();
            pods.len() == 50 && nodes.len() == 3 && pods.iter().all(idle) && nodes.iter().all(idle)
        });
        eventually("a heartbeat that says degraded", || {
            collector_is(&backend, "degraded")
        });
        assert_eq!(agent.get("/healthz").0, 200);
        eventually("more cycles", || backend.cycles().len() > 3);
        let told = agent.log().matches("No usage in this collection").count();
        assert_eq!(told, 1, "once, not in each cycle: {}", agent.log());
        cluster.server.set_metrics(MetricsMode::default());
        // Only what runs is measured.
        eventually("usage of all that runs", || {
            let mut pods = backend.last_samples(Kind::Pod);
            pods.retain(|it| *it.get("phase") == "Running");
            !pods.is_empty() && pods.iter().all(|it| it.get("timestamp").is_string())
        });
        eventually("a heartbeat that says running", || {
            collector_is(&backend, "running")
        });
        agent.logged("Usage is collected again");
        agent.stop();
        backend.assert_no_violations();
    }
}

#[test]
fn usage_that_breaks_off_leaves_the_rest_without_and_nothing_out() {
    let cluster = Cluster::with(3, 50);
    for effect in [Effect::Cut(1_000), Effect::Reset(1_000), Effect::NotJson] {
        cluster.server.clear_faults();
        cluster
            .server
            .set_fault(Fault::on("list", "pods.metrics.k8s.io", effect.clone()));
        let backend = Backend::start(Options::default()).unwrap();
        let setup = Setup::new(cluster.kubeconfig(), &backend);
        let mut agent = setup.start();
        eventually("a heartbeat that says degraded", || {
            collector_is(&backend, "degraded")
        });
        agent.stop();
        for cycle in backend.cycles() {
            assert_eq!(
                (cycle.count(Kind::Pod), cycle.duplicates),
                (50, 0),
                "{effect:?}"
            );
            assert!(
                cycle.of(Kind::Pod).any(|it| it.get("timestamp").is_null()),
                "{effect:?}"
            );
        }
        backend.assert_no_violations();
    }
}

fn collector_is(backend: &Backend, state: &str) -> bool {
    let beat = backend.last_heartbeat();
    let reason = |it: &sandbox::backend::Heartbeat| it.component("collector", "reason").is_string();
    beat.is_some_and(|it| {
        *it.component("collector", "state") == state && reason(&it) == (state == "degraded")
    })
}
