//! Deployments: a replica set for each template, and a status that says how far the rollout is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::super::object::{elements_mut, str_at};
use super::super::random::{hash, name_of, now, parse_time};
use super::super::resources::Resource;
use super::replicas::{count_at, is_owned_by};
use super::rollout::{self, Numbers, Part};
use super::world::{World, condition, set_condition, share};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH: &str = "pod-template-hash";

/// Takes every rollout one step further.
pub(super) fn reconcile(world: &mut World<'_>) {
    for deployment in world.list(Resource::named("apps", "deployments")) {
        if deployment["metadata"]["deletionTimestamp"].is_null() {
            roll(world, &deployment);
        }
    }
}

fn roll(world: &mut World<'_>, deployment: &Value) {
    let sets = sets_of(world, deployment);
    let current = sets.iter().position(|set| same_template(set, deployment));
    let paused = deployment["spec"]["paused"] == true;
    let Some(current) = current else {
        if !paused || sets.is_empty() {
            create_set(world, deployment, &sets);
        }
        return;
    };
    let newest = sets.iter().map(|set| revision(set)).max().unwrap_or(0);
    if revision(&sets[current]) < newest && !paused {
        // Back to an earlier template: its replica set becomes the newest again.
        let mut set = Value::clone(&sets[current]);
        set["metadata"]["annotations"][REVISION] = (newest + 1).to_string().into();
        world.put(Resource::named("apps", "replicasets"), set);
        return;
    }
    let parts: Vec<Part> = sets.iter().map(|set| part(set)).collect();
    let numbers = numbers(&deployment["spec"]);
    for (set, wanted) in sets.iter().zip(rollout::step(&numbers, &parts, current)) {
        if wanted != count_at(&set["spec"], "replicas") {
            let mut set = Value::clone(set);
            set["spec"]["replicas"] = wanted.into();
            world.put(Resource::named("apps", "replicasets"), set);
        }
    }
}

/// The replica sets of a deployment, the oldest first.
fn sets_of(world: &mut World<'_>, deployment: &Value) -> Vec<Arc<Value>> {
    let mut sets = world.list(Resource::named("apps", "replicasets"));
    sets.retain(|set| is_owned_by(set, deployment));
    sets.sort_by_key(|set| revision(set));
    sets
}

fn same_template(set: &Value, deployment: &Value) -> bool {
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    template == deployment["spec"]["template"]
}

fn revision(set: &Value) -> u64 {
    set["metadata"]["annotations"][REVISION]
        .as_str()
        .and_then(|it| it.parse().ok())
        .unwrap_or(0)
}

fn create_set(world: &mut World<'_>, deployment: &Value, sets: &[Arc<Value>]) {
    let metadata = &deployment["metadata"];
    let mut template = deployment["spec"]["template"].clone();
    let hash = name_of(hash(&template.to_string()));
    template["metadata"]["labels"][HASH] = hash.as_str().into();
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = hash.as_str().into();
    let next = sets.iter().map(|set| revision(set)).max().unwrap_or(0) + 1;
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", str_at(metadata, "name")), "namespace": metadata["namespace"],
            "labels": template["metadata"]["labels"], "annotations": {REVISION: next.to_string()},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"],
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "replicas": 0, "selector": selector, "template": template,
            "minReadySeconds": deployment["spec"]["minReadySeconds"].as_u64().unwrap_or(0),
        },
    });
    world.create(Resource::named("apps", "replicasets"), set);
}

fn part(set: &Value) -> Part {
    let wanted = count_at(&set["spec"], "replicas");
    // What it counted before it was told a smaller number may be going.
    let available = count_or_zero(set, "availableReplicas").min(wanted);
    Part {
        wanted,
        present: count_or_zero(set, "replicas"),
        available,
    }
}

fn count_or_zero(object: &Value, member: &str) -> usize {
    object["status"][member]
        .as_u64()
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(0)
}

fn numbers(spec: &Value) -> Numbers {
    let replicas = count_at(spec, "replicas");
    let whole = i64::try_from(replicas).unwrap_or(i64::MAX);
    let rolling = &spec["strategy"]["rollingUpdate"];
    let or_default = |value: &Value| {
        if value.is_null() {
            json!("25%")
        } else {
            value.clone()
        }
    };
    let resolve = |name: &str, up: bool| {
        usize::try_from(share(&or_default(&rolling[name]), whole, up)).unwrap_or(0)
    };
    let (surge, unavailable) = (resolve("maxSurge", true), resolve("maxUnavailable", false));
    Numbers {
        replicas,
        max_surge: surge,
        // Both zero would never move.
        max_unavailable: if surge == 0 && unavailable == 0 {
            1
        } else {
            unavailable
        },
        recreate: spec["strategy"]["type"] == "Recreate",
    }
}

/// Brings the status of every deployment up to date.
pub(super) fn count(world: &mut World<'_>) {
    for deployment in world.list(Resource::named("apps", "deployments")) {
        let sets = sets_of(world, &deployment);
        let current = sets.iter().find(|set| same_template(set, &deployment));
        let mut changed = Value::clone(&deployment);
        changed["status"] = status(world, &deployment, &sets, current.map(|set| &**set));
        if let Some(set) = current {
            changed["metadata"]["annotations"][REVISION] = revision(set).to_string().into();
        }
        if changed != *deployment {
            world.put(Resource::named("apps", "deployments"), changed);
        }
    }
}

fn status(
    world: &mut World<'_>,
    deployment: &Value,
    sets: &[Arc<Value>],
    current: Option<&Value>,
) -> Value {
    let spec = &deployment["spec"];
    let wanted = count_at(spec, "replicas");
    let sum = |member: &str| {
        sets.iter()
            .map(|set| count_or_zero(set, member))
            .sum::<usize>()
    };
    let (total, ready, available) = (
        sum("replicas"),
        sum("readyReplicas"),
        sum("availableReplicas"),
    );
    let updated = current.map_or(0, |set| count_or_zero(set, "replicas"));
    let mut status = deployment["status"].clone();
    status["observedGeneration"] = deployment["metadata"]["generation"].clone();
    let unavailable = total.max(wanted).saturating_sub(available);
    for (member, value) in [
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", available),
        ("unavailableReplicas", unavailable),
    ] {
        // The real server leaves zeros out.
        match (value, status.as_object_mut()) {
            (0, Some(status)) => drop(status.remove(member)),
            _ => status[member] = value.into(),
        }
    }
    let now = now();
    let enough = available >= wanted.saturating_sub(numbers(spec).max_unavailable);
    let (reason, message) = if enough {
        (
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    set_condition(&mut status, "Available", enough, reason, message, &now);
    let complete = updated == wanted && total == wanted && available == wanted;
    progress(world, deployment, &mut status, current, complete, &now);
    status
}

/// The Progressing condition: its `lastUpdateTime` is when the rollout last moved.
fn progress(
    world: &mut World<'_>,
    deployment: &Value,
    status: &mut Value,
    current: Option<&Value>,
    complete: bool,
    now: &str,
) {
    let name = current.map_or("", |set| str_at(&set["metadata"], "name"));
    let counts = [
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
    ];
    let moved = counts
        .iter()
        .any(|member| status[*member] != deployment["status"][*member]);
    let before = condition(deployment, "Progressing").filter(|_| !moved);
    let gave_up = before.is_some_and(|it| it["reason"] == "ProgressDeadlineExceeded");
    let last = before.and_then(|it| parse_time(str_at(it, "lastUpdateTime")));
    let limit = deployment["spec"]["progressDeadlineSeconds"]
        .as_i64()
        .unwrap_or(600);
    let waited = last.map_or(0, |last| (OffsetDateTime::now_utc() - last).whole_seconds());
    let paused = deployment["spec"]["paused"] == true;
    let (holds, reason, message) = if complete {
        (
            true,
            "NewReplicaSetAvailable",
            format!("ReplicaSet {name:?} has successfully progressed."),
        )
    } else if paused {
        (true, "DeploymentPaused", "Deployment is paused".to_owned())
    } else if gave_up || waited > limit {
        (
            false,
            "ProgressDeadlineExceeded",
            format!("ReplicaSet {name:?} has timed out progressing."),
        )
    } else {
        world.come_back(Instant::now() + Duration::from_millis(500));
        (
            true,
            "ReplicaSetUpdated",
            format!("ReplicaSet {name:?} is progressing."),
        )
    };
    set_condition(status, "Progressing", holds, reason, &message, now);
    let conditions = elements_mut(status, "/conditions");
    for condition in conditions
        .filter(|it| it["lastUpdateTime"].is_null() || moved && it["type"] == "Progressing")
    {
        condition["lastUpdateTime"] = now.into();
    }
}
