//! The eviction subresource, with the rules of disruption budgets.
//!
//! As `pkg/registry/core/pod/storage/eviction.go` of Kubernetes decides, in its order.

use serde_json::{Value, json};

use super::Call;
use super::create::check_can_create;
use super::delete::{DeleteOptions, delete_object};
use super::object::{elements_mut, str_at};
use super::random::now;
use super::resources::Resource;
use super::selector::Selector;
use super::serve::is_dry_run;
use super::status::{Result, Status, success};
use super::store::State;
use crate::http::Response;

/// So many evictions may wait for the budgets' controller to notice them.
const MAX_DISRUPTED_PODS: usize = 2000;
/// What every refusal by a budget says; its cause says more.
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// Said when there is more than one budget for a pod.
const OVERLAP: &str = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";

/// Answers an eviction.
pub(super) fn create(call: &Call<'_>) -> Result<Response> {
    let eviction = read(call)?;
    let name = call.target.name.as_str();
    if str_at(&eviction["metadata"], "name") != name {
        return Err(Status::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let namespace = call.target.namespace.as_str();
    let own = str_at(&eviction["metadata"], "namespace");
    if !own.is_empty() && own != namespace {
        let message =
            "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(message));
    }
    let options = DeleteOptions::read(&eviction["deleteOptions"], is_dry_run(call.request));
    call.api.store.write(|state| {
        check_can_create(state, call.target.resource, namespace, name)?;
        evict(call, state, &options)
    })
}

fn read(call: &Call<'_>) -> Result<Value> {
    let eviction: Value = serde_json::from_slice(&call.request.body).map_err(|err| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type Eviction): {err}"
        ))
    })?;
    let (version, kind) = (str_at(&eviction, "apiVersion"), str_at(&eviction, "kind"));
    // The body of policy/v1 is known since 1.22, that of v1beta1 still is.
    let known = matches!((version, kind), ("policy/v1beta1", "Eviction"))
        || (version, kind) == ("policy/v1", "Eviction") && call.api.minor >= 22;
    if !known {
        let short = version.rsplit('/').next().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "Eviction in version {short:?} cannot be handled as a Eviction: no kind {kind:?} is registered for version {version:?} in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
        )));
    }
    Ok(eviction)
}

fn evict(call: &Call<'_>, state: &mut State, options: &DeleteOptions) -> Result<Response> {
    let (resource, key) = (call.target.resource, call.target.key());
    let object = state
        .get(resource, &key)
        .ok_or_else(|| Status::not_found(resource, &call.target.name))?;
    let pod = object.value(resource);
    if !ignores_budgets(&pod) {
        match matching_budgets(state, &pod, call.api.minor).as_slice() {
            [] => {}
            // Before the preconditions are looked at: an exhausted budget answers 429 also for a pod that is no
            // longer the one that was meant.
            [budget] => disrupt(state, budget, &pod, call.api.minor, options.dry_run)?,
            _ => {
                let mut status = Status::new(500, OVERLAP);
                status.reason = "";
                return Err(status);
            }
        }
    }
    if call.api.minor >= 26 && !options.dry_run {
        mark_target(state, resource, &pod, options);
    }
    delete_object(state, resource, &key, options, &call.api.options)?;
    let mut status = success(Value::Null);
    status["code"] = 201.into();
    Ok(Response::json(201, status.to_string()))
}

/// A pod that does not run, or ends already, disrupts nobody any more.
fn ignores_budgets(pod: &Value) -> bool {
    matches!(
        str_at(&pod["status"], "phase"),
        "Pending" | "Succeeded" | "Failed"
    ) || !pod["metadata"]["deletionTimestamp"].is_null()
}

/// The budgets whose selector matches the pod.
fn matching_budgets(state: &State, pod: &Value, minor: u32) -> Vec<Value> {
    let budgets = Resource::named("policy", "poddisruptionbudgets");
    let labels = &pod["metadata"]["labels"];
    let matches = |budget: &Value| {
        Selector::from_object(&budget["spec"]["selector"]).is_some_and(|selector| {
            // An empty selector selected nothing before policy/v1, everything since.
            (minor >= 21 || !selector.is_empty()) && selector.matches_label_map(labels)
        })
    };
    state
        .list(budgets, str_at(&pod["metadata"], "namespace"))
        .map(|object| object.value(budgets))
        .filter(matches)
        .collect()
}

/// Whether the Ready condition of a pod is true.
pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// Takes a disruption from a budget for a pod, or says why there is none.
fn disrupt(
    state: &mut State,
    budget: &Value,
    pod: &Value,
    minor: u32,
    dry_run: bool,
) -> Result<()> {
    let status = &budget["status"];
    let number = |member: &str| status[member].as_i64().unwrap_or(0);
    if !is_ready(pod) {
        let always = str_at(&budget["spec"], "unhealthyPodEvictionPolicy") == "AlwaysAllow";
        let healthy_enough =
            number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0;
        if always || healthy_enough {
            return Ok(());
        }
    }
    let name = str_at(&budget["metadata"], "name");
    let budgets = Resource::named("policy", "poddisruptionbudgets");
    let forbidden = |why: &str| {
        let message = format!("poddisruptionbudget.policy {name:?} is forbidden: {why}");
        let mut status = Status::new(403, message).about(budgets, name);
        // The real server names the kind here where it means the resource.
        let details = status.details.get_or_insert_default();
        details.insert("kind".into(), "poddisruptionbudget".into());
        status
    };
    if number("observedGeneration") < budget["metadata"]["generation"].as_i64().unwrap_or(1) {
        let cause = format!("The disruption budget {name} is still being processed by the server.");
        return Err(Status::new(429, REFUSED)
            .retry_after(if minor < 22 { 0 } else { 10 })
            .caused("DisruptionBudget", &cause, None));
    }
    if number("disruptionsAllowed") < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    if status["disruptedPods"]
        .as_object()
        .is_some_and(|pods| pods.len() > MAX_DISRUPTED_PODS)
    {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(forbidden(why));
    }
    if number("disruptionsAllowed") == 0 {
        let (desired, current) = (number("desiredHealthy"), number("currentHealthy"));
        let cause = format!(
            "The disruption budget {name} needs {desired} healthy pods and has {current} currently"
        );
        return Err(Status::new(429, REFUSED).caused("DisruptionBudget", &cause, None));
    }
    if !dry_run {
        let mut budget = budget.clone();
        let left = number("disruptionsAllowed") - 1;
        budget["status"]["disruptionsAllowed"] = left.into();
        let pod_name = str_at(&pod["metadata"], "name");
        budget["status"]["disruptedPods"][pod_name] = now().into();
        if left == 0 {
            for condition in elements_mut(&mut budget, "/status/conditions") {
                if condition["type"] == "DisruptionAllowed" {
                    condition["status"] = "False".into();
                    condition["reason"] = "InsufficientPods".into();
                }
            }
        }
        state.put(budgets, budget);
    }
    Ok(())
}

/// Since 1.26 an evicted pod says so before it goes.
fn mark_target(
    state: &mut State,
    resource: &'static Resource,
    pod: &Value,
    options: &DeleteOptions,
) {
    let actual = str_at(&pod["metadata"], "uid");
    let is_other = options.uid.as_deref().is_some_and(|uid| uid != actual);
    // With a version demanded, the deletion that follows must find that version.
    if is_other
        || options.resource_version.is_some()
        || !pod["metadata"]["deletionTimestamp"].is_null()
    {
        return;
    }
    let mut marked = pod.clone();
    let mut conditions = marked["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions.push(json!({
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now(),
    }));
    marked["status"]["conditions"] = conditions.into();
    state.put(resource, marked);
}
