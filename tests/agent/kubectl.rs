//! Must show 2: each of the seven actions on a real cluster, its effect as kubectl shows it, and nothing to do for the
//! second one.

use serde_json::{Value, json};

use crate::common::actions::World;
use crate::common::eventually;

/// The world, and its cluster through kubectl's eyes.
struct Shown(World);

impl Shown {
    /// A part of an object of the test's namespace, or of none, by its JSON path.
    fn sees(&self, object: &str, path: &str, expected: &str) {
        let path = format!("-ojsonpath={{{path}}}");
        let namespace = self.0.cluster.namespace();
        let seen = self
            .0
            .cluster
            .kubectl(&["-n", namespace, "get", object, &path]);
        assert_eq!(seen.as_deref(), Some(expected), "{object} {path}");
    }

    /// Which pods there are, by a field.
    fn pods(&self, field: &str) -> String {
        let selector = format!("--field-selector={field}");
        let words = [
            "-n",
            self.0.cluster.namespace(),
            "get",
            "pods",
            "-oname",
            &selector,
        ];
        self.0.cluster.kubectl(&words).unwrap()
    }

    /// The action succeeds, and the same under a new id finds nothing to do.
    fn once(&self, action: &str, params: &Value) {
        self.0.ends("succeeded", action, params.clone());
        self.0.ends("noop", action, params.clone());
    }
}

#[test]
#[ignore = "needs a real cluster and kubectl: tests/cluster/suite"]
fn each_action_is_seen_by_kubectl_and_not_needed_again() {
    let world = World::start();
    world.cluster.deploy("web", 2);
    let shown = Shown(world);
    let world = &shown.0;

    let scale = world.params("web", json!({"replicas": 3, "expected_replicas": 2}));
    shown.once("scale_deployment", &scale);
    shown.sees("deployment/web", ".spec.replicas", "3");
    shown.sees("deployment/web", ".status.availableReplicas", "3");

    let image = "registry.invalid/app:2";
    let set = world.params("web", json!({"container": "main", "image": image}));
    shown.once("set_image", &set);
    shown.sees(
        "deployment/web",
        ".spec.template.spec.containers[0].image",
        image,
    );
    shown.sees("deployment/web", ".status.updatedReplicas", "3");

    let labels = json!({"kind": "deployment", "labels": {"example.com/team": "a"}});
    shown.once("label_resource", &world.params("web", labels));
    shown.sees("deployment/web", ".metadata.labels.example\\.com/team", "a");

    let pods = world.cluster.pods();
    let runs = |it: &&Value| it["metadata"]["deletionTimestamp"].is_null();
    let pod = pods.iter().find(runs).unwrap();
    let (name, uid) = (&pod["metadata"]["name"], &pod["metadata"]["uid"]);
    let field = format!("metadata.name={}", name.as_str().unwrap());
    assert!(!shown.pods(&field).is_empty());
    let evict = world.params(name.as_str().unwrap(), json!({"pod_uid": uid}));
    shown.once("evict_pod", &evict);
    assert_eq!(shown.pods(&field), "");
    eventually("its replacement", || {
        world.deployment("web")["status"]["availableReplicas"] == 3
    });

    let node = world.cluster.pods().iter().find(runs).unwrap()["spec"]["nodeName"].clone();
    let object = format!("node/{}", node.as_str().unwrap());
    let unschedulable = ".spec.unschedulable";
    shown.once("cordon_node", &json!({"node": node}));
    shown.sees(&object, unschedulable, "true");
    shown.once("uncordon_node", &json!({"node": node}));
    shown.sees(&object, unschedulable, "");

    let field = format!("spec.nodeName={}", node.as_str().unwrap());
    assert!(!shown.pods(&field).is_empty());
    shown.once("drain_node", &json!({"node": node}));
    shown.sees(&object, unschedulable, "true");
    assert_eq!(shown.pods(&field), "");
    shown.once("uncordon_node", &json!({"node": node}));
    shown.0.end();
}
