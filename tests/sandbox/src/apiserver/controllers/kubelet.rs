//! Starts and ends pods, for all nodes.
//!
//! An image whose name holds `nonexistent` is never pulled, one that holds `crashing` starts and fails. A pod with the
//! annotation `sandbox/stuck` never ends.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::object::str_at;
use super::super::random::now;
use super::super::resources::Resource;
use super::world::{World, condition};

/// What a kubelet marks the pods of its own directory with.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Takes every pod on a ready node one step further.
pub(super) fn run(world: &mut World<'_>) {
    let ready: HashSet<String> = world
        .list(Resource::named("", "nodes"))
        .iter()
        .filter(|node| condition(node, "Ready").is_none_or(|it| it["status"] == "True"))
        .map(|node| str_at(&node["metadata"], "name").to_owned())
        .collect();
    let pods = world.list(Resource::named("", "pods"));
    for pod in pods
        .iter()
        .filter(|pod| ready.contains(str_at(&pod["spec"], "nodeName")))
    {
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            end(world, pod);
        } else if str_at(&pod["status"], "phase") == "Pending" {
            start(world, pod);
        }
    }
}

fn end(world: &mut World<'_>, pod: &Value) {
    let resource = Resource::named("", "pods");
    let grace = pod["metadata"]["deletionGracePeriodSeconds"]
        .as_u64()
        .unwrap_or(0);
    let patience =
        Duration::from_millis(world.options.terminate_after_ms).min(Duration::from_secs(grace));
    if !pod["metadata"]["annotations"]["sandbox/stuck"].is_null()
        || !world.has_lasted("ending", pod, patience)
    {
        return;
    }
    if pod["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|it| !it.is_empty())
    {
        // Its containers have ended; the object waits.
        if grace > 0 {
            let mut ended = pod.clone();
            ended["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            world.put(resource, ended);
        }
        return;
    }
    world.remove(resource, pod);
    if !pod["metadata"]["annotations"][MIRROR].is_null() {
        mirror_again(world, pod);
    }
}

/// A static pod is not run by the API: its kubelet shows it again.
fn mirror_again(world: &mut World<'_>, pod: &Value) {
    let metadata = &pod["metadata"];
    let mut again = pod.clone();
    again["metadata"] = json!({
        "name": metadata["name"], "namespace": metadata["namespace"], "labels": metadata["labels"],
        "annotations": metadata["annotations"], "ownerReferences": metadata["ownerReferences"],
    });
    world.create(Resource::named("", "pods"), again);
}

fn start(world: &mut World<'_>, pod: &Value) {
    let containers = || pod["spec"]["containers"].as_array().into_iter().flatten();
    let image_says = |word: &str| containers().any(|it| str_at(it, "image").contains(word));
    let pulls = !image_says("nonexistent");
    let runs = pulls && !image_says("crashing");
    let has_status = pod["status"]["containerStatuses"].is_array();
    if (!pulls && has_status)
        || !world.has_lasted(
            "starting",
            pod,
            Duration::from_millis(world.options.ready_after_ms),
        )
    {
        return;
    }
    let time = now();
    let statuses: Vec<Value> = containers()
        .map(|container| container_status(world, container, pulls, runs, &time))
        .collect();
    let condition = |kind: &str, holds: bool| {
        let mut condition = json!({
            "type": kind, "status": if holds { "True" } else { "False" },
            "lastProbeTime": null, "lastTransitionTime": time,
        });
        if !holds {
            condition["reason"] = "ContainersNotReady".into();
        }
        condition
    };
    let mut started = pod.clone();
    let random = &mut world.state.random;
    let ip = format!("100.64.{}.{}", random.below(256), 1 + random.below(254));
    let status = &mut started["status"];
    status["phase"] = if pulls { "Running" } else { "Pending" }.into();
    status["conditions"] = json!([
        condition("Initialized", true),
        condition("Ready", runs),
        condition("ContainersReady", runs),
        condition("PodScheduled", true),
    ]);
    status["startTime"] = time.as_str().into();
    status["hostIP"] = "10.0.0.1".into();
    status["podIP"] = ip.as_str().into();
    status["podIPs"] = json!([{"ip": ip}]);
    status["containerStatuses"] = statuses.into();
    world.put(Resource::named("", "pods"), started);
}

fn container_status(
    world: &mut World<'_>,
    container: &Value,
    pulls: bool,
    runs: bool,
    time: &str,
) -> Value {
    let state = match (pulls, runs) {
        (true, true) => json!({"running": {"startedAt": time}}),
        (true, false) => {
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}})
        }
        (false, _) => {
            json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}})
        }
    };
    json!({
        "name": container["name"], "image": container["image"], "ready": runs, "started": runs, "state": state,
        "restartCount": if pulls && !runs { 3 } else { 0 }, "lastState": {},
        "imageID": "", "containerID": format!("containerd://{}", world.state.random.hex(64)),
    })
}
