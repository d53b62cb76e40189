//! POST of new objects.

use serde_json::{Value, json};

use super::Call;
use super::defaults;
use super::managed;
use super::object::str_at;
use super::random::now;
use super::resources::Resource;
use super::status::{Result, Status};
use super::store::State;
use super::validate::{is_name, validate};
use super::write::{Writer, read_object};
use crate::http::Response;

/// Answers a POST.
pub(super) fn create(call: &Call<'_>) -> Result<Response> {
    let (resource, namespace) = (call.target.resource, call.target.namespace.as_str());
    let mut object = read_object(call.request, resource.kind, &resource.api_version())?;
    if resource.plural == "selfsubjectaccessreviews" {
        return Ok(Response::json(
            201,
            call.api.access.review(object).to_string(),
        ));
    }
    if resource.namespaced {
        if namespace.is_empty() {
            return Err(Status::method_not_allowed());
        }
        let own = str_at(&object["metadata"], "namespace");
        if !own.is_empty() && own != namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        object["metadata"]["namespace"] = namespace.into();
    }
    let writer = Writer::of(call);
    let created = call
        .api
        .store
        .write(|state| create_object(state, resource, object, &writer))?;
    Ok(super::body::whole(201, created.to_string().into_bytes()))
}

/// Stores a new object.
pub(super) fn create_object(
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
        let why = format!(
            "Invalid value: {name:?}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        );
        return Err(Status::invalid(resource, &name, "metadata.name", &why));
    }
    if state
        .get(resource, &resource.key(&namespace, &name))
        .is_some()
    {
        return Err(Status::already_exists(resource, &name));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for member in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "generation",
            "resourceVersion",
        ] {
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

/// 404 where there is no such namespace, 403 where it ends (the `NamespaceLifecycle` admission plugin).
fn check_namespace(
    state: &State,
    resource: &Resource,
    namespace: &str,
    object: &Value,
) -> Result<()> {
    if !resource.namespaced {
        return Ok(());
    }
    let namespaces = Resource::named("", "namespaces");
    let found = state
        .get(namespaces, namespace)
        .ok_or_else(|| Status::not_found(namespaces, namespace))?;
    if found.value(namespaces)["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let status = Status::forbidden(resource, str_at(&object["metadata"], "name"), &why);
    let cause = format!("namespace {namespace} is being terminated");
    Err(status.caused("NamespaceTerminating", &cause, Some("metadata.namespace")))
}

/// 403 if a namespace ends: also evictions are created in it.
pub(super) fn check_can_create(
    state: &State,
    resource: &Resource,
    namespace: &str,
    name: &str,
) -> Result<()> {
    check_namespace(
        state,
        resource,
        namespace,
        &json!({"metadata": {"name": name}}),
    )
}
