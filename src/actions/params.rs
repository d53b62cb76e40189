//! The params of the actions (protocol, section 2, "Actions and their params").
//!
//! Everything that can be wrong in itself is refused here, before anything is touched: an unknown member, an
//! illegal Kubernetes name, a number out of its bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::image::{CurrentImage, ImageReference};
use super::members::{Fault, Members, Text};
use super::names::{ContainerName, LabelKey, LabelValue, Namespace, ObjectName, Uid};
use super::object::Object;

/// How long an action may take if it does not say. Every action has an end.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);
/// How many pods a drain evicts at once if it does not say.
pub const DEFAULT_MAX_PARALLEL: u32 = 10;
/// The most labels that one action may change.
pub const MAX_LABELS: usize = 64;
/// The most replicas that Kubernetes can hold.
const MAX_REPLICAS: u32 = i32::MAX.unsigned_abs();

/// Evict one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvictPod {
    /// The pod's namespace.
    pub namespace: Namespace,
    /// The pod's name.
    pub name: ObjectName,
    /// If given, only the pod with this uid.
    pub pod_uid: Option<Uid>,
    /// Instead of the pod's own grace period; 0 to 3600 s.
    pub grace_period_seconds: Option<u32>,
    /// For the eviction to be allowed and the pod to be gone; 1 to 3600 s.
    pub timeout: Duration,
}

impl EvictPod {
    pub(super) fn parse(params: Map<String, Value>) -> Result<Self, Fault> {
        let known = [
            "namespace",
            "name",
            "pod_uid",
            "grace_period_seconds",
            "timeout_seconds",
        ];
        let mut params = Members::new("params", params, &known)?;
        Ok(Self {
            namespace: params.text("namespace")?,
            name: params.text("name")?,
            pod_uid: params.optional_text("pod_uid")?,
            grace_period_seconds: grace_period(&mut params)?,
            timeout: timeout(&mut params)?,
        })
    }
}

/// Mark a node unschedulable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CordonNode {
    /// The node's name.
    pub node: ObjectName,
    /// If given, only the node with this uid.
    pub node_uid: Option<Uid>,
}

impl CordonNode {
    pub(super) fn parse(params: Map<String, Value>) -> Result<Self, Fault> {
        let mut params = Members::new("params", params, &["node", "node_uid"])?;
        Ok(Self {
            node: params.text("node")?,
            node_uid: params.optional_text("node_uid")?,
        })
    }
}

/// Mark a node schedulable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncordonNode {
    /// The node's name.
    pub node: ObjectName,
    /// If given, only the node with this uid.
    pub node_uid: Option<Uid>,
    /// True to undo even a cordon that somebody else has set.
    pub force: bool,
}

impl UncordonNode {
    pub(super) fn parse(params: Map<String, Value>) -> Result<Self, Fault> {
        let mut params = Members::new("params", params, &["node", "node_uid", "force"])?;
        Ok(Self {
            node: params.text("node")?,
            node_uid: params.optional_text("node_uid")?,
            force: params.flag("force", false)?,
        })
    }
}

/// What a drain that fails does with its own cordon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Undo it, if the drain set it and has evicted no pod.
    Restore,
    /// Leave the node unschedulable.
    KeepCordoned,
}

/// Cordon a node and evict its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainNode {
    /// The node's name.
    pub node: ObjectName,
    /// If given, only the node with this uid.
    pub node_uid: Option<Uid>,
    /// Instead of each pod's own grace period; 0 to 3600 s.
    pub grace_period_seconds: Option<u32>,
    /// For the whole drain; 1 to 3600 s.
    pub timeout: Duration,
    /// True to evict pods that no controller will make again.
    pub force: bool,
    /// True to evict pods whose emptyDir volumes are lost with them.
    pub delete_emptydir_data: bool,
    /// True to leave the pods of daemon sets where they are; false to refuse a node that has some.
    pub ignore_daemonsets: bool,
    /// How many pods are evicted at once; 1 to 100.
    pub max_parallel: u32,
    /// What a drain that fails does with its own cordon.
    pub on_failure: OnFailure,
}

impl DrainNode {
    pub(super) fn parse(params: Map<String, Value>) -> Result<Self, Fault> {
        let known = [
            "node",
            "node_uid",
            "grace_period_seconds",
            "timeout_seconds",
            "force",
            "delete_emptydir_data",
            "ignore_daemonsets",
            "max_parallel",
            "on_failure",
        ];
        let mut params = Members::new("params", params, &known)?;
        let on_failure = |value: &Value| match value.as_str()? {
            "restore" => Some(OnFailure::Restore),
            "keep_cordoned" => Some(OnFailure::KeepCordoned),
            _ => None,
        };
        Ok(Self {
            node: params.text("node")?,
            node_uid: params.optional_text("node_uid")?,
            grace_period_seconds: grace_period(&mut params)?,
            timeout: timeout(&mut params)?,
            force: params.flag("force", false)?,
            delete_emptydir_data: params.flag("delete_emptydir_data", false)?,
            ignore_daemonsets: params.flag("ignore_daemonsets", true)?,
            max_parallel: params
                .optional_whole("max_parallel", 1..=100)?
                .unwrap_or(DEFAULT_MAX_PARALLEL),
            on_failure: params
                .optional("on_failure", "restore or keep_cordoned", on_failure)?
                .unwrap_or(OnFailure::Restore),
        })
    }
}

/// Set the replicas of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleDeployment {
    /// The deployment's namespace.
    pub namespace: Namespace,
    /// The deployment's name.
    pub name: ObjectName,
    /// How many there shall be. Zero only where the params had `allow_zero`.
    pub replicas: u32,
    /// If given, only a deployment that asks for so many now.
    pub expected_replicas: Option<u32>,
    /// True to scale even what an autoscaler scales.
    pub override_hpa: bool,
    /// For the replicas to be available; 1 to 3600 s.
    pub timeout: Duration,
}

impl ScaleDeployment {
    pub(super) fn parse(params: Map<String, Value>) -> Result<Self, Fault> {
        let known = [
            "namespace",
            "name",
            "replicas",
            "expected_replicas",
            "allow_zero",
            "override_hpa",
            "timeout_seconds",
        ];
        let mut params = Members::new("params", params, &known)?;
        let replicas = params.whole("replicas", 0..=MAX_REPLICAS)?;
        let allow_zero = params.flag("allow_zero", false)?;
        if replicas == 0 && !allow_zero {
            let expected = "at least 1, or allow_zero with it";
            return Err(Fault::new("params.replicas", expected, &Value::from(0)));
        }
        Ok(Self {
            namespace: params.text("namespace")?,
            name: params.text("name")?,
            replicas,
            expected_replicas: params.optional_whole("expected_replicas", 0..=MAX_REPLICAS)?,
            override_hpa: params.flag("override_hpa", false)?,
            timeout: timeout(&mut params)?,
        })
    }
}

/// Set the image of one container of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetImage {
    /// The deployment's namespace.
    pub namespace: Namespace,
    /// The deployment's name.
    pub name: ObjectName,
    /// The container, which must exist.
    pub container: ContainerName,
    /// The image it shall have.
    pub image: ImageReference,
    /// If given, only a container that has this image now.
    pub expected_image: Option<CurrentImage>,
    /// For the rollout to be complete; 1 to 3600 s.
    pub timeout: Duration,
}

impl SetImage {
    pub(super) fn parse(params: Map<String, Value>) -> Result<Self, Fault> {
        let known = [
            "namespace",
            "name",
            "container",
            "image",
            "expected_image",
            "timeout_seconds",
        ];
        let mut params = Members::new("params", params, &known)?;
        Ok(Self {
            namespace: params.text("namespace")?,
            name: params.text("name")?,
            container: params.text("container")?,
            image: params.text("image")?,
            expected_image: params.optional_text("expected_image")?,
            timeout: timeout(&mut params)?,
        })
    }
}

/// Labels to set, or to remove where there is no value; never empty.
pub type Labels = BTreeMap<LabelKey, Option<LabelValue>>;

/// Set and remove labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelResource {
    /// The object whose labels change.
    pub object: Object,
    /// The labels.
    pub labels: Labels,
}

impl LabelResource {
    pub(super) fn parse(params: Map<String, Value>) -> Result<Self, Fault> {
        let kind = params.get("kind").and_then(Value::as_str);
        let is_namespaced = matches!(kind, Some("deployment" | "pod"));
        let known: &[_] = if is_namespaced {
            &["kind", "namespace", "name", "labels"]
        } else {
            &["kind", "name", "labels"]
        };
        // Without a legal kind nothing can be said about the other members.
        let object: fn(&mut Members) -> Result<Object, Fault> = match kind {
            Some("node") => |params| Ok(Object::node(&params.text("name")?)),
            Some("deployment") => |params| {
                Ok(Object::deployment(
                    &params.text("namespace")?,
                    &params.text("name")?,
                ))
            },
            Some("pod") => |params| {
                Ok(Object::pod(
                    &params.text("namespace")?,
                    &params.text("name")?,
                ))
            },
            Some("namespace") => |params| Ok(Object::namespace_itself(params.text("name")?)),
            _ => {
                let got = params.get("kind").unwrap_or(&Value::Null);
                return Err(Fault::new(
                    "params.kind",
                    "node, deployment, pod or namespace",
                    got,
                ));
            }
        };
        let mut params = Members::new("params", params, known)?;
        let object = object(&mut params)?;
        let expected = format!("an object of 1 to {MAX_LABELS} labels");
        let labels = params.required("labels", expected, |value| {
            value
                .as_object()
                .filter(|it| (1..=MAX_LABELS).contains(&it.len()))
                .cloned()
        })?;
        Ok(Self {
            object,
            labels: read_labels(&labels)?,
        })
    }
}

fn read_labels(members: &Map<String, Value>) -> Result<Labels, Fault> {
    let read = |(name, value): (&String, &Value)| {
        let key = LabelKey::parse(name).ok_or_else(|| {
            Fault::new(
                "params.labels",
                LabelKey::EXPECTED,
                &Value::String(name.clone()),
            )
        })?;
        if value.is_null() {
            return Ok((key, None));
        }
        let text = value.as_str().and_then(LabelValue::parse).ok_or_else(|| {
            Fault::new(format!("params.labels.{key}"), LabelValue::EXPECTED, value)
        })?;
        Ok((key, Some(text)))
    };
    members.iter().map(read).collect()
}

fn grace_period(params: &mut Members) -> Result<Option<u32>, Fault> {
    params.optional_whole("grace_period_seconds", 0..=3600)
}

fn timeout(params: &mut Members) -> Result<Duration, Fault> {
    let seconds = params.optional_whole("timeout_seconds", 1..=3600)?;
    Ok(seconds.map_or(DEFAULT_TIMEOUT, |seconds| {
        Duration::from_secs(seconds.into())
    }))
}

#[cfg(test)]
mod tests;
