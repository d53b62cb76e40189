//! The seven actions.

use serde_json::{Map, Value};

use super::members::Fault;
use super::object::Object;
use super::params::{
    CordonNode, DrainNode, EvictPod, LabelResource, ScaleDeployment, SetImage, UncordonNode,
};

/// Which action; also the capability of that name (protocol, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActionKind {
    /// Evict one pod.
    EvictPod,
    /// Mark a node unschedulable.
    CordonNode,
    /// Mark a node schedulable.
    UncordonNode,
    /// Cordon a node and evict its pods.
    DrainNode,
    /// Set the replicas of a deployment.
    ScaleDeployment,
    /// Set the image of one container of a deployment.
    SetImage,
    /// Set and remove labels.
    LabelResource,
}

impl ActionKind {
    /// Every kind, in the order of the protocol.
    pub const ALL: [Self; 7] = [
        Self::EvictPod,
        Self::CordonNode,
        Self::UncordonNode,
        Self::DrainNode,
        Self::ScaleDeployment,
        Self::SetImage,
        Self::LabelResource,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EvictPod => "evict_pod",
            Self::CordonNode => "cordon_node",
            Self::UncordonNode => "uncordon_node",
            Self::DrainNode => "drain_node",
            Self::ScaleDeployment => "scale_deployment",
            Self::SetImage => "set_image",
            Self::LabelResource => "label_resource",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// An action with its params, every one of them legal in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Evict one pod.
    EvictPod(EvictPod),
    /// Mark a node unschedulable.
    CordonNode(CordonNode),
    /// Mark a node schedulable.
    UncordonNode(UncordonNode),
    /// Cordon a node and evict its pods.
    DrainNode(DrainNode),
    /// Set the replicas of a deployment.
    ScaleDeployment(ScaleDeployment),
    /// Set the image of one container of a deployment.
    SetImage(SetImage),
    /// Set and remove labels.
    LabelResource(LabelResource),
}

impl Action {
    /// Reads the params of one kind of action.
    pub fn parse(kind: ActionKind, params: Map<String, Value>) -> Result<Self, Fault> {
        Ok(match kind {
            ActionKind::EvictPod => Self::EvictPod(EvictPod::parse(params)?),
            ActionKind::CordonNode => Self::CordonNode(CordonNode::parse(params)?),
            ActionKind::UncordonNode => Self::UncordonNode(UncordonNode::parse(params)?),
            ActionKind::DrainNode => Self::DrainNode(DrainNode::parse(params)?),
            ActionKind::ScaleDeployment => Self::ScaleDeployment(ScaleDeployment::parse(params)?),
            ActionKind::SetImage => Self::SetImage(SetImage::parse(params)?),
            ActionKind::LabelResource => Self::LabelResource(LabelResource::parse(params)?),
        })
    }

    /// Which action it is.
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::EvictPod(_) => ActionKind::EvictPod,
            Self::CordonNode(_) => ActionKind::CordonNode,
            Self::UncordonNode(_) => ActionKind::UncordonNode,
            Self::DrainNode(_) => ActionKind::DrainNode,
            Self::ScaleDeployment(_) => ActionKind::ScaleDeployment,
            Self::SetImage(_) => ActionKind::SetImage,
            Self::LabelResource(_) => ActionKind::LabelResource,
        }
    }

    /// The object it is about. Two actions on one object never run at once.
    pub fn target(&self) -> Object {
        match self {
            Self::EvictPod(it) => Object::pod(&it.namespace, &it.name),
            Self::CordonNode(it) => Object::node(&it.node),
            Self::UncordonNode(it) => Object::node(&it.node),
            Self::DrainNode(it) => Object::node(&it.node),
            Self::ScaleDeployment(it) => Object::deployment(&it.namespace, &it.name),
            Self::SetImage(it) => Object::deployment(&it.namespace, &it.name),
            Self::LabelResource(it) => it.object.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names() {
        for kind in ActionKind::ALL {
            assert_eq!(ActionKind::parse(kind.as_str()), Some(kind));
        }
        for name in ["", "EVICT_POD", "evict_pod ", "evict-pod", "delete_node"] {
            assert_eq!(ActionKind::parse(name), None, "{name}");
        }
    }

    #[test]
    fn kinds_and_targets() {
        let pod = json!({"namespace": "shop", "name": "web-1"});
        let node = json!({"node": "worker-7"});
        let scale = json!({"namespace": "shop", "name": "web", "replicas": 3});
        let image =
            json!({"namespace": "shop", "name": "web", "container": "app", "image": "app:2"});
        let label = |kind: &str, namespaced: bool| {
            let mut params = json!({"kind": kind, "name": "web", "labels": {"a": "b"}});
            if namespaced {
                params["namespace"] = "shop".into();
            }
            params
        };
        let cases = [
            (ActionKind::EvictPod, pod, "Pod/shop/web-1"),
            (ActionKind::CordonNode, node.clone(), "Node/worker-7"),
            (ActionKind::UncordonNode, node.clone(), "Node/worker-7"),
            (ActionKind::DrainNode, node, "Node/worker-7"),
            (ActionKind::ScaleDeployment, scale, "Deployment/shop/web"),
            (ActionKind::SetImage, image, "Deployment/shop/web"),
            (ActionKind::LabelResource, label("node", false), "Node/web"),
            (
                ActionKind::LabelResource,
                label("deployment", true),
                "Deployment/shop/web",
            ),
            (
                ActionKind::LabelResource,
                label("pod", true),
                "Pod/shop/web",
            ),
            (
                ActionKind::LabelResource,
                label("namespace", false),
                "Namespace/web",
            ),
        ];
        for (kind, params, target) in cases {
            let Value::Object(params) = params else {
                panic!("an object")
            };
            let action = Action::parse(kind, params).unwrap();
            assert_eq!(action.kind(), kind);
            assert_eq!(action.target().to_string(), target);
        }
    }
}
