//! Setting and undoing a cordon, for the actions that do only that and for a drain.
//!
//! The taint `node.kubernetes.io/unschedulable` is left to the node controller, which follows the field. Writing it in
//! the same patch, as some do, closes no race: the scheduler's NodeUnschedulable filter reads the field itself, and
//! both reach it in the same update of the node. It would cost something: `spec.taints` is one atomic list, so that
//! writing it makes us the owner of everybody's taints.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::actions::id::EnvelopeId;
use crate::actions::outcome::{Reason, Status};
use crate::actuator::context::Context;
use crate::actuator::context::writes::{PatchType, Writes};
use crate::actuator::ended::{Ended, Written};
use crate::actuator::execute::guarded::{self, Change, Guarded};
use crate::actuator::execute::node::{path, read, uid, version};
use crate::actuator::execute::ownership::{CORDONED_BY, Ownership, is_unschedulable};
use crate::kube;
use crate::kube::objects::Node;

/// A written node shows what was written within this, or somebody has changed it again.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// A node after it was cordoned.
#[derive(Debug, Clone)]
pub struct Cordoned {
    /// The node, read after the write.
    pub node: Node,
    /// Whose the cordon is: this action's, or that of whoever was quicker. Only this action's is ours to undo.
    pub ownership: Ownership,
    /// It was set now.
    pub is_new: bool,
}

/// Cordons a node, with the record that this action did it, and sees that it is so. A cordon that is there already
/// stays as it is, record included.
///
/// `node` is the node as it was read last: one request more if it has changed since. One that was cordoned then is read
/// anew, since no write would show that it is not any more. `Err` is how the action ends, and says whether something
/// may have been written.
pub fn set_cordon(
    context: &Context<'_>,
    writes: &Writes<'_>,
    node: &Node,
) -> Result<Cordoned, Ended> {
    let it = Cordon::of(node, context.id, Wish::Cordon);
    let last = if is_unschedulable(node) {
        it.read(context)?
    } else {
        node.clone()
    };
    let (node, is_new) = match guarded::change(&it, context, writes, last)? {
        Change::Held(node) => (node, false),
        Change::Made(_) => (it.see(context, is_unschedulable)?, true),
    };
    let ownership = Ownership::of(&node, context.id);
    Ok(Cordoned {
        node,
        ownership,
        is_new,
    })
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
    pub(super) fn refusal(self, node: &Node, id: &EnvelopeId) -> Option<String> {
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

/// What the cordon shall be.
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
        let undone = || {
            let message = format!(
                "wrote {}, but the node does not stay so: somebody undid it",
                self.doing()
            );
            Ended::new(Status::Failed, Some(Reason::TimedOut), message)
        };
        (seen.map_err(Ended::after_write))
            .and_then(|seen| seen.ok_or_else(undone))
            .map_err(|ended| ended.having_written(Written::Done))
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

/// What sets a cordon, with the record of it.
pub(super) fn cordon_patch(node: &Node, id: &EnvelopeId) -> Value {
    json!({
        "metadata": {"resourceVersion": version(node), "annotations": {CORDONED_BY: id.as_str()}},
        "spec": {"unschedulable": true},
    })
}

/// What undoes one.
pub(super) fn uncordon_patch(node: &Node) -> Value {
    json!({
        "metadata": {"resourceVersion": version(node), "annotations": {CORDONED_BY: null}},
        "spec": {"unschedulable": null},
    })
}
