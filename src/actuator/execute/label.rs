//! Labels: set and removed in one merge patch of `metadata.labels`, in which null removes (RFC 7386).
//!
//! The policy has refused the labels of Kubernetes already. What is left to see on the object itself is whether a
//! label is one that a pod's controller lives by.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::deployment::keeper::Keeper;
use super::deployment::{self, managers};
use super::guarded::{self, Change, Guarded};
use super::pod_labels;
use crate::actions::names::{LabelKey, LabelValue};
use crate::actions::object::{Object, ObjectKind};
use crate::actions::outcome::{Reason, Status};
use crate::actions::params::{LabelResource, Labels};
use crate::actuator::context::Context;
use crate::actuator::context::writes::{PatchType, Writes};
use crate::actuator::ended::Ended;
use crate::kube;

/// A written object shows what was written within this, or somebody has changed it again.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// What is read of an object, whatever its kind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Labelled {
    metadata: ObjectMeta,
}

impl Labelled {
    fn label(&self, key: &LabelKey) -> Option<&str> {
        let labels = self.metadata.labels.as_ref()?;
        labels.get(key.as_str()).map(String::as_str)
    }

    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The uid of its controller.
    fn controller(&self) -> Option<&str> {
        let mut owners = self.metadata.owner_references.iter().flatten();
        let owner = owners.find(|it| it.controller == Some(true))?;
        Some(&owner.uid)
    }

    fn version(&self) -> &str {
        self.metadata
            .resource_version
            .as_deref()
            .unwrap_or_default()
    }

    /// Those of `labels` that are not so yet.
    fn missing(&self, labels: &Labels) -> Labels {
        let differs = |(key, value): &(&LabelKey, &Option<LabelValue>)| {
            self.label(key) != value.as_ref().map(LabelValue::as_str)
        };
        labels
            .iter()
            .filter(differs)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The values of the labels that the action is about, null where there is none.
    fn state(&self, labels: &Labels) -> Value {
        let values = labels
            .keys()
            .map(|key| (key.to_string(), json!(self.label(key))));
        json!({"labels": values.collect::<Map<_, _>>(), "resource_version": self.version()})
    }
}

/// Carries out `label_resource`.
pub fn execute(it: &LabelResource, context: &Context<'_>) -> Result<Ended, Ended> {
    let label = Label {
        object: &it.object,
        labels: &it.labels,
        uid: None,
        checked: None,
    };
    let before = label.read(context)?;
    let about = |ended: Ended, after: &Labelled| {
        ended
            .with("uid", before.uid())
            .with("before", before.state(&it.labels))
            .with("after", after.state(&it.labels))
    };
    let missing = before.missing(&it.labels);
    if missing.is_empty() {
        let message = format!("{} had these labels already", it.object);
        return Ok(about(Ended::noop(message), &before));
    }
    let warnings = warnings(it.object.kind(), &before);
    let about = |ended: Ended, after: &Labelled| deployment::warned(about(ended, after), &warnings);
    if it.object.kind() == ObjectKind::Pod {
        pod_labels::check(&before.metadata, &it.object, &missing, context)
            .map_err(|ended| about(ended, &before))?;
    }
    if context.dry_run {
        let message = format!("{} labels of {} would change", missing.len(), it.object);
        let plan = json!({"patch": patch(&before, &missing), "before": before.state(&it.labels)});
        return Ok(about(Ended::plan(message, plan), &before));
    }
    // From here on only the object that was checked is meant, not another one that comes under its name.
    let label = Label {
        uid: Some(before.uid()),
        checked: (it.object.kind() == ObjectKind::Pod).then(|| Checked {
            changes: &missing,
            controller: before.controller(),
        }),
        ..label
    };
    match guarded::change(&label, context, &context.begin()?, before.clone()) {
        Ok(Change::Made(_)) => (),
        Ok(Change::Held(after)) => {
            let message = format!("{} was given these labels at the same time", it.object);
            return Ok(about(Ended::noop(message), &after));
        }
        Err(ended) => {
            let ended = ended
                .with("uid", before.uid())
                .with("before", before.state(&it.labels));
            return Err(deployment::warned(ended, &warnings));
        }
    }
    let mut last = before.clone();
    let seen = label.see(context, &mut last);
    let message = format!("changed {} labels of {}", missing.len(), it.object);
    let ended = seen.map(|()| Ended::succeeded(message));
    ended
        .map(|it| about(it, &last))
        .map_err(|it| about(it, &last))
}

/// What the sender should know before labels of an object change. A pod has an owner always, and a node nobody who
/// restores its labels.
fn warnings(kind: ObjectKind, object: &Labelled) -> Vec<String> {
    let keeper = match kind {
        ObjectKind::Deployment | ObjectKind::Namespace => Keeper::of(&object.metadata),
        ObjectKind::Pod | ObjectKind::Node => None,
    };
    keeper.iter().map(|it| it.warning("labels")).collect()
}

/// After a crash in the middle of `label_resource`.
pub fn observe(it: &LabelResource, context: &Context<'_>) -> Result<Ended, Ended> {
    let label = Label {
        object: &it.object,
        labels: &it.labels,
        uid: None,
        checked: None,
    };
    let object = label.read(context).map_err(Ended::not_observed)?;
    let missing = object.missing(&it.labels);
    let ended = if missing.is_empty() {
        Ended::succeeded(format!("{} has these labels", it.object))
    } else {
        let keys: Vec<_> = missing.keys().map(LabelKey::as_str).collect();
        Ended::interrupted(format!(
            "{} is not so labelled: {}",
            it.object,
            keys.join(", ")
        ))
    };
    Ok(ended
        .with("uid", object.uid())
        .with("after", object.state(&it.labels)))
}

/// One object whose labels change.
struct Label<'a> {
    object: &'a Object,
    labels: &'a Labels,
    uid: Option<&'a str>,
    /// What was found harmless, of a pod; nothing else may be written to it.
    checked: Option<Checked<'a>>,
}

/// The changes of a pod's labels that its controller does not live by.
struct Checked<'a> {
    changes: &'a Labels,
    controller: Option<&'a str>,
}

impl Label<'_> {
    /// Reads the object until it shows what was written; `last` is what was read last.
    fn see(&self, context: &Context<'_>, last: &mut Labelled) -> Result<(), Ended> {
        let look = || {
            *last = self.read(context)?;
            Ok(last.missing(self.labels).is_empty().then_some(()))
        };
        let seen = guarded::until(context, Instant::now() + SEEN_WITHIN, look);
        seen.map_err(Ended::after_write)?
            .ok_or_else(|| self.undone(last))
    }

    fn undone(&self, now: &Labelled) -> Ended {
        let missing = now.missing(self.labels);
        let mut pointers = missing.keys().map(|key| managers::label(key.as_str()));
        let by = pointers.find_map(|it| managers::writer(&now.metadata, &it));
        let message = format!(
            "wrote the labels of {}, but they do not stay so: {} changed them again",
            self.object,
            by.as_deref().unwrap_or("somebody")
        );
        Ended::new(Status::Failed, Some(Reason::TimedOut), message).with("reverted_by", by)
    }
}

impl Guarded for Label<'_> {
    type Object = Labelled;

    fn doing(&self) -> String {
        format!("to label {}", self.object)
    }

    fn read(&self, context: &Context<'_>) -> Result<Labelled, Ended> {
        let (path, resource) = place(self.object);
        let Some(found) = context.get::<Labelled>(&path, resource)? else {
            return Err(Ended::precondition(format!(
                "{}: expected to exist, there is none",
                self.object
            )));
        };
        match self.uid {
            Some(expected) if expected != found.uid() => {
                let message = format!(
                    "{}: expected the uid {expected}, it has {}",
                    self.object,
                    found.uid()
                );
                Err(Ended::precondition(message))
            }
            _ => Ok(found),
        }
    }

    fn need(&self, object: &Labelled) -> Result<Option<Value>, Ended> {
        let missing = object.missing(self.labels);
        if let Some(checked) = &self.checked {
            let other = missing.keys().find(|it| !checked.changes.contains_key(*it));
            let changed = match other {
                Some(key) => Some(format!("its label {key}")),
                None if object.controller() != checked.controller => {
                    Some("its controller".to_owned())
                }
                None => None,
            };
            if let Some(what) = changed {
                let message = format!(
                    "{}: expected {what} as it was at first, it was changed meanwhile",
                    self.object
                );
                return Err(Ended::precondition(message));
            }
        }
        Ok((!missing.is_empty()).then(|| patch(object, &missing)))
    }

    fn write(&self, writes: &Writes<'_>, patch: &Value) -> Result<(), kube::Error> {
        let (path, resource) = place(self.object);
        writes
            .patch::<Labelled>(&path, resource, PatchType::Merge, patch)
            .map(drop)
    }
}

fn patch(object: &Labelled, labels: &Labels) -> Value {
    json!({"metadata": {"resourceVersion": object.version(), "labels": labels}})
}

/// Where an object is, and what requests for it are counted as.
fn place(object: &Object) -> (String, &'static str) {
    let (root, plural) = match object.kind() {
        ObjectKind::Node => ("/api/v1", "nodes"),
        ObjectKind::Pod => ("/api/v1", "pods"),
        ObjectKind::Deployment => ("/apis/apps/v1", "deployments"),
        ObjectKind::Namespace => ("/api/v1", "namespaces"),
    };
    let path = match object.namespace() {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}/{}", object.name()),
        None => format!("{root}/{plural}/{}", object.name()),
    };
    (path, plural)
}

#[cfg(test)]
mod tests;
