//! Update and patch, and what all writes have in common.

use serde_json::{Value, json};

use super::Call;
use super::create::create_object;
use super::defaults;
use super::managed;
use super::object::str_at;
use super::patch::Patch;
use super::random::now;
use super::resources::Resource;
use super::serve::is_dry_run;
use super::status::{Result, Status};
use super::store::State;
use super::validate::validate;
use crate::http::{Request, Response};

/// Of an object, these are the server's own.
const OWN: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Who writes, and how.
pub(super) struct Writer {
    /// The `fieldManager`, or what the client calls itself.
    pub manager: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// Whether everything is checked and nothing stored.
    pub dry_run: bool,
}

impl Writer {
    /// Reads it off a request.
    pub(super) fn of(call: &Call<'_>) -> Writer {
        let agent = call.request.header("user-agent").unwrap_or("unknown");
        let agent = agent.split('/').next().unwrap_or_default();
        Writer {
            manager: call
                .request
                .query("fieldManager")
                .unwrap_or(agent)
                .to_owned(),
            subresource: call.target.subresource.clone(),
            dry_run: is_dry_run(call.request),
        }
    }
}

/// Answers a PUT.
pub(super) fn update(call: &Call<'_>) -> Result<Response> {
    let resource = call.target.resource;
    let mut object = read_object(call.request, resource.kind, &resource.api_version())?;
    let name = str_at(&object["metadata"], "name").to_owned();
    if name != call.target.name {
        let message = format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.target.name
        );
        return Err(Status::bad_request(message));
    }
    if resource.namespaced {
        object["metadata"]["namespace"] = call.target.namespace.as_str().into();
    }
    let writer = Writer::of(call);
    let conditional = matches!(resource.plural, "leases" | "poddisruptionbudgets");
    if conditional && str_at(&object["metadata"], "resourceVersion").is_empty() {
        let exists = call
            .api
            .store
            .read()
            .get(resource, &call.target.key())
            .is_some();
        // A lease that is put where there is none is created.
        if !exists && resource.plural == "leases" {
            let created = call
                .api
                .store
                .write(|state| create_object(state, resource, object, &writer))?;
            return Ok(Response::json(201, created.to_string()));
        }
        let why = "Invalid value: 0x0: must be specified for an update";
        let mut status = Status::invalid(resource, &name, "metadata.resourceVersion", why);
        // The store that refuses it knows the resource, not the kind.
        let named = format!("{}.{}", resource.kind, resource.group);
        status.message = status.message.replacen(&named, &resource.qualified(), 1);
        return Err(status.about(resource, &name));
    }
    let updated = change(call, &writer, |_| Ok(object))?;
    Ok(super::body::whole(200, updated.to_string().into_bytes()))
}

/// Answers a PATCH.
pub(super) fn patch(call: &Call<'_>) -> Result<Response> {
    let patch = Patch::read(call.request)?;
    let updated = change(call, &Writer::of(call), |old| {
        let patched = patch.apply(old)?;
        let uid = str_at(&patched["metadata"], "uid");
        if uid != str_at(&old["metadata"], "uid") {
            // Unlike a PUT with another uid, which is a conflict.
            let why = format!("Invalid value: {uid:?}: field is immutable");
            let resource = call.target.resource;
            return Err(Status::invalid(
                resource,
                &call.target.name,
                "metadata.uid",
                &why,
            ));
        }
        Ok(patched)
    })?;
    Ok(super::body::whole(200, updated.to_string().into_bytes()))
}

/// Changes the object that a call names, in one step for everybody else.
pub(super) fn change(
    call: &Call<'_>,
    writer: &Writer,
    modify: impl FnOnce(&Value) -> Result<Value>,
) -> Result<Value> {
    let resource = call.target.resource;
    call.api
        .store
        .write(|state| change_object(state, resource, &call.target.key(), writer, modify))
}

/// Changes an object, if its version is the one that the change names and if the result is valid. A change that
/// changes nothing makes no new version.
pub(super) fn change_object(
    state: &mut State,
    resource: &'static Resource,
    key: &str,
    writer: &Writer,
    modify: impl FnOnce(&Value) -> Result<Value>,
) -> Result<Value> {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    let object = state
        .get(resource, key)
        .ok_or_else(|| Status::not_found(resource, name))?;
    let old = object.value(resource);
    let mut new = modify(&old)?;
    let (wanted, actual) = (
        str_at(&new["metadata"], "resourceVersion"),
        str_at(&old["metadata"], "resourceVersion"),
    );
    if !wanted.is_empty() && wanted != actual {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Status::conflict(resource, name, why));
    }
    let (wanted, actual) = (
        str_at(&new["metadata"], "uid"),
        str_at(&old["metadata"], "uid"),
    );
    if !wanted.is_empty() && wanted != actual {
        let why = format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}"
        );
        return Err(Status::conflict(resource, name, &why));
    }
    keep_what_is_not_written(resource, &writer.subresource, &old, &mut new);
    drop_empty(&mut new["metadata"]);
    validate(resource, Some(&old), &new)?;
    if defaults::counts_generations(resource) && new["spec"] != old["spec"] {
        new["metadata"]["generation"] =
            (old["metadata"]["generation"].as_i64().unwrap_or(1) + 1).into();
    }
    if new == old {
        return Ok(old);
    }
    managed::record(&old, &mut new, &writer.manager, &writer.subresource, &now());
    if writer.dry_run {
        return Ok(new);
    }
    let metadata = &new["metadata"];
    let held = metadata["finalizers"]
        .as_array()
        .is_some_and(|it| !it.is_empty());
    let was_held = old["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|it| !it.is_empty());
    let ending =
        !metadata["deletionTimestamp"].is_null() && metadata["deletionGracePeriodSeconds"] == 0;
    let stored = state.put(resource, new).value(resource);
    if ending && was_held && !held {
        state.remove(resource, key);
    }
    Ok(stored)
}

/// What became empty is not shown.
fn drop_empty(metadata: &mut Value) {
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.retain(|_, value| !value.is_null() && *value != json!({}) && *value != json!([]));
    }
}

/// The object itself is written without its status, the status without the rest but for labels and annotations.
fn keep_what_is_not_written(resource: &Resource, subresource: &str, old: &Value, new: &mut Value) {
    for member in ["kind", "apiVersion"] {
        new[member] = old[member].clone();
    }
    let metadata = &mut new["metadata"];
    for member in OWN.iter().chain(&["resourceVersion", "managedFields"]) {
        match old["metadata"].get(*member) {
            Some(value) => metadata[*member] = value.clone(),
            None => {
                if let Some(metadata) = metadata.as_object_mut() {
                    metadata.remove(*member);
                }
            }
        }
    }
    let (Some(before), true) = (old.as_object(), resource.has_status()) else {
        return;
    };
    let Some(after) = new.as_object_mut() else {
        return;
    };
    let kept = |member: &str| match subresource {
        "status" => member != "status" && member != "metadata",
        _ => member == "status",
    };
    after.retain(|member, _| !kept(member) || before.contains_key(member));
    for (member, value) in before.iter().filter(|(member, _)| kept(member)) {
        after.insert(member.clone(), value.clone());
    }
}

/// Reads a body that must be an object of a kind, or say nothing of its kind.
pub(super) fn read_object(request: &Request, kind: &str, api_version: &str) -> Result<Value> {
    let content_type = request.header("content-type").unwrap_or("application/json");
    if !content_type.starts_with("application/json") && content_type != "*/*" {
        let message = "the body of the request was in an unknown format - accepted media types include: application/json";
        return Err(Status::new(415, message));
    }
    let mut object: Value = serde_json::from_slice(&request.body).map_err(|err| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {err}"
        ))
    })?;
    if !object.is_object() || !(object["metadata"].is_object() || object.get("metadata").is_none())
    {
        return Err(Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind})"
        )));
    }
    let (own_version, own_kind) = (str_at(&object, "apiVersion"), str_at(&object, "kind"));
    if !own_version.is_empty() && own_version != api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({own_version}) does not match the expected API version ({api_version})"
        )));
    }
    if !own_kind.is_empty() && own_kind != kind {
        let version = own_version.rsplit('/').next().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "{own_kind} in version {version:?} cannot be handled as a {kind}: no kind {own_kind:?} is registered for version {own_version:?} in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
        )));
    }
    if object.get("metadata").is_none() {
        object["metadata"] = json!({});
    }
    object["kind"] = kind.into();
    object["apiVersion"] = api_version.into();
    Ok(object)
}
