//! What is read of an object's metadata, in JSON or protobuf
//! (k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto).

use serde::{Deserialize, Deserializer};

use super::text::{Text, null_is_default};
use crate::kube::protobuf::{Malformed, fields, span};
use crate::timestamp::unix_of;

/// ObjectMeta.
#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) namespace: Text<'a>,
    #[serde(borrow, default)]
    pub(super) uid: Text<'a>,
    #[serde(borrow, default)]
    pub(super) resource_version: Text<'a>,
    /// In seconds since 1970.
    #[serde(default, deserialize_with = "seconds")]
    pub(super) creation_timestamp: Option<i64>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub(super) owner_references: Vec<OwnerReference<'a>>,
}

/// One of an object's owner references.
#[derive(Deserialize, Debug, Default, PartialEq)]
pub struct OwnerReference<'a> {
    #[serde(borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) uid: Text<'a>,
    #[serde(default)]
    pub(super) controller: Option<bool>,
}

/// A time that may be null, or none that anybody can read.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = Option::<Text<'de>>::deserialize(deserializer)?;
    Ok(text.and_then(|it| unix_of(&it)))
}

impl<'a> Meta<'a> {
    /// Reads meta/v1 ObjectMeta.
    pub(super) fn from_protobuf(message: &'a [u8]) -> Result<Self, Malformed> {
        const NAME: u32 = 1;
        const NAMESPACE: u32 = 3;
        const UID: u32 = 5;
        const RESOURCE_VERSION: u32 = 6;
        const CREATION_TIMESTAMP: u32 = 8;
        const OWNER_REFERENCES: u32 = 13;
        let mut meta = Self::default();
        fields(message, |number, value| {
            match number {
                NAME => meta.name = Text::from_protobuf(value)?,
                NAMESPACE => meta.namespace = Text::from_protobuf(value)?,
                UID => meta.uid = Text::from_protobuf(value)?,
                RESOURCE_VERSION => meta.resource_version = Text::from_protobuf(value)?,
                CREATION_TIMESTAMP => meta.creation_timestamp = span(value.message()?)?,
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
}

impl<'a> OwnerReference<'a> {
    /// Reads meta/v1 OwnerReference.
    fn from_protobuf(message: &'a [u8]) -> Result<Self, Malformed> {
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
