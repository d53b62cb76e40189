//! DELETE, and the deletion that an eviction leads to.

use serde_json::{Value, json};

use super::Call;
use super::object::str_at;
use super::options::Options;
use super::random::timestamp;
use super::resources::Resource;
use super::serve::is_dry_run;
use super::status::{Result, Status, success};
use super::store::State;
use crate::http::Response;

/// What a deletion may say.
#[derive(Clone, Debug, Default)]
pub(super) struct DeleteOptions {
    /// Seconds that a pod has to end.
    pub grace: Option<i64>,
    /// The uid that it must have.
    pub uid: Option<String>,
    /// The version that it must have.
    pub resource_version: Option<String>,
    /// Whether everything is checked and nothing deleted.
    pub dry_run: bool,
}

/// Answers a DELETE.
pub(super) fn delete(call: &Call<'_>) -> Result<Response> {
    let resource = call.target.resource;
    let body: Value = match call.request.body.as_slice() {
        [] => Value::Null,
        body => serde_json::from_slice(body)
            .map_err(|err| Status::bad_request(format!("the body is no DeleteOptions: {err}")))?,
    };
    let mut options = DeleteOptions::read(&body, is_dry_run(call.request));
    if let Some(grace) = call.number("gracePeriodSeconds")? {
        options.grace = i64::try_from(grace).ok();
    }
    let key = call.target.key();
    let deleted = call
        .api
        .store
        .write(|state| delete_object(state, resource, &key, &options, &call.api.options))?;
    let lingers = !deleted["metadata"]["deletionTimestamp"].is_null();
    if lingers || resource.plural == "pods" {
        return Ok(super::body::whole(200, deleted.to_string().into_bytes()));
    }
    let mut details = json!({"name": call.target.name, "kind": resource.plural, "uid": deleted["metadata"]["uid"]});
    if !resource.group.is_empty() {
        details["group"] = resource.group.into();
    }
    Ok(Response::json(200, success(details).to_string()))
}

impl DeleteOptions {
    /// Reads a `DeleteOptions` object.
    pub(super) fn read(options: &Value, dry_run: bool) -> DeleteOptions {
        let precondition = |name: &str| options["preconditions"][name].as_str().map(str::to_owned);
        DeleteOptions {
            grace: options["gracePeriodSeconds"].as_i64(),
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            dry_run,
        }
    }
}

/// Deletes an object, or begins to: a pod gets its grace, and what has finalizers waits for them. Returns it as it is
/// then, or was last.
pub(super) fn delete_object(
    state: &mut State,
    resource: &'static Resource,
    key: &str,
    options: &DeleteOptions,
    server: &Options,
) -> Result<Value> {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    let mut object = state
        .get(resource, key)
        .ok_or_else(|| Status::not_found(resource, name))?
        .value(resource);
    for (wanted, member, word, end) in [
        (&options.uid, "uid", "UID", "deleted and then recreated"),
        (
            &options.resource_version,
            "resourceVersion",
            "ResourceVersion",
            "modified",
        ),
    ] {
        let actual = str_at(&object["metadata"], member);
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != actual) {
            let kind = resource.kind;
            let mut status = Status::new(
                409,
                format!("Operation cannot be fulfilled on {kind} {name:?}: the {word} in the precondition ({wanted}) does not match the {word} in record ({actual}). The object might have been {end}"),
            )
            .about(resource, name);
            status
                .details
                .get_or_insert_default()
                .insert("kind".into(), kind.into());
            return Err(status);
        }
    }
    let is_pod = resource.plural == "pods" && resource.group.is_empty();
    let grace = if is_pod && !server.delete_pods_at_once {
        pod_grace(&object, options.grace)
    } else {
        0
    };
    let held = object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|it| !it.is_empty())
        || resource.plural == "namespaces";
    let ends_in = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if ends_in.is_some_and(|seconds| seconds <= grace) && (grace > 0 || held) {
        // It ends already, and no later than this deletion asks for.
        return Ok(object);
    }
    if grace > 0 || held {
        let deadline = time::OffsetDateTime::now_utc() + time::Duration::seconds(grace);
        object["metadata"]["deletionTimestamp"] = timestamp(deadline).into();
        if resource.plural == "namespaces" {
            object["status"]["phase"] = "Terminating".into();
        } else {
            object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        }
        return Ok(if options.dry_run {
            object
        } else {
            state.put(resource, object).value(resource)
        });
    }
    if !options.dry_run {
        state.remove(resource, key);
    }
    Ok(object)
}

/// The seconds a pod has to end: none if it runs nowhere, or no more.
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let idle = str_at(&pod["spec"], "nodeName").is_empty()
        || matches!(str_at(&pod["status"], "phase"), "Succeeded" | "Failed");
    if idle {
        return 0;
    }
    let own = pod["spec"]["terminationGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(30);
    asked.unwrap_or(own).max(0)
}
