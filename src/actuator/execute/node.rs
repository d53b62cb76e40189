//! What the actions on a node share: to read it and to describe it.

use serde_json::{Value, json};

use super::ownership::{Ownership, is_unschedulable};
use crate::actions::id::EnvelopeId;
use crate::actions::names::{ObjectName, Uid};
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;
use crate::kube::objects::Node;

/// Reads a node that must exist, and have `node_uid` if one is given.
pub fn read_node(
    context: &Context<'_>,
    name: &ObjectName,
    node_uid: Option<&Uid>,
) -> Result<Node, Ended> {
    read(context, name.as_str(), node_uid.map(Uid::as_str))
}

/// The same of a name and a uid that a node has told.
pub fn read(context: &Context<'_>, name: &str, node_uid: Option<&str>) -> Result<Node, Ended> {
    let Some(node) = context.get::<Node>(&path(name), "nodes")? else {
        return Err(Ended::precondition(format!(
            "node {name}: expected to exist, there is none"
        )));
    };
    if let Some(expected) = node_uid
        && expected != uid(&node)
    {
        let message = format!(
            "node {name}: expected the uid {expected}, it has {}",
            uid(&node)
        );
        return Err(Ended::precondition(message).with("uid", uid(&node)));
    }
    Ok(node)
}

/// The path of a node at the API server.
pub fn path(name: &str) -> String {
    format!("/api/v1/nodes/{name}")
}

/// The uid of a node.
pub fn uid(node: &Node) -> &str {
    node.metadata.uid.as_deref().unwrap_or_default()
}

/// The version of a node, for a guarded patch of it.
pub fn version(node: &Node) -> &str {
    node.metadata
        .resource_version
        .as_deref()
        .unwrap_or_default()
}

/// What a node looks like to `details`: whether it is cordoned, and by whom.
pub fn state(node: &Node, id: &EnvelopeId) -> Value {
    let cordoned_by = match Ownership::of(node, id) {
        Ownership::Nobody => Value::Null,
        ownership => ownership.describe(id).into(),
    };
    json!({
        "unschedulable": is_unschedulable(node), "cordoned_by": cordoned_by,
        "resource_version": version(node),
    })
}
