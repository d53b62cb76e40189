//! Cordon and uncordon: `spec.unschedulable` of a node, with the record of whose cordon it is.
//!
//! The taint `node.kubernetes.io/unschedulable` is left to the node controller, which follows the field. Writing it in
//! the same patch, as some do, closes no race: the scheduler's NodeUnschedulable filter reads the field itself, and
//! both reach it in the same update of the node. It would cost something: `spec.taints` is one atomic list, so that
//! writing it makes us the owner of everybody's taints.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::guarded::{self, Change, Guarded};
pub use super::ownership::{CORDONED_BY, Ownership, is_unschedulable};
use crate::actions::id::EnvelopeId;
use crate::actions::names::{ObjectName, Uid};
use crate::actions::outcome::{Reason, Status};
use crate::actions::params::{CordonNode, UncordonNode};
use crate::actuator::context::Context;
use crate::actuator::context::writes::{PatchType, Writes};
use crate::actuator::ended::Ended;
use crate::kube;
use crate::kube::objects::Node;

/// A written node shows what was written within this, or somebody has changed it again.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

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

/// Reads a node that must exist, and have `node_uid` if one is given.
pub fn read_node(
    context: &Context<'_>,
    name: &ObjectName,
    node_uid: Option<&Uid>,
) -> Result<Node, Ended> {
    read(context, name.as_str(), node_uid.map(Uid::as_str))
}

fn read(context: &Context<'_>, name: &str, node_uid: Option<&str>) -> Result<Node, Ended> {
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

/// A node after it was cordoned.
#[derive(Debug, Clone)]
pub struct Cordoned {
    /// The node, read after the write.
    pub node: Node,
    /// Whose the cordon is: this action's, or that of whoever was quicker. Only this action's is ours to undo.
    pub ownership: Ownership,
}

/// Cordons a node, with the record that this action did it, and sees that it is so. A cordon that is there already
/// stays as it is, record included.
///
/// `node` is the node as it was read last: one request more if it has changed since. `Err` is how the action ends,
/// and says whether something may have been written.
pub fn set_cordon(
    context: &Context<'_>,
    writes: &Writes<'_>,
    node: &Node,
) -> Result<Cordoned, Ended> {
    let it = Cordon::of(node, context.id, Wish::Cordon);
    if let Change::Held(node) = guarded::change(&it, context, writes, node.clone())? {
        let ownership = Ownership::of(&node, context.id);
        return Ok(Cordoned { node, ownership });
    }
    let node = it.see(context, is_unschedulable)?;
    let ownership = Ownership::of(&node, context.id);
    Ok(Cordoned { node, ownership })
}

/// Which cordons may be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// The one that this action set: a drain that takes its own back.
    This,
    /// Those that an action of the agent set.
    Agents,
    /// Every one.
    Anybodys,
}

impl Undo {
    /// Why the cordon of `node` may not be undone; none if it may.
    fn refusal(self, node: &Node, id: &EnvelopeId) -> Option<String> {
        let ownership = Ownership::of(node, id);
        let may = match (self, &ownership) {
            (Self::Anybodys, _)
            | (_, Ownership::Nobody | Ownership::This)
            | (Self::Agents, Ownership::Agent(_)) => true,
            (Self::This, Ownership::Agent(_)) | (_, Ownership::Foreign(_)) => false,
        };
        let expected = match self {
            Self::This => "this action's own cordon",
            Self::Agents | Self::Anybodys => "a cordon of this agent's, or force",
        };
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let whose = ownership.describe(id);
        (!may).then(|| format!("node {name}: expected {expected}, it was cordoned by {whose}"))
    }
}

/// What came of undoing a cordon.
#[derive(Debug, Clone)]
pub enum Undone {
    /// It was undone; the node, read after the write.
    Done(Node),
    /// There was none any more.
    NotCordoned(Node),
    /// It is not one that may be undone, and stays.
    Kept {
        /// The node.
        node: Node,
        /// Whose it is.
        why: String,
    },
}

/// Undoes the cordon of the node that `node` was read of, if it is still there and one of those that may be undone,
/// and sees that it is so. The node is read anew first.
pub fn undo_cordon(
    context: &Context<'_>,
    writes: &Writes<'_>,
    node: &Node,
    which: Undo,
) -> Result<Undone, Ended> {
    let it = Cordon::of(node, context.id, Wish::Undo(which));
    let fresh = it.read(context)?;
    match guarded::change(&it, context, writes, fresh)? {
        Change::Made(_) => it
            .see(context, |node| !is_unschedulable(node))
            .map(Undone::Done),
        Change::Held(node) => Ok(match which.refusal(&node, context.id) {
            Some(why) => Undone::Kept { node, why },
            None => Undone::NotCordoned(node),
        }),
    }
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

enum Wish {
    Cordon,
    Undo(Undo),
}

/// One node whose cordon changes.
struct Cordon<'a> {
    name: String,
    uid: String,
    id: &'a EnvelopeId,
    wish: Wish,
}

impl<'a> Cordon<'a> {
    fn of(node: &Node, id: &'a EnvelopeId, wish: Wish) -> Self {
        let name = node.metadata.name.clone().unwrap_or_default();
        Self {
            name,
            uid: uid(node).to_owned(),
            id,
            wish,
        }
    }

    /// Reads the node until it shows what was written.
    fn see(&self, context: &Context<'_>, holds: impl Fn(&Node) -> bool) -> Result<Node, Ended> {
        let look = || Ok(Some(self.read(context)?).filter(&holds));
        let seen = guarded::until(context, Instant::now() + SEEN_WITHIN, look);
        seen.map_err(Ended::after_write)?.ok_or_else(|| {
            let message = format!(
                "wrote {}, but the node does not stay so: somebody undid it",
                self.doing()
            );
            Ended::new(Status::Failed, Some(Reason::TimedOut), message)
        })
    }
}

impl Guarded for Cordon<'_> {
    type Object = Node;

    fn doing(&self) -> String {
        let verb = if matches!(self.wish, Wish::Cordon) {
            "cordon"
        } else {
            "uncordon"
        };
        format!("to {verb} node {}", self.name)
    }

    fn read(&self, context: &Context<'_>) -> Result<Node, Ended> {
        read(context, &self.name, Some(&self.uid))
    }

    fn need(&self, node: &Node) -> Result<Option<Value>, Ended> {
        Ok(match self.wish {
            Wish::Cordon => (!is_unschedulable(node)).then(|| cordon_patch(node, self.id)),
            Wish::Undo(which) => (is_unschedulable(node) && which.refusal(node, self.id).is_none())
                .then(|| uncordon_patch(node)),
        })
    }

    fn write(&self, writes: &Writes<'_>, patch: &Value) -> Result<(), kube::Error> {
        writes
            .patch::<Node>(&path(&self.name), "nodes", PatchType::Merge, patch)
            .map(drop)
    }
}

fn cordon_patch(node: &Node, id: &EnvelopeId) -> Value {
    json!({
        "metadata": {"resourceVersion": version(node), "annotations": {CORDONED_BY: id.as_str()}},
        "spec": {"unschedulable": true},
    })
}

fn uncordon_patch(node: &Node) -> Value {
    json!({
        "metadata": {"resourceVersion": version(node), "annotations": {CORDONED_BY: null}},
        "spec": {"unschedulable": null},
    })
}

/// `ended` with the node as it was and is.
fn about(ended: Ended, before: &Node, after: &Node, id: &EnvelopeId) -> Ended {
    ended
        .with("uid", uid(before))
        .with("before", state(before, id))
        .with("after", state(after, id))
}

fn path(name: &str) -> String {
    format!("/api/v1/nodes/{name}")
}

fn uid(node: &Node) -> &str {
    node.metadata.uid.as_deref().unwrap_or_default()
}

fn version(node: &Node) -> &str {
    node.metadata
        .resource_version
        .as_deref()
        .unwrap_or_default()
}
