//! Owner references and replica sets read from protobuf, by their numbers in
//! k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto.

use super::{Meta, OwnerReference, ReplicaSetObject};
use crate::cluster::text::Text;
use crate::kube::protobuf::{Malformed, fields};

impl<'a> OwnerReference<'a> {
    /// Reads meta/v1 OwnerReference.
    pub fn from_protobuf(message: &'a [u8]) -> Result<Self, Malformed> {
        const KIND: u32 = 1;
        const NAME: u32 = 3;
        const UID: u32 = 4;
        const CONTROLLER: u32 = 6;
        let mut reference = Self::default();
        fields(message, |number, value| {
            match number {
                KIND => reference.kind = Text::from_protobuf(value)?,
                NAME => reference.name = Text::from_protobuf(value)?,
                UID => reference.uid = Text::from_protobuf(value)?,
                CONTROLLER => reference.controller = Some(value.number()? != 0),
                _ => (),
            }
            Ok(())
        })?;
        Ok(reference)
    }
}

impl<'a> ReplicaSetObject<'a> {
    /// Reads meta/v1 PartialObjectMetadata.
    pub fn from_protobuf(message: &'a [u8]) -> Result<Self, Malformed> {
        const METADATA: u32 = 1;
        let mut object = Self::default();
        fields(message, |number, value| {
            if number == METADATA {
                object.metadata = meta(value.message()?)?;
            }
            Ok(())
        })?;
        if object.metadata.uid.is_empty() {
            return Err(Malformed("a replica set without a UID"));
        }
        Ok(object)
    }
}

/// meta/v1 ObjectMeta.
fn meta(message: &[u8]) -> Result<Meta<'_>, Malformed> {
    const UID: u32 = 5;
    const RESOURCE_VERSION: u32 = 6;
    const OWNER_REFERENCES: u32 = 13;
    let mut meta = Meta::default();
    fields(message, |number, value| {
        match number {
            UID => meta.uid = Text::from_protobuf(value)?,
            RESOURCE_VERSION => meta.resource_version = Text::from_protobuf(value)?,
            OWNER_REFERENCES => {
                let owner = OwnerReference::from_protobuf(value.message()?)?;
                meta.owner_references.push(owner);
            }
            _ => (),
        }
        Ok(())
    })?;
    Ok(meta)
}
