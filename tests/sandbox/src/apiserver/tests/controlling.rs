//! The controllers: a cluster that behaves as one.

use serde_json::{Value, json};

use super::super::{ApiServer, ControllerOptions, Options, Population};
use super::client::Client;
use super::{node, start, until};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn cluster(nodes: usize) -> (ApiServer, Client) {
    let (server, client) = start(Options::default());
    for number in 1..=nodes {
        server.create(node(&format!("n-{number}")));
    }
    server
        .controllers(ControllerOptions {
            ready_after_ms: 5,
            terminate_after_ms: 5,
            ..ControllerOptions::default()
        })
        .unwrap();
    (server, client)
}

fn workload(kind: &str, name: &str, replicas: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "serviceName": name, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "i:1"}]}},
        },
    })
}

fn budget(name: &str, min_available: &Value) -> Value {
    json!({
        "apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"minAvailable": min_available, "selector": {"matchLabels": {"app": name}}},
    })
}

fn ready(server: &ApiServer, name: &str) -> Vec<Value> {
    let mut pods = server.list("pods", "default");
    pods.retain(|pod| {
        pod["metadata"]["labels"]["app"] == name
            && pod["metadata"]["deletionTimestamp"].is_null()
            && super::super::eviction::is_ready(pod)
    });
    pods
}

fn complete(server: &ApiServer, name: &str, replicas: u64) {
    until("a complete rollout", || {
        let deployment = server.get("deployments", "default", name)?;
        let status = &deployment["status"];
        let counts = ["replicas", "updatedReplicas", "availableReplicas"];
        (status["observedGeneration"] == deployment["metadata"]["generation"]
            && counts.iter().all(|count| status[*count] == replicas)
            && status["unavailableReplicas"].is_null())
        .then_some(())
    });
}

fn evict(client: &Client, pod: &Value) -> (u16, Value) {
    let (namespace, name) = (
        pod["metadata"]["namespace"].as_str().unwrap(),
        pod["metadata"]["name"].as_str().unwrap(),
    );
    let eviction = json!({
        "apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": pod["metadata"]["uid"]}},
    });
    client.post(
        &format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction"),
        &eviction,
    )
}

#[test]
fn runs_rolls_and_scales_deployments() {
    let (server, client) = cluster(3);
    client.post(DEPLOYMENTS, &workload("Deployment", "web", 4));
    complete(&server, "web", 4);
    let nodes: std::collections::HashSet<_> = ready(&server, "web")
        .iter()
        .map(|pod| pod["spec"]["nodeName"].to_string())
        .collect();
    assert_eq!(nodes.len(), 3, "spread over the nodes");
    let deployment = server.get("deployments", "default", "web").unwrap();
    assert_eq!(
        deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );

    let path = format!("{DEPLOYMENTS}/web");
    let image = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}});
    client.patch(&path, "strategic-merge", &image("i:2"));
    complete(&server, "web", 4);
    assert!(
        ready(&server, "web")
            .iter()
            .all(|pod| pod["spec"]["containers"][0]["image"] == "i:2")
    );
    let deployment = server.get("deployments", "default", "web").unwrap();
    assert_eq!(
        deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
    assert_eq!(server.list("replicasets", "default").len(), 2);

    client.patch(
        &format!("{path}/scale"),
        "merge",
        &json!({"spec": {"replicas": 1}}),
    );
    complete(&server, "web", 1);
    client.send("DELETE", &path, "", "");
    until("nothing left", || {
        (server.count("pods") == 0 && server.count("replicasets") == 0).then_some(())
    });
}

#[test]
fn says_when_a_rollout_does_not_progress() {
    let (server, client) = cluster(1);
    let mut stuck = workload("Deployment", "web", 2);
    stuck["spec"]["template"]["spec"]["containers"][0]["image"] = "registry/nonexistent:1".into();
    stuck["spec"]["progressDeadlineSeconds"] = 1.into();
    client.post(DEPLOYMENTS, &stuck);
    let condition = until("the deadline", || {
        let deployment = server.get("deployments", "default", "web")?;
        let conditions = deployment["status"]["conditions"].as_array()?.clone();
        conditions
            .into_iter()
            .find(|it| it["reason"] == "ProgressDeadlineExceeded")
    });
    assert_eq!(condition["status"], "False");
    let pod = &server.list("pods", "default")[0];
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"],
        "ImagePullBackOff"
    );
}

#[test]
fn drains_a_node_as_far_as_the_budget_goes() {
    let (server, client) = cluster(2);
    client.post(DEPLOYMENTS, &workload("Deployment", "web", 6));
    complete(&server, "web", 6);
    client.post(
        "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets",
        &budget("web", &json!(5)),
    );
    until("a counted budget", || {
        let budget = server.get("poddisruptionbudgets", "default", "web")?;
        (budget["status"]["disruptionsAllowed"] == 1).then_some(())
    });
    let unschedulable = |node: &str, patch: &str, value: Value| {
        let path = format!("/api/v1/nodes/{node}");
        client.patch(&path, patch, &json!({"spec": {"unschedulable": value}}));
    };
    for node in ["n-1", "n-2"] {
        unschedulable(node, "strategic-merge", json!(true));
        until("the taint", || {
            let node = server.get("nodes", "", node)?;
            node["spec"]["taints"]
                .as_array()?
                .iter()
                .any(|it| it["key"] == "node.kubernetes.io/unschedulable")
                .then_some(())
        });
    }
    let mut pods = ready(&server, "web");
    pods.retain(|pod| pod["spec"]["nodeName"] == "n-1");
    // Nowhere may another one run, so that the budget allows one eviction and no second.
    assert_eq!(evict(&client, &pods[0]).0, 201);
    assert_eq!(evict(&client, &pods[1]).0, 429);
    unschedulable("n-2", "merge", Value::Null);
    for pod in &pods[1..] {
        until("an eviction", || {
            assert!(ready(&server, "web").len() >= 5, "the budget is broken");
            let (code, status) = evict(&client, pod);
            assert!(code == 201 || code == 429, "{status}");
            (code == 201).then_some(())
        });
    }
    complete(&server, "web", 6);
    assert!(
        ready(&server, "web")
            .iter()
            .all(|pod| pod["spec"]["nodeName"] == "n-2")
    );
    unschedulable("n-1", "merge", Value::Null);
    until("no taint", || {
        server.get("nodes", "", "n-1")?["spec"]
            .get("taints")
            .is_none()
            .then_some(())
    });
}

#[test]
fn counts_budgets_by_number_and_share() {
    let (server, client) = cluster(1);
    for name in ["a", "b", "c"] {
        client.post(DEPLOYMENTS, &workload("Deployment", name, 4));
    }
    let path = "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets";
    client.post(path, &budget("a", &json!(4)));
    client.post(path, &budget("b", &json!("50%")));
    let mut unavailable = budget("c", &Value::Null);
    unavailable["spec"] =
        json!({"maxUnavailable": "30%", "selector": {"matchLabels": {"app": "c"}}});
    client.post(path, &unavailable);
    for (name, desired, allowed) in [("a", 4, 0), ("b", 2, 2), ("c", 2, 2)] {
        until(name, || {
            let status = server.get("poddisruptionbudgets", "default", name)?["status"].clone();
            (status["currentHealthy"] == 4
                && status["desiredHealthy"] == desired
                && status["disruptionsAllowed"] == allowed
                && status["expectedPods"] == 4)
                .then_some(())
        });
    }
}

#[test]
fn brings_stateful_pods_back_under_their_names() {
    let (server, client) = cluster(1);
    client.post(
        "/apis/apps/v1/namespaces/default/statefulsets",
        &workload("StatefulSet", "db", 2),
    );
    until("two pods", || {
        (ready(&server, "db").len() == 2).then_some(())
    });
    let first = server.get("pods", "default", "db-0").unwrap();
    assert_eq!(evict(&client, &first).0, 201);
    let again = until("the same name", || {
        server
            .get("pods", "default", "db-0")
            .filter(|pod| pod["metadata"]["uid"] != first["metadata"]["uid"])
    });
    assert_eq!(
        again["metadata"]["ownerReferences"][0]["kind"],
        "StatefulSet"
    );
}

#[test]
fn puts_daemon_pods_on_every_node_even_cordoned() {
    let (server, client) = cluster(2);
    client.patch(
        "/api/v1/nodes/n-1",
        "merge",
        &json!({"spec": {"unschedulable": true}}),
    );
    client.post(
        "/apis/apps/v1/namespaces/default/daemonsets",
        &workload("DaemonSet", "agent", 0),
    );
    until("a pod a node", || {
        (ready(&server, "agent").len() == 2).then_some(())
    });
    let pod = ready(&server, "agent")
        .into_iter()
        .find(|pod| pod["spec"]["nodeName"] == "n-1")
        .unwrap();
    evict(&client, &pod);
    until("it is back", || {
        ready(&server, "agent")
            .iter()
            .any(|it| {
                it["spec"]["nodeName"] == "n-1" && it["metadata"]["uid"] != pod["metadata"]["uid"]
            })
            .then_some(())
    });
}

#[test]
fn leaves_pods_without_room_pending() {
    let (server, client) = cluster(1);
    let mut large = workload("Deployment", "web", 2);
    large["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "3"}});
    client.post(DEPLOYMENTS, &large);
    until("one of two", || {
        (ready(&server, "web").len() == 1).then_some(())
    });
    let pending = server
        .list("pods", "default")
        .into_iter()
        .find(|pod| pod["status"]["phase"] == "Pending")
        .unwrap();
    assert_eq!(
        pending["status"]["conditions"][0]["reason"],
        "Unschedulable"
    );
}

#[test]
fn agrees_with_a_generated_cluster() {
    let (server, client) = start(Options::default());
    let healthy = Population {
        healthy: true,
        ..Population::default()
    };
    server.populate(3, 60, &healthy);
    let uid = |object: &Value| object["metadata"]["uid"].clone();
    let before: Vec<Value> = server.list("pods", "").iter().map(uid).collect();
    server.controllers(ControllerOptions::default()).unwrap();
    // Once they have seen a workload of ours through, they have looked at all the others as well.
    client.post(DEPLOYMENTS, &workload("Deployment", "mine", 1));
    complete(&server, "mine", 1);
    let mut after = server.list("pods", "");
    after.retain(|pod| pod["metadata"]["labels"]["app"] != "mine");
    let after: Vec<Value> = after.iter().map(uid).collect();
    assert_eq!(before, after, "the controllers find nothing to do");
}

#[test]
fn empties_a_namespace_that_is_deleted() {
    let (server, client) = cluster(1);
    server.create(super::pod("gone", "a", "n-1"));
    client.send("DELETE", "/api/v1/namespaces/gone", "", "");
    until("it is gone", || {
        server.get("namespaces", "", "gone").is_none().then_some(())
    });
    assert_eq!(server.count("pods"), 0);
}
