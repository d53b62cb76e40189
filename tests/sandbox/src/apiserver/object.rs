//! A stored object: its JSON, ready to be sent, and what selectors need of it.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::quantity;
use super::random;
use super::resources::Resource;

/// One version of an object. Never changed: a write makes another.
#[derive(Debug)]
pub(super) struct Object {
    /// The `resourceVersion` as the number it is here.
    pub revision: u64,
    /// `namespace/name`, or the name alone.
    pub key: Box<str>,
    /// Its JSON without `kind` and `apiVersion`, as it stands in a list.
    pub json: Box<[u8]>,
    /// What is known of it without reading the JSON.
    pub index: Index,
}

/// What selectors and the Metrics API need of an object.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.labels`.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// The values of the fields that may be selected, with their paths.
    pub fields: Box<[(&'static str, Box<str>)]>,
    /// What its simulated usage moves about: a pod's requests by container, a node's allocatable.
    pub usage: Box<[Usage]>,
    /// When a pod started, in unix seconds; zero if it does not run.
    pub started: i64,
}

/// An amount of CPU and memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// The container; empty for a node.
    pub name: Box<str>,
    /// CPU in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory: u64,
}

/// How an object is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As itself.
    Whole,
    /// As `PartialObjectMetadata`.
    Metadata,
}

impl Form {
    /// The kind and the API version that an object has so.
    pub(super) fn kind(self, resource: &Resource) -> (&'static str, String) {
        match self {
            Self::Whole => (resource.kind, resource.api_version()),
            Self::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
        }
    }
}

impl Object {
    /// Makes the stored form of an object whose metadata is complete.
    pub(super) fn new(resource: &'static Resource, revision: u64, mut value: Value) -> Object {
        if let Some(members) = value.as_object_mut() {
            members.remove("kind");
            members.remove("apiVersion");
        }
        value["metadata"]["resourceVersion"] = revision.to_string().into();
        let metadata = &value["metadata"];
        let key = resource.key(str_at(metadata, "namespace"), str_at(metadata, "name"));
        Object {
            revision,
            key: key.into(),
            json: value.to_string().into_bytes().into(),
            index: Index::of(resource, &value),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.key
            .split_once('/')
            .map_or(&*self.key, |(_, name)| name)
    }

    /// Its namespace; empty if it has none.
    pub(super) fn namespace(&self) -> &str {
        self.key
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    /// The value of a label.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.index
            .labels
            .iter()
            .find(|(this, _)| &**this == key)
            .map(|(_, value)| &**value)
    }

    /// The value of a field that may be selected; empty if it has none.
    pub(super) fn field(&self, path: &str) -> &str {
        match path {
            "metadata.name" => self.name(),
            "metadata.namespace" => self.namespace(),
            path => self
                .index
                .fields
                .iter()
                .find(|(this, _)| *this == path)
                .map_or("", |(_, value)| value),
        }
    }

    /// The object as a value, with its kind and version.
    pub(super) fn value(&self, resource: &Resource) -> Value {
        let mut value: Value = serde_json::from_slice(&self.json).unwrap_or_default();
        value["kind"] = resource.kind.into();
        value["apiVersion"] = resource.api_version().into();
        value
    }

    /// Appends it as it stands alone or in a watch: with kind and version, those first as the real server has them.
    pub(super) fn write(&self, resource: &Resource, form: Form, out: &mut Vec<u8>) {
        match form {
            Form::Whole => {
                let (kind, version) = (resource.kind, resource.api_version());
                out.extend_from_slice(
                    format!(r#"{{"kind":"{kind}","apiVersion":"{version}","#).as_bytes(),
                );
                out.extend_from_slice(&self.json[1..]);
            }
            Form::Metadata => {
                out.extend_from_slice(
                    br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#,
                );
                out.extend_from_slice(metadata(&self.json).as_bytes());
                out.push(b'}');
            }
        }
    }

    /// Appends it as it stands in a list: there a whole object has neither kind nor version.
    pub(super) fn write_item(&self, resource: &Resource, form: Form, out: &mut Vec<u8>) {
        match form {
            Form::Whole => out.extend_from_slice(&self.json),
            Form::Metadata => self.write(resource, form, out),
        }
    }
}

/// The text of an object's `metadata`.
fn metadata(json: &[u8]) -> &str {
    #[derive(Deserialize)]
    struct Slim<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    serde_json::from_slice::<Slim<'_>>(json).map_or("{}", |slim| slim.metadata.get())
}

impl Index {
    /// Reads it off an object.
    pub(super) fn of(resource: &'static Resource, value: &Value) -> Index {
        let metadata = &value["metadata"];
        let labels = metadata["labels"].as_object().into_iter().flatten();
        let is_core = resource.group.is_empty();
        Index {
            uid: str_at(metadata, "uid").into(),
            labels: labels
                .map(|(key, value)| {
                    (
                        key.as_str().into(),
                        value.as_str().unwrap_or_default().into(),
                    )
                })
                .collect(),
            fields: resource
                .fields
                .iter()
                .map(|path| (*path, field(value, path).into()))
                .collect(),
            usage: match resource.plural {
                "pods" if is_core => requests(&value["spec"]),
                "nodes" if is_core => [usage("", &value["status"]["allocatable"])].into(),
                _ => [].into(),
            },
            started: started(&value["status"]),
        }
    }
}

/// A field as selectors compare it: always a text.
fn field(value: &Value, path: &str) -> String {
    // An event's source is its component (core/v1 event strategy).
    let path = if path == "source" {
        "source.component"
    } else {
        path
    };
    let found = path.split('.').fold(value, |value, member| &value[member]);
    match (found, path) {
        (Value::String(text), _) => text.clone(),
        (Value::Null, "spec.unschedulable") => "false".to_owned(),
        (Value::Null, _) => String::new(),
        (other, _) => other.to_string(),
    }
}

fn requests(spec: &Value) -> Box<[Usage]> {
    let containers = spec["containers"].as_array().into_iter().flatten();
    containers
        .map(|it| usage(str_at(it, "name"), &it["resources"]["requests"]))
        .collect()
}

fn usage(name: &str, amounts: &Value) -> Usage {
    let positive = |amount: Option<i64>| {
        amount
            .and_then(|amount| u64::try_from(amount).ok())
            .unwrap_or(0)
    };
    Usage {
        name: name.into(),
        cpu_millis: positive(quantity::millis(str_at(amounts, "cpu"))),
        memory: positive(quantity::whole(str_at(amounts, "memory"))),
    }
}

fn started(status: &Value) -> i64 {
    if str_at(status, "phase") != "Running" {
        return 0;
    }
    random::parse_time(str_at(status, "startTime")).map_or(1, time::OffsetDateTime::unix_timestamp)
}

/// The elements of a list at a JSON pointer; none where there is no list. Unlike `value["a"]["b"]`, which puts a null
/// where nothing is as soon as it may be changed.
pub(super) fn elements_mut<'a>(
    value: &'a mut Value,
    pointer: &str,
) -> impl Iterator<Item = &'a mut Value> {
    value
        .pointer_mut(pointer)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// A member that is a text; empty if it is none.
pub(super) fn str_at<'a>(value: &'a Value, member: &str) -> &'a str {
    value
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shows_itself_in_each_form() {
        let pods = Resource::named("", "pods");
        let value = json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"namespace": "a", "name": "b", "labels": {"app": "x"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {"requests": {"cpu": "250m", "memory": "1Mi"}}}]},
        });
        let object = Object::new(pods, 7, value);
        assert_eq!(
            (object.namespace(), object.name(), object.label("app")),
            ("a", "b", Some("x"))
        );
        assert_eq!(object.field("spec.nodeName"), "n");
        assert_eq!(
            *object.index.usage,
            [Usage {
                name: "c".into(),
                cpu_millis: 250,
                memory: 1 << 20
            }]
        );
        let mut whole = Vec::new();
        object.write(pods, Form::Whole, &mut whole);
        let text = String::from_utf8(whole).unwrap();
        assert!(
            text.starts_with(r#"{"kind":"Pod","apiVersion":"v1","metadata":{"#),
            "{text}"
        );
        let mut partial = Vec::new();
        object.write(pods, Form::Metadata, &mut partial);
        let partial: Value = serde_json::from_slice(&partial).unwrap();
        assert_eq!(partial["metadata"]["resourceVersion"], "7");
        assert!(partial.get("spec").is_none());
    }
}
