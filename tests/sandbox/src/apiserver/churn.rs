//! Changes as they go on in every cluster, many at a time.

use serde_json::{Value, json};

use super::object::{elements_mut, str_at};
use super::random::now;
use super::resources::Resource;
use super::store::{State, Store};

/// Of a hundred changes of pods, so many replace one by another.
const REPLACED: u64 = 10;

/// Changes so many pods and nodes, chosen at random. Of the pods most restart a container or change their readiness;
/// some go, and another of their owner comes. Returns how many were changed.
pub(super) fn churn(store: &Store, pods: usize, nodes: usize) -> usize {
    let mut changed = 0;
    for (plural, count) in [("pods", pods), ("nodes", nodes)] {
        let resource = Resource::named("", plural);
        for key in store.write(|state| sample(state, resource, count)) {
            // Each on its own, as they come in a real cluster.
            changed += store.write(|state| usize::from(change(state, resource, &key).is_some()));
        }
    }
    changed
}

/// Keys that are far apart, beginning anywhere.
fn sample(state: &mut State, resource: &'static Resource, count: usize) -> Vec<Box<str>> {
    let all = state.count(resource);
    if all == 0 || count == 0 {
        return Vec::new();
    }
    let step = (all / count).max(1);
    let first = state.random.index(step);
    state
        .list(resource, "")
        .skip(first)
        .step_by(step)
        .take(count)
        .map(|object| object.key.clone())
        .collect()
}

fn change(state: &mut State, resource: &'static Resource, key: &str) -> Option<()> {
    let mut object = state.get(resource, key)?.value(resource);
    let now = now();
    if resource.plural == "nodes" {
        for condition in elements_mut(&mut object, "/status/conditions") {
            condition["lastHeartbeatTime"] = now.as_str().into();
        }
    } else if state.random.chance(REPLACED) {
        state.remove(resource, key);
        replace(state, &mut object, &now);
    } else if let Some(container) = elements_mut(&mut object, "/status/containerStatuses").next() {
        container["restartCount"] = (container["restartCount"].as_u64().unwrap_or(0) + 1).into();
        container["lastState"] = json!({"terminated": {
            "exitCode": 137, "reason": "OOMKilled", "startedAt": now, "finishedAt": now,
            "containerID": container["containerID"],
        }});
    } else {
        object["metadata"]["annotations"]["sandbox/touched"] = state.random.hex(8).into();
    }
    state.put(resource, object);
    Some(())
}

/// Makes another pod of the same owner, or the same name for what has a stable one.
fn replace(state: &mut State, pod: &mut Value, now: &str) {
    let prefix = str_at(&pod["metadata"], "generateName").to_owned();
    let metadata = &mut pod["metadata"];
    metadata["uid"] = state.random.uuid().into();
    metadata["creationTimestamp"] = now.into();
    if !prefix.is_empty() {
        metadata["name"] = format!("{prefix}{}", state.random.suffix(5)).into();
    }
    if pod["status"]["startTime"].is_string() {
        pod["status"]["startTime"] = now.into();
    }
}
