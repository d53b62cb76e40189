//! Objects as protobuf, in the frame that the real server puts around them.
//!
//! The objects are kept as JSON; a schema says which member is which field. Members that stand in no schema are left
//! out, which is what a client sees of a server older than itself.

mod schema;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::object::Form;
use super::resources::Resource;
use super::status::Status;
pub(super) use schema::Field;
use schema::Kind;

/// The media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// The media type of a watch.
pub(super) const WATCH_MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf;stream=watch";
/// What every answer begins with.
const MAGIC: &[u8] = b"k8s\0";

/// How a list's items are written; `None` where this server knows them as JSON only.
pub(super) fn items(resource: &Resource, form: Form) -> Option<&'static [Field]> {
    match (form, resource.group, resource.plural) {
        (Form::Metadata, _, _) => Some(schema::PARTIAL),
        (Form::Whole, "", "pods") => Some(schema::POD),
        (Form::Whole, "metrics.k8s.io", "pods") => Some(schema::POD_METRICS),
        (Form::Whole, "metrics.k8s.io", "nodes") => Some(schema::NODE_METRICS),
        _ => None,
    }
}

/// A list of the objects whose JSON is `items`.
pub(super) fn list(
    kind: &str,
    version: &str,
    metadata: &Value,
    fields: &[Field],
    items: impl Iterator<Item = impl AsRef<[u8]>>,
) -> Vec<u8> {
    const METADATA: u32 = 1;
    const ITEMS: u32 = 2;
    let mut raw = Vec::new();
    bytes(&mut raw, METADATA, &message(schema::LIST_META, metadata));
    for item in items {
        let object: Value = serde_json::from_slice(item.as_ref()).unwrap_or_default();
        bytes(&mut raw, ITEMS, &message(fields, &object));
    }
    frame(kind, version, &raw)
}

/// One object.
pub(super) fn object(kind: &str, version: &str, fields: &[Field], object: &Value) -> Vec<u8> {
    frame(kind, version, &message(fields, object))
}

/// An event of a watch about what is `framed`, behind its length.
pub(super) fn event(kind: &str, framed: &[u8]) -> Vec<u8> {
    const TYPE: u32 = 1;
    const OBJECT: u32 = 2;
    const RAW: u32 = 1;
    let (mut raw, mut event) = (Vec::new(), Vec::new());
    bytes(&mut raw, RAW, framed);
    bytes(&mut event, TYPE, kind.as_bytes());
    bytes(&mut event, OBJECT, &raw);
    let length = u32::try_from(event.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], &event].concat()
}

/// A refusal.
pub(super) fn status(status: &Status) -> Vec<u8> {
    frame("Status", "v1", &message(schema::STATUS, &status.to_json()))
}

/// runtime.Unknown, the frame around each object.
fn frame(kind: &str, version: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = json!({"apiVersion": version, "kind": kind});
    let mut out = MAGIC.to_vec();
    bytes(&mut out, 1, &message(schema::TYPE_META, &type_meta));
    bytes(&mut out, 2, raw);
    bytes(&mut out, 3, b"");
    bytes(&mut out, 4, b"");
    out
}

fn message(fields: &[Field], object: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        value(&mut out, field, &object[field.name]);
    }
    out
}

/// One member. The real server writes what is unset, but for pointers, as empty or zero.
fn value(out: &mut Vec<u8>, field: &Field, value: &Value) {
    let number = field.number;
    match field.kind {
        Kind::Text => bytes(out, number, value.as_str().unwrap_or_default().as_bytes()),
        Kind::MaybeText => {
            if let Some(text) = value.as_str() {
                bytes(out, number, text.as_bytes());
            }
        }
        Kind::Number => integer(out, number, value.as_i64().unwrap_or_default()),
        Kind::MaybeNumber => {
            if let Some(value) = value.as_i64() {
                integer(out, number, value);
            }
        }
        Kind::Flag => integer(out, number, value.as_bool().unwrap_or_default().into()),
        Kind::MaybeFlag => {
            if let Some(value) = value.as_bool() {
                integer(out, number, value.into());
            }
        }
        Kind::Message(fields) => bytes(out, number, &message(fields, value)),
        Kind::MaybeMessage(fields) => {
            if value.is_object() {
                bytes(out, number, &message(fields, value));
            }
        }
        Kind::Messages(fields) => {
            for item in value.as_array().into_iter().flatten() {
                bytes(out, number, &message(fields, item));
            }
        }
        Kind::Texts => {
            for item in value.as_array().into_iter().flatten() {
                bytes(out, number, item.as_str().unwrap_or_default().as_bytes());
            }
        }
        Kind::TextMap => {
            for (key, text) in members(value) {
                entry(
                    out,
                    number,
                    key,
                    text.as_str().unwrap_or_default().as_bytes(),
                );
            }
        }
        Kind::Quantities => {
            for (key, amount) in members(value) {
                let text = amount
                    .as_str()
                    .map_or_else(|| amount.to_string(), str::to_owned);
                let mut quantity = Vec::new();
                bytes(&mut quantity, 1, text.as_bytes());
                entry(out, number, key, &quantity);
            }
        }
        Kind::Json => {
            if value.is_object() {
                let mut raw = Vec::new();
                bytes(&mut raw, 1, value.to_string().as_bytes());
                bytes(out, number, &raw);
            }
        }
        Kind::Time => bytes(out, number, &time(value)),
        Kind::Duration => {
            let mut raw = Vec::new();
            integer(&mut raw, 1, nanoseconds(value.as_str().unwrap_or_default()));
            bytes(out, number, &raw);
        }
    }
}

/// A time; one that is not set is empty.
fn time(value: &Value) -> Vec<u8> {
    let mut raw = Vec::new();
    let text = value.as_str().unwrap_or_default();
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        integer(&mut raw, 1, at.unix_timestamp());
        integer(&mut raw, 2, 0);
    }
    raw
}

/// Of a duration in seconds, the one form in which this server writes them.
fn nanoseconds(text: &str) -> i64 {
    let seconds = text.strip_suffix('s').unwrap_or_default();
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap_or_default()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn entry(out: &mut Vec<u8>, number: u32, key: &str, value: &[u8]) {
    let mut entry = Vec::new();
    bytes(&mut entry, 1, key.as_bytes());
    bytes(&mut entry, 2, value);
    bytes(out, number, &entry);
}

fn bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    varint(out, u64::from(number << 3 | 2));
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn integer(out: &mut Vec<u8>, number: u32, value: i64) {
    varint(out, u64::from(number << 3));
    varint(out, value.cast_unsigned());
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}
