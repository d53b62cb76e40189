//! The sample of a node: the members of the contract, borrowed from the record and serialized at once.

use serde::{Serialize, Serializer};

use crate::cluster::node::{Capacity, ConditionStatus, Node, Requested};
use crate::cluster::uid::Uid;
use crate::collector::usage::Usage;

/// Nanocores, written as millicores.
#[derive(Clone, Copy)]
struct Millicores(i64);

impl Serialize for Millicores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const NANOS: i64 = 1_000_000;
        if self.0 % NANOS == 0 {
            return serializer.serialize_i64(self.0 / NANOS);
        }
        // Up to 9e15 nanocores, nine million cores, the nearest double prints with exactly these digits.
        #[expect(
            clippy::cast_precision_loss,
            reason = "no machine has nine million cores"
        )]
        serializer.serialize_f64(self.0 as f64 / 1e6)
    }
}

/// Nanoseconds, written as seconds.
struct Seconds(i64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "nothing is measured over more than a hundred days"
        )]
        serializer.serialize_f64(self.0 as f64 / 1e9)
    }
}

/// A node.
#[derive(Serialize)]
pub struct NodeSample<'a> {
    kind: &'static str,
    name: &'a str,
    uid: &'a Uid,
    timestamp: Option<&'a str>,
    window_seconds: Option<Seconds>,
    cpu_millicores: Option<Millicores>,
    memory_bytes: Option<i64>,
    capacity: CapacitySample<'a>,
    allocatable: CapacitySample<'a>,
    requested: Option<RequestedSample>,
    pods: Option<u32>,
    #[serde(serialize_with = "conditions")]
    conditions: &'a Node,
    unschedulable: bool,
    taints: &'a [Box<str>],
    #[serde(serialize_with = "labels")]
    labels: &'a Node,
}

#[derive(Serialize)]
struct CapacitySample<'a> {
    cpu_millicores: Millicores,
    memory_bytes: i64,
    pods: i64,
    ephemeral_storage_bytes: Option<i64>,
    #[serde(serialize_with = "extended")]
    extended: &'a Capacity,
}

#[derive(Serialize)]
struct RequestedSample {
    cpu_millicores: Millicores,
    memory_bytes: i64,
}

impl<'a> NodeSample<'a> {
    /// A node with its usage, or without where the Metrics API has none. Without `knows_pods` nothing is said of its
    /// pods: none known is not none there.
    pub fn new(node: &'a Node, usage: Option<&'a Usage<'a>>, knows_pods: bool) -> Self {
        let Requested { cpu, memory, pods } = node.requested;
        Self {
            kind: "node",
            name: &node.name,
            uid: &node.uid,
            timestamp: usage.map(|it| it.timestamp.as_str()),
            window_seconds: usage.and_then(|it| it.window).map(Seconds),
            cpu_millicores: usage.and_then(|it| it.cpu).map(Millicores),
            memory_bytes: usage.and_then(|it| it.memory),
            capacity: CapacitySample::of(&node.capacity),
            allocatable: CapacitySample::of(&node.allocatable),
            requested: knows_pods.then_some(RequestedSample {
                cpu_millicores: Millicores(cpu),
                memory_bytes: memory,
            }),
            pods: knows_pods.then_some(pods),
            conditions: node,
            unschedulable: node.unschedulable,
            taints: &node.taints,
            labels: node,
        }
    }
}

impl<'a> CapacitySample<'a> {
    fn of(capacity: &'a Capacity) -> Self {
        Self {
            cpu_millicores: Millicores(capacity.cpu),
            memory_bytes: capacity.memory,
            pods: capacity.pods,
            ephemeral_storage_bytes: capacity.ephemeral_storage,
            extended: capacity,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference to the field"
)]
fn conditions<S: Serializer>(node: &&Node, serializer: S) -> Result<S::Ok, S::Error> {
    let pairs = node.conditions.iter();
    serializer.collect_map(pairs.map(|(kind, status): &(_, ConditionStatus)| (&**kind, status)))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference to the field"
)]
fn labels<S: Serializer>(node: &&Node, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(node.labels.iter().map(|(key, value)| (key, &**value)))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference to the field"
)]
fn extended<S: Serializer>(capacity: &&Capacity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        capacity
            .extended
            .iter()
            .map(|(name, amount)| (&**name, amount)),
    )
}
