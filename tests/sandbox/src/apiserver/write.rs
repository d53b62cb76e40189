//! Create, update, patch and delete.

use serde_json::{Value, json};

use super::Call;
use super::defaults;
use super::managed;
use super::object::str_at;
use super::options::Options;
use super::patch::Patch;
use super::random::{now, timestamp};
use super::resources::Resource;
use super::serve::is_dry_run;
use super::status::{Result, Status, success};
use super::store::State;
use super::validate::{is_name, validate};
use crate::http::{Request, Response};

/// Of an object, these are the server's own.
const OWN: &[&str] = &["name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// Who writes, and how.
pub struct Writer {
    /// The `fieldManager`, or what the client calls itself.
    pub manager: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// Whether everything is checked and nothing stored.
    pub dry_run: bool,
}

/// What a deletion may say.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds that a pod has to end.
    pub grace: Option<i64>,
    /// The uid that it must have.
    pub uid: Option<String>,
    /// The version that it must have.
    pub resource_version: Option<String>,
    /// Whether everything is checked and nothing deleted.
    pub dry_run: bool,
}

impl Writer {
    /// Reads it off a request.
    pub fn of(call: &Call<'_>) -> Writer {
        let agent = call.request.header("user-agent").unwrap_or("unknown");
        let agent = agent.split('/').next().unwrap_or_default();
        Writer {
            manager: call.request.query("fieldManager").unwrap_or(agent).to_owned(),
            subresource: call.target.subresource.clone(),
            dry_run: is_dry_run(call.request),
        }
    }
}

/// Answers a POST.
pub fn create(call: &Call<'_>) -> Result<Response> {
    let (resource, namespace) = (call.target.resource, call.target.namespace.as_str());
    let mut object = read_object(call.request, resource.kind, &resource.api_version())?;
    if resource.plural == "selfsubjectaccessreviews" {
        return Ok(Response::json(201, call.api.access.review(object).to_string()));
    }
    if resource.namespaced {
        if namespace.is_empty() {
            return Err(super::serve::method_not_allowed());
        }
        let own = str_at(&object["metadata"], "namespace");
        if !own.is_empty() && own != namespace {
            return Err(Status::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
        }
        object["metadata"]["namespace"] = namespace.into();
    }
    let writer = Writer::of(call);
    let created = call.api.store.write(|state| create_object(state, resource, object, &writer))?;
    Ok(super::body::whole(call.request, 201, created.to_string().into_bytes()))
}

/// Stores a new object.
pub fn create_object(
    state: &mut State,
    resource: &'static Resource,
    mut object: Value,
    writer: &Writer,
) -> Result<Value> {
    let namespace = str_at(&object["metadata"], "namespace").to_owned();
    check_namespace(state, resource, &namespace, &object)?;
    let prefix = str_at(&object["metadata"], "generateName").to_owned();
    if str_at(&object["metadata"], "name").is_empty() {
        if prefix.is_empty() {
            let why = "Required value: name or generateName is required";
            return Err(Status::invalid(resource, "", "metadata.name", why));
        }
        object["metadata"]["name"] = format!("{prefix}{}", state.random.suffix(5)).into();
    }
    let name = str_at(&object["metadata"], "name").to_owned();
    if !is_name(&name) {
        let why = format!("Invalid value: {name:?}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character");
        return Err(Status::invalid(resource, &name, "metadata.name", &why));
    }
    if state.get(resource, &resource.key(&namespace, &name)).is_some() {
        return Err(Status::already_exists(resource, &name));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for member in ["deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "generation", "resourceVersion"] {
            metadata.remove(member);
        }
        metadata.insert("uid".into(), state.random.uuid().into());
        metadata.insert("creationTimestamp".into(), now().into());
    }
    defaults::complete(resource, &mut object);
    validate(resource, None, &object)?;
    managed::record(&json!({}), &mut object, &writer.manager, "", &now());
    if writer.dry_run {
        return Ok(object);
    }
    Ok(state.put(resource, object).value(resource))
}

/// 404 where there is no such namespace, 403 where it ends (the NamespaceLifecycle admission plugin).
fn check_namespace(state: &State, resource: &Resource, namespace: &str, object: &Value) -> Result<()> {
    if !resource.namespaced {
        return Ok(());
    }
    let namespaces = Resource::named("", "namespaces");
    let found = state.get(namespaces, namespace).ok_or_else(|| Status::not_found(namespaces, namespace))?;
    if found.value(namespaces)["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let status = Status::forbidden(resource, str_at(&object["metadata"], "name"), &why);
    let cause = format!("namespace {namespace} is being terminated");
    Err(status.caused("NamespaceTerminating", &cause, Some("metadata.namespace")))
}

/// 403 if a namespace ends: also evictions are created in it.
pub fn check_can_create(state: &State, resource: &Resource, namespace: &str, name: &str) -> Result<()> {
    check_namespace(state, resource, namespace, &json!({"metadata": {"name": name}}))
}

/// Answers a PUT.
pub fn update(call: &Call<'_>) -> Result<Response> {
    let resource = call.target.resource;
    let object = read_object(call.request, resource.kind, &resource.api_version())?;
    let name = str_at(&object["metadata"], "name");
    if name != call.target.name {
        let message = format!("the name of the object ({name}) does not match the name on the URL ({})", call.target.name);
        return Err(Status::bad_request(message));
    }
    let writer = Writer::of(call);
    let conditional = matches!(resource.plural, "leases" | "poddisruptionbudgets");
    if conditional && str_at(&object["metadata"], "resourceVersion").is_empty() {
        let exists = call.api.store.read().get(resource, &call.target.key()).is_some();
        // A lease that is put where there is none is created.
        if !exists && resource.plural == "leases" {
            let created = call.api.store.write(|state| create_object(state, resource, object, &writer))?;
            return Ok(Response::json(201, created.to_string()));
        }
        let why = "Invalid value: 0x0: must be specified for an update";
        return Err(Status::invalid(resource, name, "metadata.resourceVersion", why));
    }
    let updated = change(call, &writer, |_| Ok(object))?;
    Ok(super::body::whole(call.request, 200, updated.to_string().into_bytes()))
}

/// Answers a PATCH.
pub fn patch(call: &Call<'_>) -> Result<Response> {
    let patch = Patch::read(call.request)?;
    let updated = change(call, &Writer::of(call), |old| patch.apply(old))?;
    Ok(super::body::whole(call.request, 200, updated.to_string().into_bytes()))
}

/// Changes the object that a call names, in one step for everybody else.
pub fn change(call: &Call<'_>, writer: &Writer, modify: impl FnOnce(&Value) -> Result<Value>) -> Result<Value> {
    let resource = call.target.resource;
    call.api.store.write(|state| change_object(state, resource, &call.target.key(), writer, modify))
}

/// Changes an object, if its version is the one that the change names and if the result is valid. A change that
/// changes nothing makes no new version.
pub fn change_object(
    state: &mut State,
    resource: &'static Resource,
    key: &str,
    writer: &Writer,
    modify: impl FnOnce(&Value) -> Result<Value>,
) -> Result<Value> {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    let object = state.get(resource, key).ok_or_else(|| Status::not_found(resource, name))?;
    let old = object.value(resource);
    let mut new = modify(&old)?;
    let (wanted, actual) = (str_at(&new["metadata"], "resourceVersion"), str_at(&old["metadata"], "resourceVersion"));
    if !wanted.is_empty() && wanted != actual {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Status::conflict(resource, name, why));
    }
    let (wanted, actual) = (str_at(&new["metadata"], "uid"), str_at(&old["metadata"], "uid"));
    if !wanted.is_empty() && wanted != actual {
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}");
        return Err(Status::conflict(resource, name, &why));
    }
    keep_what_is_not_written(resource, &writer.subresource, &old, &mut new);
    validate(resource, Some(&old), &new)?;
    if defaults::counts_generations(resource) && new["spec"] != old["spec"] {
        new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or(1) + 1).into();
    }
    if new == old {
        return Ok(old);
    }
    managed::record(&old, &mut new, &writer.manager, &writer.subresource, &now());
    if writer.dry_run {
        return Ok(new);
    }
    let metadata = &new["metadata"];
    let held = metadata["finalizers"].as_array().is_some_and(|it| !it.is_empty());
    let was_held = old["metadata"]["finalizers"].as_array().is_some_and(|it| !it.is_empty());
    let ending = !metadata["deletionTimestamp"].is_null() && metadata["deletionGracePeriodSeconds"] == 0;
    let stored = state.put(resource, new).value(resource);
    if ending && was_held && !held {
        state.remove(resource, key);
    }
    Ok(stored)
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
    let (Some(before), true) = (old.as_object(), resource.has_status()) else { return };
    let Some(after) = new.as_object_mut() else { return };
    let kept = |member: &str| match subresource {
        "status" => member != "status" && member != "metadata",
        _ => member == "status",
    };
    after.retain(|member, _| !kept(member) || before.contains_key(member));
    for (member, value) in before.iter().filter(|(member, _)| kept(member)) {
        after.insert(member.clone(), value.clone());
    }
}

/// Answers a DELETE.
pub fn delete(call: &Call<'_>) -> Result<Response> {
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
    let deleted = call.api.store.write(|state| delete_object(state, resource, &key, &options, &call.api.options))?;
    let lingers = !deleted["metadata"]["deletionTimestamp"].is_null();
    if lingers || resource.plural == "pods" {
        return Ok(super::body::whole(call.request, 200, deleted.to_string().into_bytes()));
    }
    let mut details = json!({"name": call.target.name, "kind": resource.plural, "uid": deleted["metadata"]["uid"]});
    if !resource.group.is_empty() {
        details["group"] = resource.group.into();
    }
    Ok(Response::json(200, success(details).to_string()))
}

impl DeleteOptions {
    /// Reads a `DeleteOptions` object.
    pub fn read(options: &Value, dry_run: bool) -> DeleteOptions {
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
pub fn delete_object(
    state: &mut State,
    resource: &'static Resource,
    key: &str,
    options: &DeleteOptions,
    server: &Options,
) -> Result<Value> {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    let mut object = state.get(resource, key).ok_or_else(|| Status::not_found(resource, name))?.value(resource);
    for (wanted, member, word) in
        [(&options.uid, "uid", "UID"), (&options.resource_version, "resourceVersion", "ResourceVersion")]
    {
        let actual = str_at(&object["metadata"], member);
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != actual) {
            let why = format!("Precondition failed: {word} in precondition: {wanted}, {word} in object meta: {actual}");
            return Err(Status::conflict(resource, name, &why));
        }
    }
    let is_pod = resource.plural == "pods" && resource.group.is_empty();
    let grace = if is_pod && !server.delete_pods_at_once { pod_grace(&object, options.grace) } else { 0 };
    let held = object["metadata"]["finalizers"].as_array().is_some_and(|it| !it.is_empty())
        || resource.plural == "namespaces";
    let ends_in = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if ends_in.is_some_and(|seconds| seconds <= grace) && (grace > 0 || held) {
        // It ends already, and no later than this deletion asks for.
        return Ok(object);
    }
    if grace > 0 || held {
        let deadline = time::OffsetDateTime::now_utc() + time::Duration::seconds(grace);
        object["metadata"]["deletionTimestamp"] = timestamp(deadline).into();
        object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        if resource.plural == "namespaces" {
            object["status"]["phase"] = "Terminating".into();
        }
        return Ok(if options.dry_run { object } else { state.put(resource, object).value(resource) });
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
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    asked.unwrap_or(own).max(0)
}

/// Reads a body that must be an object of a kind, or say nothing of its kind.
pub fn read_object(request: &Request, kind: &str, api_version: &str) -> Result<Value> {
    let content_type = request.header("content-type").unwrap_or("application/json");
    if !content_type.starts_with("application/json") && content_type != "*/*" {
        let message = "the body of the request was in an unknown format - accepted media types include: application/json";
        return Err(Status::new(415, message));
    }
    let mut object: Value = serde_json::from_slice(&request.body)
        .map_err(|err| Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {err}")))?;
    if !object.is_object() || !(object["metadata"].is_object() || object.get("metadata").is_none()) {
        return Err(Status::bad_request(format!("the object provided is unrecognized (must be of type {kind})")));
    }
    let (own_version, own_kind) = (str_at(&object, "apiVersion"), str_at(&object, "kind"));
    if !own_version.is_empty() && own_version != api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({own_version}) does not match the expected API version ({api_version})"
        )));
    }
    if !own_kind.is_empty() && own_kind != kind {
        return Err(Status::bad_request(format!("{own_kind} in version {own_version:?} cannot be handled as a {kind}")));
    }
    if object.get("metadata").is_none() {
        object["metadata"] = json!({});
    }
    object["kind"] = kind.into();
    object["apiVersion"] = api_version.into();
    Ok(object)
}
