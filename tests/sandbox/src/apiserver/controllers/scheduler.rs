//! Gives pods nodes.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::object::{Object, str_at};
use super::super::quantity;
use super::super::random::now;
use super::super::resources::Resource;
use super::world::{World, condition, set_condition};

/// What a node still has.
#[derive(Clone, Copy, Default)]
struct Room {
    pods: i64,
    cpu_millis: i64,
    memory: i64,
}

/// Binds every pod that waits for this scheduler to the emptiest node that can take it.
pub(super) fn schedule(world: &mut World<'_>) {
    let resource = Resource::named("", "pods");
    let waiting: Vec<Arc<Object>> = world
        .state
        .list(resource, "")
        .filter(|pod| {
            pod.field("spec.nodeName").is_empty()
                && matches!(pod.field("spec.schedulerName"), "" | "default-scheduler")
                && pod.field("status.phase") == "Pending"
        })
        .cloned()
        .collect();
    if waiting.is_empty() {
        return;
    }
    let nodes = world.list(Resource::named("", "nodes"));
    let mut rooms: HashMap<String, Room> = nodes
        .iter()
        .map(|node| (str_at(&node["metadata"], "name").to_owned(), capacity(node)))
        .collect();
    for pod in world.state.list(resource, "") {
        let idle = matches!(pod.field("status.phase"), "Succeeded" | "Failed");
        if let Some(room) = rooms.get_mut(pod.field("spec.nodeName")).filter(|_| !idle) {
            *room = room.less(pod);
        }
    }
    for object in waiting {
        let mut pod = object.value(resource);
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            continue;
        }
        let fits = |node: &&Arc<Value>| {
            let room = rooms
                .get(str_at(&node["metadata"], "name"))
                .copied()
                .unwrap_or_default();
            room.less(&object).is_enough() && accepts(node, &pod)
        };
        let most_room = |node: &&Arc<Value>| {
            rooms
                .get(str_at(&node["metadata"], "name"))
                .map_or(0, |room| room.pods)
        };
        let chosen = nodes.iter().filter(fits).max_by_key(most_room);
        let mut status = pod["status"].clone();
        if let Some(node) = chosen {
            let name = str_at(&node["metadata"], "name");
            if let Some(room) = rooms.get_mut(name) {
                *room = room.less(&object);
            }
            set_condition(&mut status, "PodScheduled", true, "", "", &now());
            pod["spec"]["nodeName"] = name.into();
        } else {
            let message = format!(
                "0/{count} nodes are available: {count} do not match.",
                count = nodes.len()
            );
            set_condition(
                &mut status,
                "PodScheduled",
                false,
                "Unschedulable",
                &message,
                &now(),
            );
        }
        if status != pod["status"] || chosen.is_some() {
            pod["status"] = status;
            world.put(resource, pod);
        }
    }
}

impl Room {
    fn less(self, pod: &Object) -> Room {
        let sum = |amount: fn(&super::super::object::Usage) -> u64| -> i64 {
            i64::try_from(pod.index.usage.iter().map(amount).sum::<u64>()).unwrap_or(i64::MAX)
        };
        Room {
            pods: self.pods - 1,
            cpu_millis: self
                .cpu_millis
                .saturating_sub(sum(|usage| usage.cpu_millis)),
            memory: self.memory.saturating_sub(sum(|usage| usage.memory)),
        }
    }

    fn is_enough(self) -> bool {
        self.pods >= 0 && self.cpu_millis >= 0 && self.memory >= 0
    }
}

fn capacity(node: &Value) -> Room {
    // What a node does not say is no limit.
    let amount = |name: &str| str_at(&node["status"]["allocatable"], name);
    Room {
        pods: quantity::whole(amount("pods")).unwrap_or(110),
        cpu_millis: quantity::millis(amount("cpu")).unwrap_or(i64::MAX),
        memory: quantity::whole(amount("memory")).unwrap_or(i64::MAX),
    }
}

/// Whether a node would take a pod, were there room: ready, selected, and tolerated.
fn accepts(node: &Value, pod: &Value) -> bool {
    let ready = condition(node, "Ready").is_none_or(|it| it["status"] == "True");
    let selector = pod["spec"]["nodeSelector"].as_object();
    let selected = selector.is_none_or(|wanted| {
        wanted
            .iter()
            .all(|(key, value)| node["metadata"]["labels"].get(key) == Some(value))
    });
    ready && selected && tolerates_node(node, &pod["spec"])
}

/// Whether a pod tolerates all taints of a node that keep pods away, its being cordoned among them.
pub(super) fn tolerates_node(node: &Value, spec: &Value) -> bool {
    let mut taints = node["spec"]["taints"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if node["spec"]["unschedulable"] == true {
        taints.push(json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}));
    }
    taints
        .iter()
        .filter(|taint| taint["effect"] != "PreferNoSchedule")
        .all(|taint| tolerates(spec, taint))
}

fn tolerates(spec: &Value, taint: &Value) -> bool {
    spec["tolerations"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|toleration| {
            let key = str_at(toleration, "key");
            let effect = str_at(toleration, "effect");
            let exists = str_at(toleration, "operator") == "Exists";
            (key == str_at(taint, "key") || key.is_empty() && exists)
                && (effect.is_empty() || effect == str_at(taint, "effect"))
                && (exists || str_at(toleration, "value") == str_at(taint, "value"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_tolerations_tolerate() {
        let node = json!({"spec": {"unschedulable": true, "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}});
        let spec = |tolerations: Value| json!({"tolerations": tolerations});
        assert!(!tolerates_node(&node, &spec(json!([]))));
        assert!(!tolerates_node(
            &node,
            &spec(json!([{"key": "a", "value": "b"}]))
        ));
        assert!(tolerates_node(
            &node,
            &spec(json!([{"operator": "Exists"}]))
        ));
        let both = json!([{"key": "a", "operator": "Equal", "value": "b"}, {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]);
        assert!(tolerates_node(&node, &spec(both)));
    }
}
