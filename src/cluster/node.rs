//! One node: what is read of the API's object, and the record that is kept of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pod::Condition;
use super::text::{Text, null_is_default};
use super::uid::Uid;
use crate::kube::quantity::Quantity;

/// The labels that matter for cost and placement; the others are not kept.
pub const LABELS: [&str; 17] = [
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    // Capacity type: on-demand, spot or preemptible, as each provisioner names it.
    "karpenter.sh/capacity-type",
    "eks.amazonaws.com/capacityType",
    "cloud.google.com/gke-spot",
    "cloud.google.com/gke-preemptible",
    "kubernetes.azure.com/scalesetpriority",
    "node.kubernetes.io/lifecycle",
    // The group a node belongs to, which is what a person scales.
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
];

/// What is read of a node.
#[derive(Deserialize)]
pub struct NodeObject<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    spec: Spec<'a>,
    #[serde(borrow, default)]
    status: Status<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    uid: Text<'a>,
    #[serde(borrow, default)]
    resource_version: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    labels: BTreeMap<Text<'a>, Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec<'a> {
    unschedulable: bool,
    #[serde(borrow, deserialize_with = "null_is_default")]
    taints: Vec<Taint<'a>>,
}

#[derive(Deserialize)]
struct Taint<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
    #[serde(borrow)]
    effect: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    capacity: BTreeMap<Text<'a>, Text<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    allocatable: BTreeMap<Text<'a>, Text<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    conditions: Vec<Condition<'a>>,
}

/// What a node has, or has to give.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Nanocores.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Pods.
    pub pods: i64,
    /// Bytes; `None` where the node reports none.
    pub ephemeral_storage: Option<i64>,
    /// Everything else, such as `nvidia.com/gpu` or `hugepages-2Mi`, in its own unit.
    pub extended: Box<[(Arc<str>, i64)]>,
}

/// What the pods of a node ask for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    /// Nanocores.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Pods that are not finished.
    pub pods: u32,
}

/// The record of a node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its UID.
    pub uid: Uid,
    /// What it has.
    pub capacity: Capacity,
    /// What of it pods may use.
    pub allocatable: Capacity,
    /// Its conditions, type and status.
    pub conditions: Box<[(Arc<str>, ConditionStatus)]>,
    /// Cordoned.
    pub unschedulable: bool,
    /// Its taints as kubectl prints them: `key=value:Effect`.
    pub taints: Box<[Box<str>]>,
    /// Those of its labels that are in [`LABELS`].
    pub labels: Box<[(&'static str, Arc<str>)]>,
    /// Summed up anew for each collection.
    pub requested: Requested,
    /// The list or watch that last brought it.
    pub(super) generation: u32,
    /// The collection that last reported it.
    pub(crate) cycle: u16,
}

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the Kubernetes API")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl NodeObject<'_> {
    /// The object's resource version.
    pub fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The record of it; `share` gives the shared copy of a text.
    pub fn record(&self, generation: u32, mut share: impl FnMut(&str) -> Arc<str>) -> Node {
        let labels = &self.metadata.labels;
        let kept = |key: &&'static str| {
            labels
                .iter()
                .find(|(it, _)| &***it == *key)
                .map(|(_, value)| (*key, share(value)))
        };
        Node {
            labels: LABELS.iter().filter_map(kept).collect(),
            name: share(&self.metadata.name),
            uid: Uid::new(&self.metadata.uid),
            capacity: capacity(&self.status.capacity, &mut share),
            allocatable: capacity(&self.status.allocatable, &mut share),
            conditions: self
                .status
                .conditions
                .iter()
                .map(|it| (share(&it.kind), ConditionStatus::parse(&it.status)))
                .collect(),
            unschedulable: self.spec.unschedulable,
            taints: self.spec.taints.iter().map(Taint::text).collect(),
            generation,
            // These two are known where it is kept.
            requested: Requested::default(),
            cycle: 0,
        }
    }
}

impl ConditionStatus {
    fn parse(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

impl Taint<'_> {
    fn text(&self) -> Box<str> {
        match self.value.as_deref().filter(|it| !it.is_empty()) {
            Some(value) => format!("{}={value}:{}", &*self.key, &*self.effect),
            None => format!("{}:{}", &*self.key, &*self.effect),
        }
        .into()
    }
}

fn capacity(
    amounts: &BTreeMap<Text<'_>, Text<'_>>,
    share: &mut impl FnMut(&str) -> Arc<str>,
) -> Capacity {
    let mut capacity = Capacity::default();
    let mut extended = Vec::new();
    for (name, amount) in amounts {
        let Some(amount) = Quantity::parse(amount.as_bytes()) else {
            continue;
        };
        match &**name {
            "cpu" => capacity.cpu = amount.nanos(),
            "memory" => capacity.memory = amount.units(),
            "pods" => capacity.pods = amount.units(),
            "ephemeral-storage" => capacity.ephemeral_storage = Some(amount.units()),
            other => extended.push((share(other), amount.units())),
        }
    }
    capacity.extended = extended.into();
    capacity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_as_it_stands() {
        let text = r#"{"metadata":{"name":"n1","uid":"u","labels":{"kubernetes.io/arch":"amd64","topology.kubernetes.io/zone":"eu-1a","app":"x"}},
            "spec":{"unschedulable":true,"taints":[{"key":"gpu","value":"yes","effect":"NoSchedule"},{"key":"a","effect":"NoExecute"}]},
            "status":{"capacity":{"cpu":"4","memory":"16384Ki","pods":"110","nvidia.com/gpu":"2","hugepages-2Mi":"1Gi"},
                      "allocatable":{"cpu":"3920m","ephemeral-storage":"47093746742"},
                      "conditions":[{"type":"Ready","status":"True"},{"type":"DiskPressure","status":"odd"}]}}"#;
        let node = serde_json::from_str::<NodeObject<'_>>(text)
            .unwrap()
            .record(1, |it| it.into());
        assert_eq!(
            (node.capacity.cpu, node.capacity.memory, node.capacity.pods),
            (4_000_000_000, 16 << 20, 110)
        );
        assert_eq!(node.capacity.ephemeral_storage, None);
        assert_eq!(node.allocatable.cpu, 3_920_000_000);
        assert_eq!(node.allocatable.ephemeral_storage, Some(47_093_746_742));
        let extended: Vec<_> = node
            .capacity
            .extended
            .iter()
            .map(|(name, n)| (&**name, *n))
            .collect();
        assert_eq!(
            extended,
            [("hugepages-2Mi", 1 << 30), ("nvidia.com/gpu", 2)]
        );
        assert!(node.unschedulable);
        assert_eq!(
            node.taints.iter().map(|it| &**it).collect::<Vec<_>>(),
            ["gpu=yes:NoSchedule", "a:NoExecute"]
        );
        assert_eq!(node.conditions[1].1, ConditionStatus::Unknown);
        let labels: Vec<_> = node
            .labels
            .iter()
            .map(|(key, value)| (*key, &**value))
            .collect();
        assert_eq!(
            labels,
            [
                ("topology.kubernetes.io/zone", "eu-1a"),
                ("kubernetes.io/arch", "amd64")
            ]
        );
    }
}
