//! The record that is kept of a pod.

mod object;
mod protobuf;

use std::sync::Arc;

pub(super) use object::Condition;
pub use object::PodObject;

use super::uid::Uid;
use super::workload::Owner;

/// Where a pod stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the Kubernetes API")]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

impl Phase {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Pending") => Self::Pending,
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            _ => Self::Unknown,
        }
    }

    /// The API's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }

    /// True once it uses nothing of its node any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A pod's quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the Kubernetes API")]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            Some("Guaranteed") => Some(Self::Guaranteed),
            Some("Burstable") => Some(Self::Burstable),
            Some("BestEffort") => Some(Self::BestEffort),
            _ => None,
        }
    }

    /// The API's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// What the pods of one template have in common: their containers and what these ask for.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Containers that run for the pod's whole life: the regular ones and the sidecars.
    pub containers: Box<[ContainerShape]>,
    /// What the scheduler counts for the pod, in nanocores.
    pub requested_cpu: i64,
    /// What the scheduler counts for the pod, in bytes.
    pub requested_memory: i64,
}

/// One container's name and resources: cpu in nanocores, memory in bytes.
#[derive(Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields' names say it all")]
pub struct ContainerShape {
    pub name: Arc<str>,
    pub cpu_request: Option<i64>,
    pub cpu_limit: Option<i64>,
    pub memory_request: Option<i64>,
    pub memory_limit: Option<i64>,
}

/// What happened to one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerHistory {
    /// Restarts.
    pub restarts: u32,
    /// Why it last ended, such as `OOMKilled`.
    pub last_termination: Option<Arc<str>>,
}

/// The record of a pod.
#[derive(Debug)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Uid,
    /// The node it is bound to.
    pub node: Option<Arc<str>>,
    /// Its controller.
    pub owner: Option<Arc<Owner>>,
    /// Its containers.
    pub shape: Arc<Shape>,
    /// What happened to them, in the order of the shape; `None` where nothing did.
    pub history: Option<Box<[ContainerHistory]>>,
    /// Where it stands in its life.
    pub phase: Phase,
    /// Its quality of service.
    pub qos: Option<Qos>,
    /// Whether its Ready condition is True.
    pub ready: bool,
    /// The list that last brought it, or the last one before the watch that did. Numbers come again only after more
    /// lists than can fail in a row.
    pub(in crate::cluster) generation: u16,
    /// The collection that last reported it, each of which reports all.
    pub(in crate::cluster) cycle: u16,
}

impl Pod {
    /// Restarts of all its containers together.
    pub fn restarts(&self) -> u32 {
        self.history
            .iter()
            .flatten()
            .fold(0, |sum, it| sum.saturating_add(it.restarts))
    }
}
