//! Who owns a pod: the controller that a person would name, a deployment rather than its replica set.

use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashMap;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::intern::Pool;
use super::meta::{Meta, OwnerReference};
use super::uid::Uid;
use crate::kube::protobuf::{Malformed, fields};

/// The controller named in an object's owner references.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Its kind, such as `ReplicaSet`.
    pub kind: Kind,
    /// Its name, in the object's own namespace.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Uid,
}

/// The kind of a controller: one of Kubernetes' own, of which there are thousands, needs no memory for its name.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One that Kubernetes has.
    Known(Known),
    /// Anything else that controls pods.
    Other(Box<str>),
}

/// The controllers of Kubernetes that own pods, or what owns them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the Kubernetes API")]
pub enum Known {
    ReplicaSet,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
    Node,
}

impl From<&str> for Kind {
    fn from(text: &str) -> Self {
        Self::Known(match text {
            "ReplicaSet" => Known::ReplicaSet,
            "Deployment" => Known::Deployment,
            "StatefulSet" => Known::StatefulSet,
            "DaemonSet" => Known::DaemonSet,
            "Job" => Known::Job,
            "Node" => Known::Node,
            other => return Self::Other(other.into()),
        })
    }
}

impl Deref for Kind {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Known(Known::ReplicaSet) => "ReplicaSet",
            Self::Known(Known::Deployment) => "Deployment",
            Self::Known(Known::StatefulSet) => "StatefulSet",
            Self::Known(Known::DaemonSet) => "DaemonSet",
            Self::Known(Known::Job) => "Job",
            Self::Known(Known::Node) => "Node",
            Self::Other(text) => text,
        }
    }
}

/// The one that controls the object, if any does.
pub fn controller(references: &[OwnerReference<'_>]) -> Option<Owner> {
    let it = references.iter().find(|it| it.controller == Some(true))?;
    Some(Owner {
        kind: (*it.kind).into(),
        name: (*it.name).into(),
        uid: Uid::new(&it.uid),
    })
}

/// What is read of a replica set: its metadata alone.
#[derive(Deserialize, Debug, Default, PartialEq)]
pub struct ReplicaSetObject<'a> {
    #[serde(borrow, deserialize_with = "with_uid")]
    metadata: Meta<'a>,
}

/// A replica set is known by its UID alone.
const NO_UID: &str = "a replica set without a UID";

fn with_uid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Meta<'de>, D::Error> {
    let meta = Meta::deserialize(deserializer)?;
    if meta.uid.is_empty() {
        return Err(D::Error::custom(NO_UID));
    }
    Ok(meta)
}

impl<'a> ReplicaSetObject<'a> {
    /// Reads meta/v1 PartialObjectMetadata.
    pub fn from_protobuf(message: &'a [u8]) -> Result<Self, Malformed> {
        const METADATA: u32 = 1;
        let mut metadata = Meta::default();
        fields(message, |number, value| {
            if number == METADATA {
                metadata = Meta::from_protobuf(value.message()?)?;
            }
            Ok(())
        })?;
        if metadata.uid.is_empty() {
            return Err(Malformed(NO_UID));
        }
        Ok(Self { metadata })
    }

    /// The object's resource version.
    pub fn version(&self) -> &str {
        &self.metadata.resource_version
    }
}

/// Which controller owns which replica set.
#[derive(Default)]
pub struct Owners {
    by_uid: HashMap<Uid, (Arc<Owner>, u32)>,
    pool: Pool<Owner>,
    generation: u32,
}

impl Owners {
    /// A list begins.
    pub fn list_began(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// A replica set exists. One without a controller needs no entry: it is what a person would name.
    pub fn applied(&mut self, object: &ReplicaSetObject<'_>) {
        let uid = Uid::new(&object.metadata.uid);
        match controller(&object.metadata.owner_references) {
            Some(owner) => {
                let owner = self.pool.share_owned(owner);
                self.by_uid.insert(uid, (owner, self.generation));
            }
            None => drop(self.by_uid.remove(&uid)),
        }
    }

    /// A replica set is gone.
    pub fn deleted(&mut self, object: &ReplicaSetObject<'_>) {
        self.by_uid.remove(&Uid::new(&object.metadata.uid));
    }

    /// The list is complete: what it did not bring is gone.
    pub fn list_ended(&mut self) {
        let generation = self.generation;
        self.by_uid.retain(|_, (_, seen)| *seen == generation);
        self.by_uid.shrink_to(self.by_uid.len() * 2);
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.by_uid.len()
    }

    /// True if none is known.
    pub fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
    }

    /// The controller that a person would name for what `owner` owns.
    pub fn resolve<'a>(&'a self, owner: &'a Owner) -> &'a Owner {
        match self.by_uid.get(&owner.uid) {
            Some((above, _)) => above,
            None => owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica_set(uid: &str, owner: Option<&str>) -> String {
        let owners = owner.map_or("null".to_owned(), |name| {
            format!(
                r#"[{{"kind":"Deployment","name":"{name}","uid":"d-{name}","controller":true}},{{"kind":"Other","name":"x","uid":"y"}}]"#
            )
        });
        format!(
            r#"{{"metadata":{{"name":"set","uid":"{uid}","resourceVersion":"1","ownerReferences":{owners}}}}}"#
        )
    }

    fn owner(kind: &str, uid: &str) -> Owner {
        Owner {
            kind: kind.into(),
            name: "name".into(),
            uid: Uid::new(uid),
        }
    }

    #[test]
    fn a_replica_set_resolves_to_its_deployment() {
        let mut owners = Owners::default();
        owners.list_began();
        for text in [replica_set("r1", Some("web")), replica_set("r2", None)] {
            owners.applied(&serde_json::from_str(&text).unwrap());
        }
        owners.list_ended();
        assert_eq!(&*owners.resolve(&owner("ReplicaSet", "r1")).name, "web");
        assert_eq!(
            &*owners.resolve(&owner("ReplicaSet", "r2")).kind,
            "ReplicaSet"
        );
        assert_eq!(
            &*owners.resolve(&owner("StatefulSet", "s")).kind,
            "StatefulSet"
        );
    }

    #[test]
    fn a_kind_is_kept_to_the_letter_and_costs_no_more_than_a_text() {
        for text in [
            "ReplicaSet",
            "Deployment",
            "StatefulSet",
            "DaemonSet",
            "Job",
            "Node",
            "Rollout",
            "",
        ] {
            assert_eq!(&*Kind::from(text), text);
        }
        assert_eq!(size_of::<Kind>(), size_of::<Box<str>>());
    }

    #[test]
    fn a_replica_set_without_a_uid_is_refused() {
        let read = |text| serde_json::from_str::<ReplicaSetObject<'_>>(text);
        assert!(read(r#"{"metadata":{"name":"set","uid":"u"}}"#).is_ok());
        assert!(read(r#"{"metadata":{"name":"set"}}"#).is_err());
        assert!(ReplicaSetObject::from_protobuf(b"\x0a\x05\x2a\x03uid").is_ok());
        assert!(ReplicaSetObject::from_protobuf(b"\x0a\x05\x0a\x03set").is_err());
    }

    #[test]
    fn what_a_list_does_not_bring_is_forgotten() {
        let mut owners = Owners::default();
        owners.applied(&serde_json::from_str(&replica_set("r1", Some("web"))).unwrap());
        owners.list_began();
        owners.list_ended();
        assert!(owners.is_empty());
    }
}
