//! Whose a cordon is: the record of it that stands on the node.
//!
//! A cordon that the agent sets carries the action's id in an annotation, written in the same patch. The annotation
//! alone proves little: whoever uncordons a node with kubectl leaves it behind, and the next cordon, a person's, would
//! pass for ours. So the API server's own record is asked too: `managedFields` name who wrote `spec.unschedulable`
//! (Kubernetes documentation, "Field Management").

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::actions::id::EnvelopeId;
use crate::actuator::context::writes::FIELD_MANAGER;
use crate::kube::objects::Node;

/// The annotation that holds the id of the action that cordoned the node.
pub const CORDONED_BY: &str = "kubernetes-agent/cordoned-by";

/// Under this name the API server merges the oldest managers of an object that has more than ten.
const MERGED_MANAGERS: &str = "ancient-changes";

/// Whose the cordon of a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// Nobody's: the node is schedulable.
    Nobody,
    /// This action's.
    This,
    /// Another action's, of that id.
    Agent(String),
    /// Somebody else's; the manager who wrote it, where the API server knows.
    Foreign(Option<String>),
}

impl Ownership {
    /// Whose the cordon of `node` is, as seen by the action `id`.
    pub fn of(node: &Node, id: &EnvelopeId) -> Self {
        if !is_unschedulable(node) {
            return Self::Nobody;
        }
        let managers = managers_of_cordon(&node.metadata);
        match recorded_id(node) {
            Some(recorded) if managers.is_empty() || managers.contains(&FIELD_MANAGER) => {
                if recorded == id.as_str() {
                    Self::This
                } else {
                    Self::Agent(recorded.to_owned())
                }
            }
            _ => Self::Foreign(managers.first().map(|&it| it.to_owned())),
        }
    }

    /// As a person reads it: "action act_1", "kubectl", "somebody else".
    pub fn describe(&self, id: &EnvelopeId) -> String {
        match self {
            Self::Nobody => "nobody".to_owned(),
            Self::This => format!("action {id}"),
            Self::Agent(other) => format!("action {other}"),
            Self::Foreign(Some(manager)) => manager.clone(),
            Self::Foreign(None) => "somebody else".to_owned(),
        }
    }
}

/// Whether a node takes no new pods.
pub fn is_unschedulable(node: &Node) -> bool {
    node.spec
        .as_ref()
        .and_then(|it| it.unschedulable)
        .unwrap_or_default()
}

/// The id in the annotation, whether or not it still says the truth.
pub fn recorded_id(node: &Node) -> Option<&str> {
    node.metadata
        .annotations
        .as_ref()?
        .get(CORDONED_BY)
        .map(String::as_str)
}

fn managers_of_cordon(metadata: &ObjectMeta) -> Vec<&str> {
    let entries = metadata.managed_fields.iter().flatten();
    let owners = entries.filter(|it| {
        let fields = it.fields_v1.as_ref();
        fields.is_some_and(|it| it.0.pointer("/f:spec/f:unschedulable").is_some())
    });
    let names = owners.filter_map(|it| it.manager.as_deref());
    names.filter(|&it| it != MERGED_MANAGERS).collect()
}
