//! The scale subresource: `autoscaling/v1 Scale` of what has replicas.

use serde_json::{Value, json};

use super::Call;
use super::object::str_at;
use super::patch::Patch;
use super::resources::Resource;
use super::selector::Selector;
use super::status::{Result, Status};
use super::write::{self, Writer};
use crate::http::Response;

/// The resource that messages about a scale name.
static SCALE: Resource = Resource {
    group: "autoscaling",
    version: "v1",
    plural: "scales",
    kind: "Scale",
    namespaced: true,
    subresources: &[],
    fields: &[],
    minors: (0, u32::MAX),
};

/// Answers GET, PUT and PATCH of a scale.
pub(super) fn serve(call: &Call<'_>, verb: &str) -> Result<Response> {
    let resource = call.target.resource;
    let scaled = match verb {
        "get" => {
            let object = call
                .api
                .store
                .read()
                .get(resource, &call.target.key())
                .cloned();
            object
                .ok_or_else(|| Status::not_found(resource, &call.target.name))?
                .value(resource)
        }
        "update" => {
            let scale = write::read_object(call.request, "Scale", "autoscaling/v1")?;
            let name = str_at(&scale["metadata"], "name");
            if name != call.target.name {
                let message = format!(
                    "the name of the object ({name}) does not match the name on the URL ({})",
                    call.target.name
                );
                return Err(Status::bad_request(message));
            }
            write::change(call, &Writer::of(call), |old| scaled(call, old, &scale))?
        }
        "patch" => {
            let patch = Patch::read(call.request)?;
            write::change(call, &Writer::of(call), |old| {
                scaled(call, old, &patch.apply(&scale_of(old))?)
            })?
        }
        _ => return Err(Status::method_not_allowed()),
    };
    Ok(Response::json(200, scale_of(&scaled).to_string()))
}

/// The object with the replicas, and the preconditions, of a scale.
fn scaled(call: &Call<'_>, object: &Value, scale: &Value) -> Result<Value> {
    let name = &call.target.name;
    let mut object = object.clone();
    for member in ["resourceVersion", "uid"] {
        let wanted = str_at(&scale["metadata"], member);
        if !wanted.is_empty() {
            object["metadata"][member] = wanted.into();
        }
    }
    let replicas = match &scale["spec"]["replicas"] {
        // A Go struct without the member has its zero.
        Value::Null => 0,
        replicas => replicas
            .as_i64()
            .ok_or_else(|| Status::bad_request("spec.replicas is no number"))?,
    };
    if replicas < 0 {
        let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        return Err(Status::invalid(&SCALE, name, "spec.replicas", &why));
    }
    object["spec"]["replicas"] = replicas.into();
    Ok(object)
}

fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let selector = Selector::from_object(&object["spec"]["selector"]).unwrap_or_default();
    let present = object["status"]["replicas"].as_i64().unwrap_or(0);
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {}, "status": {"replicas": present, "selector": selector.to_query()},
    });
    // The real server leaves a zero out.
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    if wanted != 0 {
        scale["spec"]["replicas"] = wanted.into();
    }
    scale
}
