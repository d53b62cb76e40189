//! Actions from the envelope to the result, the same on the simulated and the real cluster: carried out once, seen
//! in the API, not repeated where there is nothing to do, and refused where the object is not as expected.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::common::actions::World;
use crate::common::eventually;
use sandbox::backend::NewAction;
use serde_json::{Value, json};

/// The nodes of a real cluster are shared by all tests of this file.
static NODES: Mutex<()> = Mutex::new(());

fn nodes() -> MutexGuard<'static, ()> {
    NODES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Any node of the cluster, of which nothing is left from an earlier test.
fn a_node(world: &World) -> (String, Value) {
    let node = world.cluster.api().list("/api/v1/nodes").remove(0);
    let name = node["metadata"]["name"].as_str().unwrap().to_owned();
    let clean = json!({"spec": {"unschedulable": null}, "metadata": {"annotations": {"kubernetes-agent/cordoned-by": null}}});
    let path = format!("/api/v1/nodes/{name}");
    (name, world.cluster.api().patch(&path, &clean))
}

#[test]
fn a_node_is_cordoned_and_uncordoned() {
    let _nodes = nodes();
    let world = World::start();
    let (name, node) = a_node(&world);
    let path = format!("/api/v1/nodes/{name}");
    let params = json!({"node": name, "node_uid": node["metadata"]["uid"]});
    let unschedulable = || world.cluster.api().get(&path)["spec"]["unschedulable"] == true;

    let plan = world.dry_run("cordon_node", params.clone());
    assert_eq!(
        (&plan["status"], &plan["details"]["dry_run"]),
        (&json!("succeeded"), &json!(true)),
        "{plan:#}"
    );
    assert!(!unschedulable());

    let done = world.ends("succeeded", "cordon_node", params.clone());
    assert!(unschedulable());
    assert_eq!(done["details"]["before"]["unschedulable"], false);
    assert_eq!(done["details"]["after"]["unschedulable"], true);
    world.ends("noop", "cordon_node", params.clone());
    assert!(world.dry_run("uncordon_node", params.clone())["details"]["plan"].is_object());
    assert!(unschedulable());

    let other = json!({"node": name, "node_uid": "5f0c1d4e-0000-4000-8000-000000000007"});
    let missing = json!({"node": "no-such-node"});
    let both = ["cordon_node", "uncordon_node"].into_iter();
    let cases = both.flat_map(|it| {
        [
            ("expected the uid", it, other.clone()),
            ("there is none", it, missing.clone()),
        ]
    });
    world.refuses_all("precondition_failed", cases.collect());
    world.ends("succeeded", "uncordon_node", params.clone());
    assert!(!unschedulable());
    world.ends("noop", "uncordon_node", params.clone());

    // A cordon of somebody else's is theirs.
    world
        .cluster
        .api()
        .patch(&path, &json!({"spec": {"unschedulable": true}}));
    world.refuses(
        "precondition_failed",
        "force",
        "uncordon_node",
        params.clone(),
    );
    assert!(unschedulable());
    world.ends(
        "succeeded",
        "uncordon_node",
        json!({"node": name, "force": true}),
    );
    assert!(!unschedulable());
    world.end();
}

#[test]
fn a_deployment_is_scaled_and_its_replicas_are_waited_for() {
    let world = World::start();
    world.cluster.deploy("web", 2);
    let scale = |replicas: u32, more: Value| {
        let mut params = world.params("web", json!({"replicas": replicas}));
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        params
    };
    let replicas = || world.deployment("web")["spec"]["replicas"].clone();

    let plan = world.dry_run("scale_deployment", scale(4, json!({})));
    assert_eq!(
        plan["details"]["plan"]["patch"]["spec"],
        json!({"replicas": 4}),
        "{plan:#}"
    );
    assert_eq!(world.writes(), [""; 0]);

    let up = scale(4, json!({"expected_replicas": 2}));
    let done = world.ends("succeeded", "scale_deployment", up.clone());
    assert_eq!(done["details"]["before"]["replicas"], 2);
    assert_eq!(done["details"]["after"]["available_replicas"], 4);
    assert_eq!(world.deployment("web")["status"]["availableReplicas"], 4);
    world.ends("noop", "scale_deployment", up);
    assert_eq!(world.writes(), ["patch deployments/scale"]);

    let stale = scale(1, json!({"expected_replicas": 3}));
    let missing = world.params("other", json!({"replicas": 1}));
    world.refuses_all(
        "precondition_failed",
        vec![
            ("expected 3 replicas, it has 4", "scale_deployment", stale),
            ("there is none", "scale_deployment", missing),
        ],
    );
    world.refuses(
        "invalid_params",
        "allow_zero",
        "scale_deployment",
        scale(0, json!({})),
    );
    world.ends(
        "succeeded",
        "scale_deployment",
        scale(0, json!({"allow_zero": true})),
    );
    assert_eq!(replicas(), 0);
    eventually("no pods", || world.cluster.pods().is_empty());
    world.ends(
        "noop",
        "scale_deployment",
        scale(0, json!({"allow_zero": true})),
    );
    world.ends(
        "succeeded",
        "scale_deployment",
        scale(1, json!({"expected_replicas": 0})),
    );
    assert_eq!(world.writes().len(), 3);

    // Paused: its replicas change all the same.
    world
        .cluster
        .api()
        .patch(&world.path_of("web"), &json!({"spec": {"paused": true}}));
    world.ends("succeeded", "scale_deployment", scale(2, json!({})));
    world.end();
}

#[test]
fn what_an_autoscaler_scales_is_left_to_it() {
    let world = World::start();
    world.cluster.deploy("web", 2);
    let target = |kind: &str, name: &str| {
        json!({
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": format!("of-{name}").to_lowercase()},
            "spec": {"maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}},
        })
    };
    let autoscalers = world
        .cluster
        .path("/apis/autoscaling/v1", "horizontalpodautoscalers");
    world
        .cluster
        .api()
        .create(&autoscalers, &target("Deployment", "web"));
    let params = world.params("web", json!({"replicas": 3}));
    let refused = world.refuses(
        "precondition_failed",
        "of-web scales it",
        "scale_deployment",
        params.clone(),
    );
    assert_eq!(refused["details"]["autoscaler"]["max_replicas"], 5);
    assert_eq!(
        world.dry_run("scale_deployment", params)["reason"],
        "precondition_failed"
    );
    assert_eq!(world.deployment("web")["spec"]["replicas"], 2);
    let params = world.params("web", json!({"replicas": 3, "override_hpa": true}));
    let done = world.ends("succeeded", "scale_deployment", params);
    assert!(
        done["details"]["warnings"][0]
            .as_str()
            .unwrap()
            .contains("of-web"),
        "{done:#}"
    );
    world.end();
}

#[test]
fn an_image_is_set_and_rolled_out() {
    let world = World::start();
    world.cluster.deploy("web", 3);
    let image = |container: &str, image: &str, expected: Option<&str>| {
        let mut params = world.params("web", json!({"container": container, "image": image}));
        if let Some(expected) = expected {
            params["expected_image"] = expected.into();
        }
        params
    };
    let (old, new) = ("registry.invalid/app:1", "registry.invalid/app:2");
    let images = || {
        let containers = world.deployment("web")["spec"]["template"]["spec"]["containers"].clone();
        let containers = containers.as_array().unwrap().clone();
        containers
            .iter()
            .map(|it| it["image"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    let plan = world.dry_run("set_image", image("main", new, Some(old)));
    assert!(plan["details"]["plan"].is_object(), "{plan:#}");
    assert_eq!(world.writes(), [""; 0]);

    let done = world.ends("succeeded", "set_image", image("main", new, Some(old)));
    assert_eq!(images(), [new, old]);
    let pods = world.cluster.pods();
    let running = pods
        .iter()
        .filter(|it| it["metadata"]["deletionTimestamp"].is_null());
    for pod in running {
        assert_eq!(
            pod["spec"]["containers"][0]["image"], new,
            "{}",
            pod["metadata"]["name"]
        );
    }
    assert_eq!(done["details"]["written"]["previous_image"], old);
    assert_eq!(
        (
            &done["details"]["before"]["revision"],
            &done["details"]["after"]["revision"]
        ),
        (&json!("1"), &json!("2"))
    );
    world.ends("noop", "set_image", image("main", new, Some(old)));
    assert_eq!(world.writes(), ["patch deployments"]);

    let missing = world.params("other", json!({"container": "main", "image": new}));
    world.refuses_all(
        "precondition_failed",
        vec![
            (
                "expected the image",
                "set_image",
                image("sidecar", new, Some(new)),
            ),
            (
                "it has main, sidecar",
                "set_image",
                image("other", new, None),
            ),
            ("there is none", "set_image", missing),
        ],
    );
    world.refuses(
        "invalid_params",
        "image",
        "set_image",
        image("main", "Not An Image", None),
    );
    // Back to the first: the deployment has its replica set still.
    world.ends("succeeded", "set_image", image("main", old, Some(new)));
    assert_eq!(images(), [old, old]);

    world
        .cluster
        .api()
        .patch(&world.path_of("web"), &json!({"spec": {"paused": true}}));
    let paused = world.ends("partial", "set_image", image("sidecar", new, None));
    let is_said = |it: &Value| it.as_str().unwrap_or_default().contains("paused");
    assert!(is_said(&paused["message"]), "{paused:#}");
    assert!(is_said(&paused["details"]["warnings"][0]), "{paused:#}");
    assert_eq!(images(), [old, new]);
    // It is asked for, and no pod has it.
    let again = world.ends("noop", "set_image", image("sidecar", new, None));
    assert!(is_said(&again["message"]), "{again:#}");
    world.end();
}

#[test]
fn a_deployment_that_is_being_deleted_is_left_alone() {
    let world = World::start();
    world.cluster.deploy("web", 1);
    let path = world.path_of("web");
    let api = world.cluster.api();
    let held_by =
        |finalizers: Value| api.patch(&path, &json!({"metadata": {"finalizers": finalizers}}));
    held_by(json!(["example.com/hold"]));
    api.delete(&path);
    let image = json!({"container": "main", "image": "registry.invalid/app:2"});
    let scale = world.params("web", json!({"replicas": 2}));
    world.refuses_all(
        "precondition_failed",
        vec![
            ("it is being deleted", "scale_deployment", scale),
            (
                "it is being deleted",
                "set_image",
                world.params("web", image),
            ),
        ],
    );
    assert_eq!(world.writes(), [""; 0]);
    held_by(Value::Null);
    world.end();
}

#[test]
fn labels_are_set_and_removed() {
    let _nodes = nodes();
    let world = World::start();
    world.cluster.deploy("web", 1);
    let (node, _) = a_node(&world);
    let pod = world.cluster.pods().remove(0);
    let pod = pod["metadata"]["name"].as_str().unwrap();
    let api = world.cluster.api();
    let namespace = world.cluster.namespace();
    let objects = [
        (
            json!({"kind": "node", "name": node}),
            format!("/api/v1/nodes/{node}"),
        ),
        (
            json!({"kind": "namespace", "name": namespace}),
            format!("/api/v1/namespaces/{namespace}"),
        ),
        (
            world.params("web", json!({"kind": "deployment"})),
            world.path_of("web"),
        ),
        (
            world.params(pod, json!({"kind": "pod"})),
            format!("{}/{pod}", world.cluster.path("/api/v1", "pods")),
        ),
    ];
    for (object, path) in &objects {
        let with = |labels: Value| {
            let mut params = object.clone();
            params["labels"] = labels;
            params
        };
        api.patch(
            path,
            &json!({"metadata": {"labels": {"example.com/old": "1", "example.com/team": null}}}),
        );
        let change = json!({"example.com/team": "a", "example.com/old": null});
        let before = api.get(path)["metadata"]["labels"].clone();
        let plan = world.dry_run("label_resource", with(change.clone()));
        assert_eq!(
            plan["details"]["plan"]["patch"]["metadata"]["labels"], change,
            "{plan:#}"
        );
        assert_eq!(api.get(path)["metadata"]["labels"], before);

        let done = world.ends("succeeded", "label_resource", with(change.clone()));
        let labels = api.get(path)["metadata"]["labels"].clone();
        assert_eq!(
            (&labels["example.com/team"], &labels["example.com/old"]),
            (&json!("a"), &Value::Null)
        );
        assert_eq!(
            done["details"]["before"]["labels"],
            json!({"example.com/team": null, "example.com/old": "1"})
        );
        assert_eq!(done["details"]["after"]["labels"], change);
        world.ends("noop", "label_resource", with(change));

        let mut missing = with(json!({"a": "b"}));
        missing["name"] = "no-such-object".into();
        world.refuses(
            "precondition_failed",
            "there is none",
            "label_resource",
            missing,
        );
        api.patch(
            path,
            &json!({"metadata": {"labels": {"example.com/team": null}}}),
        );
    }
    let labels = [
        ("app", Value::Null),
        ("app", json!("other")),
        ("pod-template-hash", json!("x")),
        ("kubernetes.io/x", json!("x")),
        ("node-role.kubernetes.io/control-plane", Value::Null),
        ("app.kubernetes.io/managed-by", json!("x")),
        ("k8s.io/x", json!("x")),
    ];
    let cases = labels.into_iter().map(|(key, value)| {
        let params = world.params(
            pod,
            json!({"kind": "pod", "labels": {key: value, "a": "b"}}),
        );
        (key, "label_resource", params)
    });
    world.refuses_all("policy_denied", cases.collect());
    assert_eq!(world.cluster.pods().len(), 1);
    // A deployment's own label parts it from nothing.
    let params = world.params(
        "web",
        json!({"kind": "deployment", "labels": {"app": "other"}}),
    );
    world.ends("succeeded", "label_resource", params);
    world.end();
}

#[test]
fn an_action_leaves_an_event_on_its_object() {
    let world = World::start();
    world.cluster.deploy("web", 1);
    let namespace = world.cluster.namespace();
    let scale = |replicas: u32| {
        NewAction::new(
            "scale_deployment",
            world.params("web", json!({"replicas": replicas, "expected_replicas": 1})),
        )
    };
    let cases = [
        (scale(2), "succeeded", Some("ActionSucceeded")),
        (scale(2), "noop", Some("ActionNotNeeded")),
        (scale(3), "rejected", Some("ActionRejected")),
        (
            NewAction {
                dry_run: Some(true),
                ..scale(3)
            },
            "rejected",
            None,
        ),
    ];
    for (new, status, reason) in cases {
        let id = world.issue(new).id;
        assert_eq!(world.result(&id)["status"], status);
        let Some(reason) = reason else {
            // The next one is written by then.
            let after = world.issue(scale(4)).id;
            eventually("the event of a later action", || {
                !world.events(namespace, &after).is_empty()
            });
            assert_eq!(world.events(namespace, &id), [Value::Null; 0], "{status}");
            continue;
        };
        eventually(&format!("the event of {id}"), || {
            !world.events(namespace, &id).is_empty()
        });
        let event = world.events(namespace, &id).remove(0);
        assert_eq!(event["reason"], reason);
        let involved = &event["involvedObject"];
        assert_eq!(
            (&involved["kind"], &involved["name"]),
            (&json!("Deployment"), &json!("web"))
        );
        assert_eq!(involved["uid"], world.deployment("web")["metadata"]["uid"]);
        assert_eq!(event["source"]["component"], "kubernetes-agent");
    }
    world.end();
}
