//! Clusters of any size at once, varied as real ones are.
//!
//! A pod's JSON is about 8 KB, managed fields and all, and holds as many random ids, hashes and addresses as a real
//! one does, so that it compresses no better. The same seed makes the same cluster, but for the times.

mod budget;
mod node;
mod pod;
mod spec;
mod status;
mod workload;

use std::thread;

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::object::{Index, Object};
use super::random::{Random, timestamp};
use super::resources::Resource;
use super::store::State;

pub(super) use node::Node;
pub(super) use workload::{Kind, Workload};

/// Teams and what they run, for names.
const TEAMS: &[&str] = &[
    "payments",
    "checkout",
    "search",
    "catalog",
    "billing",
    "identity",
    "media",
    "ranking",
    "ads",
    "chat",
    "orders",
    "shipping",
    "reports",
    "gateway",
    "mail",
    "crm",
    "fraud",
    "pricing",
    "inventory",
    "support",
];

/// What a generated cluster is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Population {
    /// The source of its variety.
    pub seed: u64,
    /// Whether pods are as small as a hand-written one (about 2 KB) instead of as large as real ones (about 8 KB).
    pub small: bool,
    /// Whether every pod runs; otherwise a few in a hundred are pending, finished, failed or restarting.
    pub healthy: bool,
    /// Whether some workloads have disruption budgets.
    pub budgets: bool,
}

impl Default for Population {
    fn default() -> Population {
        Population {
            seed: 1,
            small: false,
            healthy: false,
            budgets: true,
        }
    }
}

/// A pod that is to be made.
struct Plan {
    workload: usize,
    ordinal: usize,
    node: usize,
    condition: pod::Condition,
}

/// Fills the store with so many nodes and pods and what belongs to them. What the store holds of other names stays.
pub(super) fn populate(state: &mut State, nodes: usize, pods: usize, options: &Population) {
    let mut random = Random::new(options.seed);
    let now = OffsetDateTime::now_utc();
    let nodes = node::make(&mut random, nodes, now);
    let (workloads, plans) = plan(&mut random, &nodes, pods, options);

    for namespace in workloads.iter().map(|workload| workload.namespace.as_str()) {
        if state
            .get(Resource::named("", "namespaces"), namespace)
            .is_none()
        {
            state.put(
                Resource::named("", "namespaces"),
                self::namespace(&mut random, namespace, now),
            );
        }
    }
    let mut ready = vec![0; workloads.len()];
    for plan in plans.iter().filter(|plan| plan.condition.is_ready()) {
        ready[plan.workload] += 1;
    }
    for (workload, ready) in workloads.iter().zip(ready) {
        for (resource, value) in workload.objects(ready) {
            state.put(resource, value);
        }
        if options.budgets && workload.has_budget() {
            state.put(
                Resource::named("policy", "poddisruptionbudgets"),
                budget::make(workload, ready),
            );
        }
    }
    load_nodes(state, &nodes, options);
    load_pods(state, &nodes, &workloads, &plans, options);
}

/// Decides on workloads until they have all the pods, and on a node and a state for each pod.
fn plan(
    random: &mut Random,
    nodes: &[Node],
    pods: usize,
    options: &Population,
) -> (Vec<Workload>, Vec<Plan>) {
    let now = OffsetDateTime::now_utc();
    let mut workloads = Vec::new();
    let mut plans = Vec::with_capacity(pods);
    // A node agent or three, where there are pods enough for others beside them.
    let agents = if nodes.is_empty() {
        0
    } else {
        (pods / nodes.len() / 5).min(3)
    };
    for number in 0..agents {
        workloads.push(Workload::node_agent(random, number, nodes.len(), now));
        for (node, _) in nodes.iter().enumerate() {
            let condition = pod::Condition::Running { restarts: 0 };
            plans.push(Plan {
                workload: number,
                ordinal: node,
                node,
                condition,
            });
        }
    }
    while plans.len() < pods {
        let workload = Workload::random(random, workloads.len(), pods - plans.len(), now);
        for ordinal in 0..workload.replicas {
            let condition = pod::Condition::random(random, workload.kind, options.healthy);
            let node = random.index(nodes.len().max(1));
            let condition = if nodes.is_empty() {
                pod::Condition::Pending
            } else {
                condition
            };
            plans.push(Plan {
                workload: workloads.len(),
                ordinal,
                node,
                condition,
            });
        }
        workloads.push(workload);
    }
    (workloads, plans)
}

fn load_nodes(state: &mut State, nodes: &[Node], options: &Population) {
    let resource = Resource::named("", "nodes");
    let first = state.revision + 1;
    let mut random = Random::new(options.seed ^ 0x6e6f_6465);
    let objects: Vec<Object> = (first..)
        .zip(nodes)
        .map(|(revision, node)| {
            Object::new(resource, revision, node.to_json(&mut random, options.small))
        })
        .collect();
    let last = state.revision + nodes.len() as u64;
    state.load(resource, objects, last);
}

/// Writes the pods with every processor there is, since they are most of the work.
fn load_pods(
    state: &mut State,
    nodes: &[Node],
    workloads: &[Workload],
    plans: &[Plan],
    options: &Population,
) {
    let resource = Resource::named("", "pods");
    let first = state.revision + 1;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = plans.len().div_ceil(threads).max(1);
    let objects: Vec<Object> = thread::scope(|scope| {
        let parts: Vec<_> = plans
            .chunks(share)
            .enumerate()
            .map(|(part, plans)| {
                scope.spawn(move || {
                    let mut random = Random::new(options.seed ^ (part as u64 + 1) << 32);
                    let first = first + (part * share) as u64;
                    let pods = (first..).zip(plans).map(|(revision, plan)| {
                        let workload = &workloads[plan.workload];
                        let pod = pod::Pod::new(
                            &mut random,
                            workload,
                            plan.ordinal,
                            nodes.get(plan.node),
                            plan.condition,
                        );
                        pod.to_object(&mut random, revision, options.small)
                    });
                    pods.collect::<Vec<_>>()
                })
            })
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_default())
            .collect()
    });
    let last = state.revision + objects.len() as u64;
    state.load(resource, objects, last);
}

fn namespace(random: &mut Random, name: &str, now: OffsetDateTime) -> Value {
    json!({
        "metadata": {
            "name": name, "uid": random.uuid(), "creationTimestamp": timestamp(now - Duration::days(90)),
            "labels": {"kubernetes.io/metadata.name": name},
        },
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    })
}

/// The parts of an index that are known while an object is written.
fn index(uid: &str, labels: &[(String, String)]) -> Index {
    Index {
        uid: uid.into(),
        labels: labels
            .iter()
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect(),
        ..Index::default()
    }
}
