//! What is kept of a pod that is to be moved: the few facts on which an eviction depends.

pub mod object;

use std::collections::BTreeMap;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// The facts of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The node it is bound to.
    pub node: Option<String>,
    /// Its labels, by which disruption budgets select it.
    pub labels: Labels,
    /// What makes it again.
    pub controller: Option<Controller>,
    /// Where it stands in its life.
    pub phase: Phase,
    /// Whether its Ready condition is True.
    pub ready: bool,
    /// Seconds that it has to end, if it is ending.
    pub ending: Option<u64>,
    /// Who must agree before it is gone.
    pub finalizers: Vec<String>,
    /// A kubelet runs it from a file, and the API only shows it.
    pub is_mirror: bool,
    /// Some of its data lives in an emptyDir and is lost with it.
    pub has_empty_dir: bool,
    /// It may be put on a cordoned node.
    pub tolerates_cordon: bool,
    /// The annotation that forbids to move it.
    pub protected_by: Option<&'static str>,
    /// The cluster or its node depends on it.
    pub is_critical: bool,
}

/// Where a pod stands in its life, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its containers are not all started: budgets do not count it.
    Pending,
    /// Succeeded or Failed: nothing of it runs any more.
    Finished,
    /// Everything else.
    Running,
}

/// The owner that makes a pod again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// The group and version, such as `apps/v1`.
    pub api_version: String,
    /// The kind, such as `ReplicaSet`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
}

impl Pod {
    /// `namespace/name`
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether a DaemonSet makes it.
    pub fn is_of_daemon_set(&self) -> bool {
        self.controller
            .as_ref()
            .is_some_and(|it| it.kind == "DaemonSet")
    }

    /// Whether the API server evicts it without asking any budget (`canIgnorePDB` of its eviction storage).
    pub fn ignores_budgets(&self) -> bool {
        self.phase != Phase::Running || self.ending.is_some()
    }
}

/// Pods for the tests of whatever moves them.
#[cfg(test)]
pub(super) mod testing {
    use serde_json::{Value, json};

    use super::Pod;

    /// A pod that runs on `node-1` and belongs to a replica set, changed as by a merge patch.
    pub(in crate::actuator) fn pod(change: &Value) -> Pod {
        let mut object = json!({
            "metadata": {
                "namespace": "shop", "name": "web-1", "uid": "uid-1", "labels": {"app": "web"},
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "uid-web", "controller": true},
                ],
            },
            "spec": {"nodeName": "node-1"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        merge(&mut object, change);
        let text = object.to_string();
        serde_json::from_str(&text).unwrap()
    }

    fn merge(object: &mut Value, change: &Value) {
        match change {
            Value::Object(members) => {
                for (name, value) in members {
                    merge(&mut object[name], value);
                }
            }
            value => *object = value.clone(),
        }
    }
}
