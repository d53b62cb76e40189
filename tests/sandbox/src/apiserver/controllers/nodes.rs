//! Taints cordoned nodes, as the node lifecycle controller does a moment after they were cordoned.

use serde_json::{Value, json};

use super::super::random::now;
use super::super::resources::Resource;
use super::world::World;

const KEY: &str = "node.kubernetes.io/unschedulable";

/// Gives every cordoned node the taint, and takes it from the others.
pub(super) fn taint(world: &mut World<'_>) {
    let resource = Resource::named("", "nodes");
    for node in world.list(resource) {
        let cordoned = node["spec"]["unschedulable"] == true;
        let mut taints: Vec<Value> = node["spec"]["taints"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let tainted = taints.iter().any(|taint| taint["key"] == KEY);
        if cordoned == tainted {
            continue;
        }
        taints.retain(|taint| taint["key"] != KEY);
        if cordoned {
            taints.push(json!({"key": KEY, "effect": "NoSchedule", "timeAdded": now()}));
        }
        let mut changed = Value::clone(&node);
        changed["spec"]["taints"] = taints.into();
        if let Some(spec) = changed["spec"]
            .as_object_mut()
            .filter(|spec| spec["taints"] == json!([]))
        {
            spec.remove("taints");
        }
        world.put(resource, changed);
    }
}
