//! Cordon and uncordon: `spec.unschedulable` of a node, with the record of whose cordon it is.

pub mod change;

use serde_json::json;

use super::node::{read_node, state, uid};
use super::ownership::{Ownership, is_unschedulable};
use crate::actions::id::EnvelopeId;
use crate::actions::params::{CordonNode, UncordonNode};
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;
use crate::kube::objects::Node;
use change::{Undo, Undone, cordon_patch, set_cordon, uncordon_patch, undo_cordon};

/// Carries out `cordon_node`.
pub fn cordon(it: &CordonNode, context: &Context<'_>) -> Result<Ended, Ended> {
    let node = read_node(context, &it.node, it.node_uid.as_ref())?;
    if is_unschedulable(&node) {
        let whose = Ownership::of(&node, context.id).describe(context.id);
        let message = format!("node {} was already cordoned, by {whose}", it.node);
        return Ok(about(Ended::noop(message), &node, &node, context.id));
    }
    if context.dry_run {
        let message = format!("node {} would be cordoned", it.node);
        let plan =
            json!({"patch": cordon_patch(&node, context.id), "before": state(&node, context.id)});
        return Ok(about(Ended::plan(message, plan), &node, &node, context.id));
    }
    let done = set_cordon(context, &context.begin()?, &node)?;
    let ended = match &done.ownership {
        Ownership::This => Ended::succeeded(format!("cordoned node {}", it.node)),
        other => {
            let whose = other.describe(context.id);
            Ended::noop(format!(
                "node {} was cordoned at the same time, by {whose}",
                it.node
            ))
        }
    };
    Ok(about(ended, &node, &done.node, context.id))
}

/// Carries out `uncordon_node`.
pub fn uncordon(it: &UncordonNode, context: &Context<'_>) -> Result<Ended, Ended> {
    let node = read_node(context, &it.node, it.node_uid.as_ref())?;
    if !is_unschedulable(&node) {
        let message = format!("node {} was not cordoned", it.node);
        return Ok(about(Ended::noop(message), &node, &node, context.id));
    }
    let whose = if it.force {
        Undo::Anybodys
    } else {
        Undo::Agents
    };
    if let Some(refusal) = whose.refusal(&node, context.id) {
        return Err(about(
            Ended::precondition(refusal),
            &node,
            &node,
            context.id,
        ));
    }
    if context.dry_run {
        let message = format!("node {} would be uncordoned", it.node);
        let plan = json!({"patch": uncordon_patch(&node), "before": state(&node, context.id)});
        return Ok(about(Ended::plan(message, plan), &node, &node, context.id));
    }
    match undo_cordon(context, &context.begin()?, &node, whose)? {
        Undone::Done(after) => {
            let ended = Ended::succeeded(format!("uncordoned node {}", it.node));
            Ok(about(ended, &node, &after, context.id))
        }
        Undone::NotCordoned(after) => {
            let ended = Ended::noop(format!("node {} was uncordoned at the same time", it.node));
            Ok(about(ended, &node, &after, context.id))
        }
        Undone::Kept { node: after, why } => {
            Err(about(Ended::precondition(why), &node, &after, context.id))
        }
    }
}

/// After a crash in the middle of `cordon_node`.
pub fn observe_cordon(it: &CordonNode, context: &Context<'_>) -> Result<Ended, Ended> {
    let node = read_node(context, &it.node, it.node_uid.as_ref()).map_err(Ended::not_observed)?;
    let ended = if is_unschedulable(&node) {
        let whose = Ownership::of(&node, context.id).describe(context.id);
        Ended::succeeded(format!("node {} is cordoned, by {whose}", it.node))
    } else {
        Ended::interrupted(format!("node {} is not cordoned", it.node))
    };
    Ok(ended
        .with("uid", uid(&node))
        .with("after", state(&node, context.id)))
}

/// After a crash in the middle of `uncordon_node`.
pub fn observe_uncordon(it: &UncordonNode, context: &Context<'_>) -> Result<Ended, Ended> {
    let node = read_node(context, &it.node, it.node_uid.as_ref()).map_err(Ended::not_observed)?;
    let ended = if is_unschedulable(&node) {
        let whose = Ownership::of(&node, context.id).describe(context.id);
        Ended::interrupted(format!("node {} is cordoned, by {whose}", it.node))
    } else {
        Ended::succeeded(format!("node {} is not cordoned", it.node))
    };
    Ok(ended
        .with("uid", uid(&node))
        .with("after", state(&node, context.id)))
}

/// `ended` with the node as it was and is.
fn about(ended: Ended, before: &Node, after: &Node, id: &EnvelopeId) -> Ended {
    ended
        .with("uid", uid(before))
        .with("before", state(before, id))
        .with("after", state(after, id))
}
