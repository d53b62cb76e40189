//! Counts what disruption budgets allow.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::super::eviction::is_ready;
use super::super::object::str_at;
use super::super::random::{now, parse_time};
use super::super::resources::Resource;
use super::super::selector::Selector;
use super::world::{World, controller, set_condition, share};

/// An eviction whose pod does not go is forgotten after so long.
const DELETION_TIMEOUT: i64 = 120;

/// Brings the status of every budget up to date.
pub(super) fn count(world: &mut World<'_>) {
    let resource = Resource::named("policy", "poddisruptionbudgets");
    let budgets = world.list(resource);
    if budgets.is_empty() {
        return;
    }
    let pods = world.list(Resource::named("", "pods"));
    let scales = scales(world);
    for budget in budgets {
        let Some(selector) = Selector::from_object(&budget["spec"]["selector"]) else {
            continue;
        };
        let namespace = &budget["metadata"]["namespace"];
        let selected: Vec<&Arc<Value>> = pods
            .iter()
            .filter(|pod| {
                pod["metadata"]["namespace"] == *namespace
                    && selector.matches_label_map(&pod["metadata"]["labels"])
            })
            .collect();
        let disrupted = still_disrupted(&budget, &selected);
        if !disrupted.is_empty() {
            world.come_back(Instant::now() + Duration::from_secs(1));
        }
        let healthy = selected
            .iter()
            .filter(|pod| {
                pod["metadata"]["deletionTimestamp"].is_null()
                    && !disrupted.contains_key(str_at(&pod["metadata"], "name"))
                    && is_ready(pod)
            })
            .count();
        let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
        let (expected, desired) = expectation(&budget["spec"], &selected, &scales);
        let allowed = if expected <= 0 {
            0
        } else {
            (healthy - desired).max(0)
        };

        let mut status = budget["status"].clone();
        status["observedGeneration"] = budget["metadata"]["generation"].clone();
        for (member, value) in [
            ("currentHealthy", healthy),
            ("desiredHealthy", desired),
            ("expectedPods", expected),
            ("disruptionsAllowed", allowed),
        ] {
            status[member] = value.into();
        }
        if disrupted.is_empty() {
            if let Some(status) = status.as_object_mut() {
                status.remove("disruptedPods");
            }
        } else {
            status["disruptedPods"] = disrupted.into();
        }
        let reason = if allowed > 0 {
            "SufficientPods"
        } else {
            "InsufficientPods"
        };
        set_condition(
            &mut status,
            "DisruptionAllowed",
            allowed > 0,
            reason,
            "",
            &now(),
        );
        if status != budget["status"] {
            let mut changed = Value::clone(&budget);
            changed["status"] = status;
            world.put(resource, changed);
        }
    }
}

/// The evictions that were allowed but whose pods do not end yet.
fn still_disrupted(budget: &Value, pods: &[&Arc<Value>]) -> Map<String, Value> {
    let mut disrupted = budget["status"]["disruptedPods"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    disrupted.retain(|name, since| {
        let since = since.as_str().and_then(parse_time);
        let recent = since.is_some_and(|since| {
            (OffsetDateTime::now_utc() - since).whole_seconds() < DELETION_TIMEOUT
        });
        let waits = |pod: &&&Arc<Value>| {
            pod["metadata"]["name"] == name.as_str()
                && pod["metadata"]["deletionTimestamp"].is_null()
        };
        recent && pods.iter().any(|pod| waits(&pod))
    });
    disrupted
}

/// How many pods there should be, and how many of them must be healthy. Only where the budget speaks of a share of
/// the pods, or of how many may be missing, does it matter how many their owners want.
fn expectation(spec: &Value, pods: &[&Arc<Value>], scales: &HashMap<String, i64>) -> (i64, i64) {
    let owners: HashSet<&str> = pods
        .iter()
        .filter_map(|pod| controller(pod))
        .map(|owner| str_at(owner, "uid"))
        .collect();
    let wanted: i64 = owners.iter().filter_map(|uid| scales.get(*uid)).sum();
    let (unavailable, available) = (&spec["maxUnavailable"], &spec["minAvailable"]);
    if !unavailable.is_null() {
        return (wanted, (wanted - share(unavailable, wanted, true)).max(0));
    }
    if available.is_string() {
        return (wanted, share(available, wanted, true));
    }
    (
        i64::try_from(pods.len()).unwrap_or(i64::MAX),
        available.as_i64().unwrap_or(0),
    )
}

/// How many pods each owner wants, a replica set through its deployment.
fn scales(world: &mut World<'_>) -> HashMap<String, i64> {
    let mut scales = HashMap::new();
    let replicas = |object: &Value| object["spec"]["replicas"].as_i64().unwrap_or(1);
    for plural in ["deployments", "statefulsets"] {
        for object in world.list(Resource::named("apps", plural)) {
            scales.insert(
                str_at(&object["metadata"], "uid").to_owned(),
                replicas(&object),
            );
        }
    }
    let deployments = scales.clone();
    let mut counted = HashSet::new();
    for set in world.list(Resource::named("apps", "replicasets")) {
        let owner = controller(&set).map(|owner| str_at(owner, "uid").to_owned());
        let wanted = match owner.as_ref().and_then(|owner| deployments.get(owner)) {
            // During a rollout two replica sets have pods; their deployment counts once.
            Some(wanted) => {
                if replicas(&set) > 0 && counted.insert(owner) {
                    *wanted
                } else {
                    0
                }
            }
            None => replicas(&set),
        };
        scales.insert(str_at(&set["metadata"], "uid").to_owned(), wanted);
    }
    scales
}
