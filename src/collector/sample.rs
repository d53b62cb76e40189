//! What one sample is: the members of the contract, borrowed from the records and serialized at once.

use serde::{Serialize, Serializer};

use super::usage::Usage;
use crate::cluster::node::{Capacity, ConditionStatus, Node, Requested};
use crate::cluster::pod::{ContainerHistory, ContainerShape, Phase, Pod, Qos};
use crate::cluster::uid::Uid;
use crate::cluster::workload::{Owner, Owners};

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

/// A pod.
#[derive(Serialize)]
pub struct PodSample<'a> {
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a Uid,
    node: Option<&'a str>,
    workload: Option<Workload<'a>>,
    phase: Phase,
    ready: bool,
    qos: Option<Qos>,
    restarts: u32,
    timestamp: Option<&'a str>,
    window_seconds: Option<f64>,
    containers: Vec<ContainerSample<'a>>,
}

#[derive(Serialize)]
struct Workload<'a> {
    kind: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct ContainerSample<'a> {
    name: &'a str,
    cpu_millicores: Option<Millicores>,
    memory_bytes: Option<i64>,
    cpu_request_millicores: Option<Millicores>,
    cpu_limit_millicores: Option<Millicores>,
    memory_request_bytes: Option<i64>,
    memory_limit_bytes: Option<i64>,
    restarts: u32,
    last_termination: Option<&'a str>,
}

impl<'a> PodSample<'a> {
    /// A pod with its usage, or without where the Metrics API has none.
    pub fn new(pod: &'a Pod, owners: &'a Owners, usage: Option<&'a Usage<'a>>) -> Self {
        let none = ContainerHistory::default();
        let containers = pod.shape.containers.iter().enumerate().map(|(at, shape)| {
            let history = pod.history.as_ref().and_then(|it| it.get(at));
            let restarts = history.unwrap_or(&none).restarts;
            let last_termination = history.and_then(|it| it.last_termination.as_deref());
            ContainerSample::new(shape, usage, restarts, last_termination)
        });
        // An ephemeral container has usage, but no place in the pod's shape.
        let strangers = usage
            .into_iter()
            .flat_map(|it| &it.containers)
            .filter(|it| {
                pod.shape
                    .containers
                    .iter()
                    .all(|shape| *shape.name != *it.name)
            });
        let strangers = strangers.map(|it| ContainerSample {
            name: &it.name,
            cpu_millicores: it.cpu.map(Millicores),
            memory_bytes: it.memory,
            cpu_request_millicores: None,
            cpu_limit_millicores: None,
            memory_request_bytes: None,
            memory_limit_bytes: None,
            restarts: 0,
            last_termination: None,
        });
        Self {
            kind: "pod",
            namespace: &pod.namespace,
            name: &pod.name,
            uid: &pod.uid,
            node: pod.node.as_deref(),
            workload: pod
                .owner
                .as_deref()
                .map(|it| Workload::of(owners.resolve(it))),
            phase: pod.phase,
            ready: pod.ready,
            qos: pod.qos,
            restarts: pod.restarts(),
            timestamp: usage.and_then(|it| it.timestamp.as_deref()),
            window_seconds: usage.and_then(|it| it.window_seconds),
            containers: containers.chain(strangers).collect(),
        }
    }
}

impl<'a> Workload<'a> {
    fn of(owner: &'a Owner) -> Self {
        Self {
            kind: &owner.kind,
            name: &owner.name,
        }
    }
}

impl<'a> ContainerSample<'a> {
    fn new(
        shape: &'a ContainerShape,
        usage: Option<&Usage<'_>>,
        restarts: u32,
        last_termination: Option<&'a str>,
    ) -> Self {
        let used = usage.and_then(|it| it.containers.iter().find(|it| *it.name == *shape.name));
        Self {
            name: &shape.name,
            cpu_millicores: used.and_then(|it| it.cpu).map(Millicores),
            memory_bytes: used.and_then(|it| it.memory),
            cpu_request_millicores: shape.cpu_request.map(Millicores),
            cpu_limit_millicores: shape.cpu_limit.map(Millicores),
            memory_request_bytes: shape.memory_request,
            memory_limit_bytes: shape.memory_limit,
            restarts,
            last_termination,
        }
    }
}

/// A node.
#[derive(Serialize)]
pub struct NodeSample<'a> {
    kind: &'static str,
    name: &'a str,
    uid: &'a Uid,
    timestamp: Option<&'a str>,
    window_seconds: Option<f64>,
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
            timestamp: usage.and_then(|it| it.timestamp.as_deref()),
            window_seconds: usage.and_then(|it| it.window_seconds),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millicores_are_exact_to_the_nanocore() {
        for (nanos, text) in [
            (0, "0"),
            (100_000_000, "100"),
            (1, "1e-6"),
            (2_386_041, "2.386041"),
            (123_456_789_012, "123456.789012"),
            (1_500_000, "1.5"),
        ] {
            assert_eq!(serde_json::to_string(&Millicores(nanos)).unwrap(), text);
        }
    }
}
