//! The scale subresource: `autoscaling/v1 Scale` of what has replicas.

use serde_json::{Value, json};

use super::Call;
use super::object::str_at;
use super::patch::Patch;
use super::selector::Selector;
use super::status::{Result, Status};
use super::write::{self, Writer};
use crate::http::Response;

/// Answers GET, PUT and PATCH of a scale.
pub fn serve(call: &Call<'_>, verb: &str) -> Result<Response> {
    let resource = call.target.resource;
    let scaled = match verb {
        "get" => {
            let object = call.api.store.read().get(resource, &call.target.key()).cloned();
            object.ok_or_else(|| Status::not_found(resource, &call.target.name))?.value(resource)
        }
        "update" => {
            let scale = write::read_object(call.request, "Scale", "autoscaling/v1")?;
            write::change(call, &Writer::of(call), |old| scaled(call, old, &scale))?
        }
        "patch" => {
            let patch = Patch::read(call.request)?;
            write::change(call, &Writer::of(call), |old| scaled(call, old, &patch.apply(&scale_of(old))?))?
        }
        _ => return Err(super::serve::method_not_allowed()),
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
        replicas => replicas.as_i64().ok_or_else(|| Status::bad_request("spec.replicas is no number"))?,
    };
    if replicas < 0 {
        let mut status = Status::invalid(
            call.target.resource,
            name,
            "spec.replicas",
            &format!("Invalid value: {replicas}: must be greater than or equal to 0"),
        );
        status.message = status.message.replacen("Deployment.apps", "Scale.autoscaling", 1);
        return Err(status);
    }
    object["spec"]["replicas"] = replicas.into();
    Ok(object)
}

fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let selector = Selector::from_object(&object["spec"]["selector"]).unwrap_or_default();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": object["spec"]["replicas"].as_i64().unwrap_or(1)},
        "status": {"replicas": object["status"]["replicas"].as_i64().unwrap_or(0), "selector": selector.to_query()},
    })
}
