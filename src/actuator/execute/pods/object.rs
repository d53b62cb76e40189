//! What is read of a pod's object for its eviction, and which facts follow from it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Controller, Labels, Phase, Pod};
use crate::actions::policy::do_not_disrupt;
use crate::cluster::text::{Text, null_is_default};

/// What is read of a pod's object.
#[derive(Deserialize)]
pub struct PodObject<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    spec: Spec<'a>,
    #[serde(borrow, default)]
    status: Status<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    uid: Text<'a>,
    #[serde(borrow, default)]
    resource_version: Text<'a>,
    #[serde(default, deserialize_with = "null_is_default")]
    labels: Labels,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    annotations: BTreeMap<Text<'a>, Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    owner_references: Vec<OwnerReference<'a>>,
    #[serde(borrow, default)]
    deletion_timestamp: Option<Text<'a>>,
    #[serde(default)]
    deletion_grace_period_seconds: Option<i64>,
    #[serde(default, deserialize_with = "null_is_default")]
    finalizers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnerReference<'a> {
    #[serde(borrow)]
    api_version: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
    #[serde(default)]
    controller: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec<'a> {
    #[serde(borrow)]
    node_name: Option<Text<'a>>,
    #[serde(borrow)]
    priority_class_name: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    tolerations: Vec<Toleration<'a>>,
    #[serde(deserialize_with = "null_is_default")]
    volumes: Vec<Volume>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Toleration<'a> {
    #[serde(borrow)]
    key: Option<Text<'a>>,
    #[serde(borrow)]
    operator: Option<Text<'a>>,
    #[serde(borrow)]
    effect: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    #[serde(default)]
    empty_dir: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status<'a> {
    #[serde(borrow)]
    phase: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    conditions: Vec<Condition<'a>>,
}

#[derive(Deserialize)]
struct Condition<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
}

impl<'de> Deserialize<'de> for Pod {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PodObject::deserialize(deserializer).map(PodObject::facts)
    }
}

impl PodObject<'_> {
    /// The object's resource version.
    pub fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// What is kept of it.
    pub fn facts(self) -> Pod {
        let metadata = self.metadata;
        let annotation = |name: &str| {
            let found = (metadata.annotations.iter()).find(|(key, _)| &***key == name);
            found.map(|(_, value)| &**value)
        };
        let controller = metadata
            .owner_references
            .iter()
            .find(|it| it.controller == Some(true));
        let is_mirror = annotation("kubernetes.io/config.mirror").is_some()
            || controller.is_some_and(|it| &*it.kind == "Node");
        let is_ending = metadata.deletion_timestamp.is_some();
        let grace = metadata.deletion_grace_period_seconds.unwrap_or_default();
        Pod {
            is_mirror,
            protected_by: do_not_disrupt(annotation),
            controller: controller.map(OwnerReference::controller),
            namespace: metadata.namespace.to_string(),
            name: metadata.name.to_string(),
            uid: metadata.uid.to_string(),
            node: self.spec.node_name.as_deref().map(str::to_owned),
            labels: metadata.labels,
            phase: match self.status.phase.as_deref() {
                Some("Pending") => Phase::Pending,
                Some("Succeeded" | "Failed") => Phase::Finished,
                _ => Phase::Running,
            },
            ready: (self.status.conditions.iter())
                .any(|it| &*it.kind == "Ready" && &*it.status == "True"),
            ending: is_ending.then(|| u64::try_from(grace).unwrap_or_default()),
            finalizers: metadata.finalizers,
            has_empty_dir: self.spec.volumes.iter().any(|it| it.empty_dir.is_some()),
            tolerates_cordon: self.spec.tolerations.iter().any(Toleration::of_cordon),
            is_critical: matches!(
                self.spec.priority_class_name.as_deref(),
                Some("system-cluster-critical" | "system-node-critical")
            ),
        }
    }
}

impl OwnerReference<'_> {
    fn controller(&self) -> Controller {
        Controller {
            api_version: self.api_version.to_string(),
            kind: self.kind.to_string(),
            name: self.name.to_string(),
            uid: self.uid.to_string(),
        }
    }
}

impl Toleration<'_> {
    /// Whether it lets the scheduler put its pod on a cordoned node: by an empty key, which stands for every taint, or
    /// by the taint of the cordon itself.
    fn of_cordon(&self) -> bool {
        let exists = self.operator.as_deref() == Some("Exists");
        let key = self.key.as_deref().unwrap_or_default();
        let taint = match key {
            "" => exists,
            "node.kubernetes.io/unschedulable" => true,
            _ => false,
        };
        taint && matches!(self.effect.as_deref(), None | Some("" | "NoSchedule"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::pod;

    #[test]
    fn the_facts_of_an_ordinary_pod() {
        let facts = pod(&json!({}));
        assert_eq!(facts.path(), "shop/web-1");
        assert_eq!(facts.node.as_deref(), Some("node-1"));
        assert_eq!(facts.controller.as_ref().unwrap().kind, "ReplicaSet");
        assert!(facts.ready && !facts.ignores_budgets() && !facts.is_of_daemon_set());
        let marks = [
            facts.is_mirror,
            facts.has_empty_dir,
            facts.tolerates_cordon,
            facts.is_critical,
        ];
        assert_eq!(marks, [false; 4]);
        assert_eq!((facts.protected_by, facts.ending), (None, None));
    }

    #[test]
    fn marks() {
        let of = |change: Value| pod(&change);
        let annotated =
            |name: &str, value: &str| of(json!({"metadata": {"annotations": {name: value}}}));
        assert!(annotated("kubernetes.io/config.mirror", "hash").is_mirror);
        assert_eq!(
            annotated("karpenter.sh/do-not-disrupt", "true").protected_by,
            Some("karpenter.sh/do-not-disrupt")
        );
        assert!(of(json!({"spec": {"volumes": [{"name": "a", "emptyDir": {}}]}})).has_empty_dir);
        assert!(
            !of(json!({"spec": {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}}))
                .has_empty_dir
        );
        assert!(of(json!({"spec": {"priorityClassName": "system-node-critical"}})).is_critical);
        let ending = of(
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}}),
        );
        assert_eq!(ending.ending, Some(30));
        for phase in ["Pending", "Succeeded", "Failed"] {
            assert!(
                of(json!({"status": {"phase": phase}})).ignores_budgets(),
                "{phase}"
            );
        }
        assert!(!of(json!({"status": {"phase": "Unknown"}})).ignores_budgets());
    }

    #[test]
    fn which_tolerations_stand_a_cordon() {
        let cases = [
            (json!([{"operator": "Exists"}]), true),
            (
                json!([{"operator": "Exists", "effect": "NoSchedule"}]),
                true,
            ),
            (
                json!([{"operator": "Exists", "effect": "NoExecute"}]),
                false,
            ),
            (
                json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]),
                true,
            ),
            (
                json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]),
                false,
            ),
            (
                json!([{"key": "dedicated", "operator": "Equal", "value": "web"}]),
                false,
            ),
            (json!([]), false),
            (json!(null), false),
        ];
        for (tolerations, expected) in cases {
            let facts = pod(&json!({"spec": {"tolerations": tolerations}}));
            assert_eq!(facts.tolerates_cordon, expected, "{tolerations}");
        }
    }
}
