//! The Kubernetes object that an action is about.

use std::fmt;

use super::names::{Namespace, ObjectName};

/// The kinds of objects that actions are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A node.
    Node,
    /// A pod.
    Pod,
    /// A deployment.
    Deployment,
    /// A namespace.
    Namespace,
}

impl ObjectKind {
    /// The kind as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::Namespace => "Namespace",
        }
    }

    /// The group and version of the kind.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Node | Self::Pod | Self::Namespace => "v1",
            Self::Deployment => "apps/v1",
        }
    }
}

/// An object by kind, namespace and name: what an event is about, and the key that keeps two actions on one
/// object from running at once (protocol, section 4, 7).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    kind: ObjectKind,
    namespace: Option<Namespace>,
    name: ObjectName,
}

impl Object {
    pub(super) fn node(name: &ObjectName) -> Self {
        Self {
            kind: ObjectKind::Node,
            namespace: None,
            name: name.clone(),
        }
    }

    pub(super) fn pod(namespace: &Namespace, name: &ObjectName) -> Self {
        let namespace = Some(namespace.clone());
        Self {
            kind: ObjectKind::Pod,
            namespace,
            name: name.clone(),
        }
    }

    pub(super) fn deployment(namespace: &Namespace, name: &ObjectName) -> Self {
        let namespace = Some(namespace.clone());
        Self {
            kind: ObjectKind::Deployment,
            namespace,
            name: name.clone(),
        }
    }

    pub(super) fn namespace_itself(name: Namespace) -> Self {
        Self {
            kind: ObjectKind::Namespace,
            namespace: None,
            name: name.into(),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// The namespace it is in; none for a node and for a namespace.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// Its name.
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// The namespace that it is in or is.
    pub fn touched_namespace(&self) -> Option<&str> {
        match self.kind {
            ObjectKind::Namespace => Some(self.name.as_str()),
            _ => self.namespace.as_ref().map(Namespace::as_str),
        }
    }
}

/// `Deployment/shop/web`, `Node/worker-7`
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if let Some(namespace) = &self.namespace {
            write!(f, "/{namespace}")?;
        }
        write!(f, "/{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::members::Text;

    #[test]
    fn objects_of_the_same_name_are_told_apart() {
        let namespace = Namespace::parse("web").unwrap();
        let name = ObjectName::parse("web").unwrap();
        let objects = [
            (Object::node(&name), "Node/web", None),
            (Object::pod(&namespace, &name), "Pod/web/web", Some("web")),
            (
                Object::deployment(&namespace, &name),
                "Deployment/web/web",
                Some("web"),
            ),
            (
                Object::namespace_itself(namespace),
                "Namespace/web",
                Some("web"),
            ),
        ];
        for (n, (object, text, namespace)) in objects.iter().enumerate() {
            assert_eq!(object.to_string(), *text);
            assert_eq!(object.touched_namespace(), *namespace);
            assert!(objects[..n].iter().all(|(other, ..)| other != object));
        }
    }
}
