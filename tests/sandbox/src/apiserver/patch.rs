//! The three kinds of patch.

use serde_json::{Map, Value};

use super::status::{Result, Status};
use crate::http::Request;

/// A patch that was read, ready to be applied to any object.
pub(super) enum Patch {
    /// RFC 7386.
    Merge(Value),
    /// The same, but lists that have a merge key are merged by it.
    Strategic(Value),
    /// RFC 6902.
    Json(Vec<Value>),
}

impl Patch {
    /// Reads the body as its content type says; 415 for other types, server-side apply among them.
    pub(super) fn read(request: &Request) -> Result<Patch> {
        let content_type = request.header("content-type").unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim();
        let body = || -> Result<Value> {
            serde_json::from_slice(&request.body)
                .map_err(|err| Status::bad_request(format!("error decoding patch: {err}")))
        };
        let object = |value: Value| {
            if value.is_object() {
                Ok(value)
            } else {
                Err(Status::new(
                    422,
                    " \"\" is invalid: patch: Invalid value: the patch is no object",
                ))
            }
        };
        match content_type {
            "application/merge-patch+json" => Ok(Patch::Merge(object(body()?)?)),
            "application/strategic-merge-patch+json" => Ok(Patch::Strategic(object(body()?)?)),
            "application/json-patch+json" => match body()? {
                Value::Array(steps) => Ok(Patch::Json(steps)),
                _ => Err(Status::bad_request("a JSON patch is a list")),
            },
            _ => Err(Status::generic(415, "415: Unsupported Media Type")),
        }
    }

    /// The object as the patch would have it.
    pub(super) fn apply(&self, object: &Value) -> Result<Value> {
        let mut patched = object.clone();
        match self {
            Patch::Merge(patch) => merge(&mut patched, patch),
            Patch::Strategic(patch) => strategic(&mut patched, patch),
            Patch::Json(steps) => {
                for step in steps {
                    json_step(&mut patched, step).ok_or_else(|| {
                        Status::generic(
                            422,
                            "the server rejected our request due to an error in our request",
                        )
                    })?;
                }
            }
        }
        Ok(patched)
    }
}

/// RFC 7386.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, change) in members {
        if change.is_null() {
            if let Some(members) = target.as_object_mut() {
                members.remove(key);
            }
        } else {
            merge(&mut target[key], change);
        }
    }
}

/// By what the elements of a list are told apart (the `patchMergeKey` of the API's types). Lists that are not named
/// here, such as tolerations, are replaced as a whole.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets" => Some("name"),
        "conditions" | "addresses" => Some("type"),
        "taints" => Some("key"),
        "ownerReferences" => Some("uid"),
        "volumeMounts" => Some("mountPath"),
        "ports" => Some("containerPort"),
        _ => None,
    }
}

fn strategic(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if patch["$patch"] == "replace" {
        *target = patch.clone();
        if let Some(members) = target.as_object_mut() {
            members.remove("$patch");
        }
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, change) in members {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = change.as_array().map_or(&[][..], Vec::as_slice);
            if let Some(values) = target[list].as_array_mut() {
                values.retain(|value| !gone.contains(value));
            }
        } else if key.starts_with('$') {
            // What is left is about the order of lists.
        } else if change.is_null() {
            if let Some(members) = target.as_object_mut() {
                members.remove(key);
            }
        } else if let Value::Array(changes) = change {
            strategic_list(&mut target[key], key, changes);
        } else {
            strategic(&mut target[key], change);
        }
    }
}

fn strategic_list(target: &mut Value, name: &str, changes: &[Value]) {
    if name == "finalizers" {
        let mut values = target.as_array().cloned().unwrap_or_default();
        let new = changes
            .iter()
            .filter(|value| !values.contains(value))
            .cloned()
            .collect::<Vec<_>>();
        values.extend(new);
        *target = values.into();
        return;
    }
    let Some(merge_key) = merge_key(name) else {
        *target = changes.to_vec().into();
        return;
    };
    if changes.iter().any(|change| change["$patch"] == "replace") {
        let kept = changes
            .iter()
            .filter(|change| change.get("$patch").is_none());
        *target = kept.cloned().collect::<Vec<_>>().into();
        return;
    }
    let before = target.as_array().cloned().unwrap_or_default();
    let place = |element: &Value| {
        before
            .iter()
            .position(|it| it[merge_key] == element[merge_key])
    };
    let mut named = Vec::new();
    for change in changes.iter().filter(|change| change["$patch"] != "delete") {
        let place = place(change);
        let mut element = place.map_or(Value::Null, |place| before[place].clone());
        strategic(&mut element, change);
        named.push((place, element));
    }
    // What the patch names keeps its order, and so does what it does not name; between the two, those that were there
    // stand where they stood, and new ones before what follows.
    let mut named = named.into_iter().peekable();
    let mut elements = Vec::new();
    for (at, element) in before.iter().enumerate() {
        if changes
            .iter()
            .any(|change| change[merge_key] == element[merge_key])
        {
            continue;
        }
        while let Some((_, new)) = named.next_if(|(place, _)| place.is_none_or(|place| place < at))
        {
            elements.push(new);
        }
        elements.push(element.clone());
    }
    elements.extend(named.map(|(_, element)| element));
    *target = elements.into();
}

/// One step of RFC 6902; none if it cannot be done.
fn json_step(object: &mut Value, step: &Value) -> Option<()> {
    let path = step["path"].as_str()?;
    match step["op"].as_str()? {
        "add" => add(object, path, step.get("value")?.clone()),
        "remove" => remove(object, path).map(drop),
        "replace" => {
            *object.pointer_mut(path)? = step.get("value")?.clone();
            Some(())
        }
        "test" => (object.pointer(path) == step.get("value")).then_some(()),
        "copy" => {
            let value = object.pointer(step["from"].as_str()?)?.clone();
            add(object, path, value)
        }
        "move" => {
            let value = remove(object, step["from"].as_str()?)?;
            add(object, path, value)
        }
        _ => None,
    }
}

fn split(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(object: &mut Value, path: &str, value: Value) -> Option<()> {
    let (parent, last) = split(path)?;
    match object.pointer_mut(parent)? {
        Value::Object(members) => drop(members.insert(last, value)),
        Value::Array(elements) if last == "-" => elements.push(value),
        Value::Array(elements) => {
            let at = last.parse().ok().filter(|at| *at <= elements.len())?;
            elements.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(object: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = split(path)?;
    match object.pointer_mut(parent)? {
        Value::Object(members) => members.remove(&last),
        Value::Array(elements) => {
            let at = last.parse().ok().filter(|at| *at < elements.len())?;
            Some(elements.remove(at))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_and_removes() {
        let patch = Patch::Merge(json!({"a": {"b": null, "c": 2}, "list": [3]}));
        let object = json!({"a": {"b": 1}, "list": [1, 2], "kept": true});
        assert_eq!(
            patch.apply(&object).unwrap(),
            json!({"a": {"c": 2}, "list": [3], "kept": true})
        );
    }

    #[test]
    fn merges_lists_by_their_keys() {
        let object = json!({"spec": {
            "containers": [{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "b:1"}],
            "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}],
            "tolerations": [{"key": "x"}, {"key": "y"}],
        }});
        let patch = Patch::Strategic(json!({"spec": {
            "containers": [{"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"}],
            "taints": [{"key": "k", "$patch": "delete"}, {"key": "l", "effect": "NoExecute"}],
            "tolerations": [{"key": "z"}],
            "$setElementOrder/containers": [{"name": "a"}],
        }}));
        let expected = json!({"spec": {
            "containers": [{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]},
                {"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"}],
            "taints": [{"key": "l", "effect": "NoExecute"}],
            "tolerations": [{"key": "z"}],
        }});
        assert_eq!(patch.apply(&object).unwrap(), expected);
    }

    #[test]
    fn takes_steps_or_refuses_them() {
        let object = json!({"metadata": {"labels": {"a/b": "1"}}, "list": [1, 2]});
        let steps = |steps: Value| Patch::Json(steps.as_array().unwrap().clone()).apply(&object);
        let patched = steps(json!([
            {"op": "test", "path": "/metadata/labels/a~1b", "value": "1"},
            {"op": "remove", "path": "/metadata/labels/a~1b"},
            {"op": "add", "path": "/metadata/labels/c", "value": "2"},
            {"op": "add", "path": "/list/-", "value": 3},
            {"op": "replace", "path": "/list/0", "value": 9},
        ]));
        assert_eq!(
            patched.unwrap(),
            json!({"metadata": {"labels": {"c": "2"}}, "list": [9, 2, 3]})
        );
        let refused = steps(json!([{"op": "test", "path": "/list/0", "value": 7}]));
        assert_eq!(refused.unwrap_err().code, 422);
        assert!(steps(json!([{"op": "remove", "path": "/none"}])).is_err());
    }
}
