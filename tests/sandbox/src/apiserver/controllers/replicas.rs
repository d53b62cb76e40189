//! Replica sets, stateful sets and daemon sets: the pods they want, and the counts they show.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::eviction::is_ready;
use super::super::object::str_at;
use super::super::resources::Resource;
use super::scheduler::tolerates_node;
use super::world::{World, condition, controller, is_active};

/// Conditions of a node that daemon set pods bear.
const BORNE: &[(&str, &str)] = &[
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
];

/// Creates the pods that are missing and deletes those that are too many.
pub(super) fn reconcile(world: &mut World<'_>) {
    let owned = world.pods_by_owner();
    let pods_of = |owner: &Value| {
        owned
            .get(str_at(&owner["metadata"], "uid"))
            .map_or(&[][..], Vec::as_slice)
    };
    for set in world.list(Resource::named("apps", "replicasets")) {
        replica_set(world, &set, pods_of(&set));
    }
    for set in world.list(Resource::named("apps", "statefulsets")) {
        stateful_set(world, &set, pods_of(&set));
    }
    let nodes = world.list(Resource::named("", "nodes"));
    for set in world.list(Resource::named("apps", "daemonsets")) {
        daemon_set(world, &set, pods_of(&set), &nodes);
    }
}

fn replica_set(world: &mut World<'_>, set: &Value, pods: &[Arc<Value>]) {
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let mut active: Vec<&Arc<Value>> = pods.iter().filter(|pod| is_active(pod)).collect();
    let wanted = count_at(&set["spec"], "replicas");
    for _ in active.len()..wanted {
        let mut pod = pod_of(set);
        pod["metadata"]["generateName"] = format!("{}-", str_at(&set["metadata"], "name")).into();
        world.create(Resource::named("", "pods"), pod);
    }
    // The least useful go first: without a node, not running, not ready, young.
    active.sort_by_key(|pod| {
        let bound = !str_at(&pod["spec"], "nodeName").is_empty();
        let runs = str_at(&pod["status"], "phase") == "Running";
        let age = std::cmp::Reverse(str_at(&pod["metadata"], "creationTimestamp").to_owned());
        (bound, runs, is_ready(pod), age)
    });
    for pod in active.iter().take(active.len().saturating_sub(wanted)) {
        world.delete(Resource::named("", "pods"), pod);
    }
}

/// Pods with numbers, one after the other: each waits until those before it are ready.
fn stateful_set(world: &mut World<'_>, set: &Value, pods: &[Arc<Value>]) {
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let name = str_at(&set["metadata"], "name");
    let wanted = count_at(&set["spec"], "replicas");
    let in_order = str_at(&set["spec"], "podManagementPolicy") != "Parallel";
    for ordinal in 0..wanted {
        let pod_name = format!("{name}-{ordinal}");
        let existing = pods
            .iter()
            .find(|pod| pod["metadata"]["name"] == pod_name.as_str());
        match existing {
            None => {
                let mut pod = pod_of(set);
                pod["metadata"]["name"] = pod_name.as_str().into();
                pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = pod_name.into();
                world.create(Resource::named("", "pods"), pod);
                if in_order {
                    return;
                }
            }
            Some(pod) if in_order && (!is_active(pod) || !is_ready(pod)) => return,
            Some(_) => {}
        }
    }
    let ordinal = |pod: &Value| -> usize {
        let name = str_at(&pod["metadata"], "name");
        name.rsplit('-')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    };
    let last = pods
        .iter()
        .filter(|pod| is_active(pod))
        .max_by_key(|pod| ordinal(pod));
    if let Some(last) = last.filter(|last| ordinal(last) >= wanted) {
        world.delete(Resource::named("", "pods"), last);
    }
}

fn daemon_set(world: &mut World<'_>, set: &Value, pods: &[Arc<Value>], nodes: &[Arc<Value>]) {
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let mut template = pod_of(set);
    let mut tolerations = template["spec"]["tolerations"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for (key, effect) in BORNE {
        let key = format!("node.kubernetes.io/{key}");
        tolerations.push(json!({"key": key, "operator": "Exists", "effect": effect}));
    }
    template["spec"]["tolerations"] = tolerations.into();
    template["metadata"]["generateName"] = format!("{}-", str_at(&set["metadata"], "name")).into();
    let resource = Resource::named("", "pods");
    for node in nodes.iter().filter(|node| wants(&template, node)) {
        let name = &node["metadata"]["name"];
        // Also one that ends holds the place of the next.
        if pods.iter().any(|pod| pod["spec"]["nodeName"] == *name) {
            continue;
        }
        let mut pod = template.clone();
        pod["spec"]["nodeName"] = name.clone();
        world.create(resource, pod);
    }
    for pod in pods
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
    {
        let node = nodes
            .iter()
            .find(|node| node["metadata"]["name"] == pod["spec"]["nodeName"]);
        if node.is_none_or(|node| !wants(&template, node)) || !is_active(pod) {
            world.delete(resource, pod);
        }
    }
}

fn wants(template: &Value, node: &Value) -> bool {
    let selector = template["spec"]["nodeSelector"].as_object();
    selector.is_none_or(|wanted| {
        wanted
            .iter()
            .all(|(key, value)| node["metadata"]["labels"].get(key) == Some(value))
    }) && tolerates_node(node, &template["spec"])
}

/// A pod of an owner's template, without a name.
fn pod_of(owner: &Value) -> Value {
    let template = &owner["spec"]["template"];
    let metadata = &owner["metadata"];
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": metadata["namespace"],
            "ownerReferences": [{
                "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": metadata["name"],
                "uid": metadata["uid"], "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": template["spec"],
    });
    for member in ["labels", "annotations"] {
        if !template["metadata"][member].is_null() {
            pod["metadata"][member] = template["metadata"][member].clone();
        }
    }
    pod
}

/// Brings the status of all sets up to date.
pub(super) fn count(world: &mut World<'_>) {
    let owned = world.pods_by_owner();
    for plural in ["replicasets", "statefulsets", "daemonsets"] {
        let resource = Resource::named("apps", plural);
        for set in world.list(resource) {
            let pods = owned
                .get(str_at(&set["metadata"], "uid"))
                .map_or(&[][..], Vec::as_slice);
            let active: Vec<&Arc<Value>> = pods.iter().filter(|pod| is_active(pod)).collect();
            let ready = active.iter().filter(|pod| is_ready(pod)).count();
            let available = active
                .iter()
                .filter(|pod| is_available(world, pod, &set["spec"]))
                .count();
            let mut status = set["status"].clone();
            status["observedGeneration"] = set["metadata"]["generation"].clone();
            let total = active.len();
            let counts: &[(&str, usize)] = match plural {
                "replicasets" => &[
                    ("replicas", total),
                    ("fullyLabeledReplicas", total),
                    ("readyReplicas", ready),
                    ("availableReplicas", available),
                ],
                "statefulsets" => &[
                    ("replicas", total),
                    ("readyReplicas", ready),
                    ("currentReplicas", total),
                    ("updatedReplicas", total),
                    ("availableReplicas", available),
                ],
                _ => &[
                    ("currentNumberScheduled", total),
                    ("desiredNumberScheduled", total),
                    ("numberReady", ready),
                    ("numberAvailable", available),
                    ("numberMisscheduled", 0),
                    ("updatedNumberScheduled", total),
                ],
            };
            for (member, value) in counts {
                status[*member] = (*value).into();
            }
            if status != set["status"] {
                let mut changed = Value::clone(&set);
                changed["status"] = status;
                world.put(resource, changed);
            }
        }
    }
}

/// Whether a pod has been ready for as long as its owner's `minReadySeconds` say.
pub(super) fn is_available(world: &mut World<'_>, pod: &Value, owner_spec: &Value) -> bool {
    let seconds = owner_spec["minReadySeconds"].as_u64().unwrap_or(0);
    is_ready(pod)
        && (seconds == 0
            || condition(pod, "Ready").is_some()
                && world.has_lasted("ready", pod, std::time::Duration::from_secs(seconds)))
}

/// A count; one if it is not given, as replicas are.
pub(super) fn count_at(spec: &Value, member: &str) -> usize {
    spec[member]
        .as_u64()
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(1)
}

/// Whether an object is controlled by another.
pub(super) fn is_owned_by(object: &Value, owner: &Value) -> bool {
    controller(object).is_some_and(|it| it["uid"] == owner["metadata"]["uid"])
}
