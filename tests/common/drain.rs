//! What the tests of evictions and drains share: an agent that is given actions, and pods of every kind on one node.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sandbox::backend::{Backend, NewAction, Options};
use serde_json::{Value, json};

use super::agent::{Agent, Setup};
use super::any_cluster::AnyCluster;
use super::{SOON, eventually, settles};

/// What an action is given, in seconds, that may have to wait for a pod to go; less than a result is waited for (`SOON`,
/// which tells why it may take so long).
const PATIENCE: u64 = 150;

/// What an action is given, in seconds, that is to run out of time: enough to begin on a machine that stands still for a
/// while.
pub const SHORT: u64 = 6;

/// One test at a time cordons nodes on a real cluster, where all tests share them. Each simulated one is a test's own.
static TURN: Mutex<()> = Mutex::new(());

/// A cluster, a backend, an agent between them, and the node that the test is about.
pub struct Scene {
    /// The cluster.
    pub cluster: AnyCluster,
    /// The backend.
    pub backend: Backend,
    /// What agents are started with.
    pub setup: Setup,
    /// The node.
    pub node: String,
    others: Vec<String>,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Scene {
    /// With all nodes schedulable.
    pub fn new() -> Self {
        let cluster = AnyCluster::start();
        let turn = || TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = cluster.is_real().then(turn);
        let backend = Backend::start(Options::default()).expect("the backend starts");
        let setup = Setup::new(cluster.kubeconfig(), &backend);
        let nodes = cluster.api().list("/api/v1/nodes");
        let mut names: Vec<String> = (nodes.iter())
            .map(|it| it["metadata"]["name"].as_str().expect("a name").to_owned())
            .collect();
        let scene = Self {
            node: names.remove(0),
            others: names,
            cluster,
            backend,
            setup,
            _turn: turn,
        };
        scene.cordon(&scene.node, false);
        for other in &scene.others {
            scene.cordon(other, false);
        }
        scene.await_leftovers();
        scene
    }

    /// Waits until the pods of earlier tests are gone, which a drain would meet.
    fn await_leftovers(&self) {
        settles("the pods of earlier tests are gone", || {
            let mut pods = self.cluster.api().list("/api/v1/pods");
            pods.retain(|it| {
                let namespace = it["metadata"]["namespace"].as_str().unwrap_or_default();
                namespace.starts_with("test-") && namespace != self.cluster.namespace()
            });
            match pods.first() {
                None => Ok(()),
                Some(pod) => Err(format!("{} pods, among them {pod}", pods.len())),
            }
        });
    }

    /// Cordons a node as an administrator, or uncordons it.
    pub fn cordon(&self, node: &str, on: bool) {
        let spec = json!({"unschedulable": if on { json!(true) } else { Value::Null }});
        self.cluster
            .api()
            .patch(&format!("/api/v1/nodes/{node}"), &json!({"spec": spec}));
    }

    /// Whether the node is cordoned.
    pub fn is_cordoned(&self) -> bool {
        let node = self
            .cluster
            .api()
            .get(&format!("/api/v1/nodes/{}", self.node));
        node["spec"]["unschedulable"] == true
    }

    /// While `deploy` runs, new pods can go to the node alone; waits until `pods` of them are ready there.
    pub fn on_node(&self, pods: usize, deploy: impl FnOnce()) {
        for other in &self.others {
            self.cordon(other, true);
        }
        // Their taints follow, and the scheduler after them. The node's own, of an earlier cordon, must be gone by
        // then: a pod that is tried too early waits long for its next turn.
        eventually("the other nodes are cordoned, and this one is not", || {
            let nodes = self.cluster.api().list("/api/v1/nodes");
            nodes.iter().all(|it| {
                let is_tainted = it["spec"]["taints"].is_array();
                is_tainted != (it["metadata"]["name"] == *self.node)
            })
        });
        let before = self.ready();
        deploy();
        settles(
            &format!("{pods} more pods are ready on {}", self.node),
            || match self.ready() - before {
                n if n == pods => Ok(()),
                n => Err(format!("{n}")),
            },
        );
        for other in &self.others {
            self.cordon(other, false);
        }
        eventually("no node is cordoned", || {
            let nodes = self.cluster.api().list("/api/v1/nodes");
            nodes.iter().all(|it| !it["spec"]["taints"].is_array())
        });
    }

    fn ready(&self) -> usize {
        let pods = self.pods_on_node();
        let ready = |it: &&Value| {
            let conditions = it["status"]["conditions"].as_array();
            conditions
                .into_iter()
                .flatten()
                .any(|it| it["type"] == "Ready" && it["status"] == "True")
        };
        pods.iter().filter(ready).count()
    }

    /// The test's pods on the node.
    pub fn pods_on_node(&self) -> Vec<Value> {
        let mut pods = self.cluster.pods();
        pods.retain(|it| it["spec"]["nodeName"] == *self.node);
        pods
    }

    /// Creates a workload of `apps/v1` whose pods have their name as the label `app`; `change` is merged into the
    /// pods' template.
    pub fn workload(&self, kind: &str, name: &str, replicas: usize, change: &Value) {
        let labels = json!({"app": name});
        let mut template = json!({"metadata": {"labels": labels}, "spec": pod_spec()});
        merge(&mut template, change);
        let mut spec = json!({"selector": {"matchLabels": labels}, "template": template});
        if kind != "DaemonSet" {
            spec["replicas"] = replicas.into();
        }
        if kind == "StatefulSet" {
            spec["serviceName"] = name.into();
        }
        let object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let plural = format!("{}s", kind.to_lowercase());
        self.cluster
            .api()
            .create(&self.cluster.path("/apis/apps/v1", &plural), &object);
    }

    /// Creates a pod on the node that no controller makes.
    pub fn bare(&self, name: &str, change: &Value) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": pod_spec(),
        });
        pod["spec"]["nodeName"] = self.node.as_str().into();
        merge(&mut pod, change);
        self.cluster
            .api()
            .create(&self.cluster.path("/api/v1", "pods"), &pod)
    }

    /// Creates a disruption budget over the pods of this `app`, and waits until it is counted.
    pub fn budget(&self, name: &str, app: &str, spec: &Value) {
        let mut budget = json!({
            "apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": app}}},
        });
        merge(&mut budget["spec"], spec);
        let path = self
            .cluster
            .path("/apis/policy/v1beta1", "poddisruptionbudgets");
        self.cluster.api().create(&path, &budget);
        eventually(&format!("the budget {name} is counted"), || {
            let found = self.cluster.api().get(&format!("{path}/{name}"));
            found["status"]["observedGeneration"] == found["metadata"]["generation"]
                && found["status"]["expectedPods"].as_u64() > Some(0)
        });
    }

    /// Deletes an object of the test's namespace.
    pub fn delete(&self, root: &str, plural: &str, name: &str) {
        let path = self.cluster.path(root, plural);
        self.cluster.api().delete(&format!("{path}/{name}"));
    }

    /// Deletes a disruption budget.
    pub fn delete_budget(&self, name: &str) {
        self.delete("/apis/policy/v1beta1", "poddisruptionbudgets", name);
    }

    /// Starts an agent.
    pub fn agent(&self) -> Agent {
        self.setup.start()
    }

    /// Signs an action and offers it; its id.
    pub fn issue(&self, action: &str, params: &Value, dry_run: bool) -> String {
        let new = NewAction {
            cluster_id: Some("test-cluster".to_owned()),
            dry_run: dry_run.then_some(true),
            ..NewAction::new(action, params.clone())
        };
        self.backend.create_action(&new).expect("an action").id
    }

    /// The result of an action, once it is there.
    pub fn result(&self, id: &str) -> Value {
        let came = self.backend.wait_for(SOON, |it| it.result(id).is_some());
        assert!(came, "no result of {id}");
        self.backend.result(id).expect("a result")
    }

    /// Has an action carried out; its result.
    pub fn act(&self, action: &str, params: &Value) -> Value {
        self.result(&self.issue(action, params, false))
    }

    /// Has the node drained with further params.
    pub fn drain(&self, params: &Value) -> Value {
        self.act("drain_node", &self.drain_params(params))
    }

    /// The params of a drain of the node.
    pub fn drain_params(&self, params: &Value) -> Value {
        let mut all = json!({"node": self.node, "timeout_seconds": PATIENCE});
        merge(&mut all, params);
        all
    }

    /// The params of an eviction of a pod.
    pub fn evict_params(&self, name: &str, params: &Value) -> Value {
        let mut all = json!({"namespace": self.cluster.namespace(), "name": name, "timeout_seconds": PATIENCE});
        merge(&mut all, params);
        all
    }

    /// What a drain's result says of the test's pods whose names begin so: the outcome of each, or what would be.
    pub fn outcomes<'a>(&self, result: &'a Value, prefix: &str) -> Vec<&'a str> {
        let pods = result["details"]["pods"].as_array().expect("pods");
        let of = |it: &&Value| {
            it["namespace"] == self.cluster.namespace()
                && it["name"].as_str().is_some_and(|it| it.starts_with(prefix))
        };
        let outcome = |it: &'a Value| it["outcome"].as_str().or(it["would"].as_str());
        pods.iter()
            .filter(of)
            .map(|it| outcome(it).expect("an outcome"))
            .collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // For the next test on the same cluster; what could not be undone is no failure of this one.
        let spec = json!({"spec": {"unschedulable": null}});
        for node in self.others.iter().chain([&self.node]) {
            let path = format!("/api/v1/nodes/{node}");
            let _ = self
                .cluster
                .api()
                .try_request(&ureq::http::Method::PATCH, &path, Some(&spec));
        }
    }
}

/// A container that ends as soon as it is asked to.
fn pod_spec() -> Value {
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": "registry.invalid/app:1"}],
    })
}

fn merge(object: &mut Value, change: &Value) {
    match change {
        Value::Object(members) => {
            for (name, value) in members {
                merge(&mut object[name.as_str()], value);
            }
        }
        value => *object = value.clone(),
    }
}
