//! The parts of objects that the actuator reads, named as in k8s-openapi, whose whole types are not used: reading a
//! deployment whole means code for every kind of volume and probe, which is a megabyte of the binary, and an object
//! of a newer server is read as well by what it has in common.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::Deserialize;

/// A node (core/v1).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Who it is.
    pub metadata: ObjectMeta,
    /// What is wanted of it.
    pub spec: Option<NodeSpec>,
}

/// What is wanted of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Cordoned.
    pub unschedulable: Option<bool>,
}

/// A deployment (apps/v1).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// Who it is.
    pub metadata: ObjectMeta,
    /// What is wanted of it.
    pub spec: Option<DeploymentSpec>,
    /// What is.
    pub status: Option<DeploymentStatus>,
}

/// What is wanted of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeploymentSpec {
    /// So many pods; 1 where it is left out.
    pub replicas: Option<i32>,
    /// Whether changes of the template wait.
    pub paused: Option<bool>,
    /// Of its pods.
    pub template: PodTemplateSpec,
}

/// The template of pods.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodTemplateSpec {
    /// What a pod of it runs.
    pub spec: Option<PodSpec>,
}

/// What a pod runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// All the time.
    pub containers: Vec<Container>,
    /// Before that.
    pub init_containers: Option<Vec<Container>>,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its name, one of the pod's.
    pub name: String,
    /// What it runs.
    pub image: Option<String>,
}

/// How far a deployment is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    /// The version of the spec that the rest is about.
    pub observed_generation: Option<i64>,
    /// Pods.
    pub replicas: Option<i32>,
    /// Pods of the present template.
    pub updated_replicas: Option<i32>,
    /// Pods that have been ready for long enough.
    pub available_replicas: Option<i32>,
    /// What the controller says.
    pub conditions: Option<Vec<DeploymentCondition>>,
}

/// What the controller says of one aspect of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentCondition {
    /// Which aspect.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in a word.
    pub reason: Option<String>,
    /// Why, for a person.
    pub message: Option<String>,
    /// When it was last said.
    pub last_update_time: Option<Time>,
}

/// An autoscaler (autoscaling/v1).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HorizontalPodAutoscaler {
    /// Who it is.
    pub metadata: ObjectMeta,
    /// What is wanted of it.
    pub spec: Option<HorizontalPodAutoscalerSpec>,
}

/// What is wanted of an autoscaler.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HorizontalPodAutoscalerSpec {
    /// What it scales.
    pub scale_target_ref: CrossVersionObjectReference,
    /// At least so many; 1 where it is left out.
    pub min_replicas: Option<i32>,
    /// At most so many.
    pub max_replicas: i32,
}

/// What an autoscaler scales.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CrossVersionObjectReference {
    /// Group and version.
    pub api_version: Option<String>,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}
