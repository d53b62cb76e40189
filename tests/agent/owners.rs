//! The controllers that pods belong to, each of its kind: read before a label of theirs would be changed.

use crate::common::actions::World;
use crate::common::eventually;
use serde_json::{Value, json};

/// API root, kind and plural.
const KINDS: [(&str, &str, &str); 5] = [
    ("/api/v1", "ReplicationController", "replicationcontrollers"),
    ("/apis/apps/v1", "ReplicaSet", "replicasets"),
    ("/apis/apps/v1", "StatefulSet", "statefulsets"),
    ("/apis/apps/v1", "DaemonSet", "daemonsets"),
    ("/apis/batch/v1", "Job", "jobs"),
];

/// Creates a controller of one pod; where there is no such controller at work, the pod as well.
fn create(world: &World, root: &str, kind: &str, plural: &str) -> Value {
    let name = kind.to_lowercase();
    let labels = json!({"app": name});
    let mut template = json!({
        "metadata": {"labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "registry.invalid/app:1"}],
        },
    });
    let spec = match kind {
        "ReplicationController" => json!({"replicas": 1, "selector": labels}),
        "StatefulSet" => {
            json!({"replicas": 1, "serviceName": name, "selector": {"matchLabels": labels}})
        }
        "DaemonSet" => json!({"selector": {"matchLabels": labels}}),
        "Job" => {
            template["spec"]["restartPolicy"] = "Never".into();
            json!({})
        }
        _ => json!({"replicas": 1, "selector": {"matchLabels": labels}}),
    };
    let version = root
        .trim_start_matches("/apis/")
        .trim_start_matches("/api/");
    let mut object =
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec});
    object["spec"]["template"] = template.clone();
    let api = world.cluster.api();
    let made = api.create(&world.cluster.path(root, plural), &object);
    if !world.cluster.is_real() && ["ReplicationController", "Job"].contains(&kind) {
        let owner = json!([{
            "apiVersion": version, "kind": kind, "name": name, "uid": made["metadata"]["uid"], "controller": true,
        }]);
        let mut pod = template;
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = format!("{name}-1").into();
        pod["metadata"]["ownerReferences"] = owner;
        api.create(&world.cluster.path("/api/v1", "pods"), &pod);
    }
    made
}

#[test]
fn the_labels_that_each_kind_of_controller_lives_by_are_kept() {
    let world = World::start();
    for (root, kind, plural) in KINDS {
        let controller = create(&world, root, kind, plural);
        let pod = || {
            let uid = &controller["metadata"]["uid"];
            let of = |it: &Value| it["metadata"]["ownerReferences"][0]["uid"] == *uid;
            world.cluster.pods().into_iter().find(of)
        };
        eventually(&format!("a pod of the {kind}"), || pod().is_some());
        let name = pod().unwrap()["metadata"]["name"].take();
        let name = name.as_str().unwrap();
        let label = |labels: Value| world.params(name, json!({"kind": "pod", "labels": labels}));
        world.refuses(
            "policy_denied",
            &format!(
                "{kind} {} selects or makes its pods by it",
                kind.to_lowercase()
            ),
            "label_resource",
            label(json!({"app": "other"})),
        );
        world.ends(
            "succeeded",
            "label_resource",
            label(json!({"example.org/team": "a"})),
        );
        assert_eq!(
            pod().unwrap()["metadata"]["labels"]["example.org/team"],
            "a"
        );
    }
    world.end();
}
