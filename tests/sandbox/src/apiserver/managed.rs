//! `metadata.managedFields`: who wrote what last.

use serde_json::{Map, Value, json};

/// Members of metadata that the server writes itself, and that nobody owns.
const UNOWNED: &[&str] = &[
    "managedFields",
    "resourceVersion",
    "generation",
    "uid",
    "creationTimestamp",
    "name",
    "namespace",
];

/// Records a manager's change of an object: what it changed is its own from now on, and no one else's.
pub(super) fn record(old: &Value, new: &mut Value, manager: &str, subresource: &str, time: &str) {
    let mut changes = changed("", old, new);
    if let Some(members) = changes.as_object_mut() {
        members.retain(|key, fields| match key.as_str() {
            "f:kind" | "f:apiVersion" => false,
            "f:metadata" => fields.as_object().is_some_and(|fields| !fields.is_empty()),
            _ => true,
        });
    }
    let mut entries = old["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if changes.as_object().is_none_or(Map::is_empty) {
        if !entries.is_empty() {
            new["metadata"]["managedFields"] = entries.into();
        }
        return;
    }
    let version = new["apiVersion"].clone();
    for entry in &mut entries {
        subtract(&mut entry["fieldsV1"], &changes);
    }
    let own = entries.iter_mut().find(|entry| {
        let part = entry
            .get("subresource")
            .and_then(Value::as_str)
            .unwrap_or_default();
        entry["manager"] == manager && entry["operation"] == "Update" && part == subresource
    });
    if let Some(own) = own {
        own["time"] = time.into();
        add(&mut own["fieldsV1"], changes);
    } else {
        let mut entry = json!({
            "manager": manager, "operation": "Update", "apiVersion": version, "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": changes,
        });
        if !subresource.is_empty() {
            entry["subresource"] = subresource.into();
        }
        entries.push(entry);
    }
    entries.retain(|entry| {
        entry["fieldsV1"]
            .as_object()
            .is_some_and(|fields| !fields.is_empty())
    });
    new["metadata"]["managedFields"] = entries.into();
}

/// The fields of `new` that are not as in `old`, as a tree of `f:` and `k:` members.
fn changed(name: &str, old: &Value, new: &Value) -> Value {
    let mut fields = Map::new();
    match new {
        Value::Object(members) => {
            for (key, value) in members {
                let unowned = name == "metadata" && UNOWNED.contains(&key.as_str());
                if !unowned && old.get(key) != Some(value) {
                    fields.insert(
                        format!("f:{key}"),
                        changed(key, old.get(key).unwrap_or(&Value::Null), value),
                    );
                }
            }
        }
        Value::Array(elements) => {
            let Some(key) = element_key(elements) else {
                return json!({});
            };
            for element in elements {
                let before = old
                    .as_array()
                    .into_iter()
                    .flatten()
                    .find(|it| it[key] == element[key]);
                if before != Some(element) {
                    let fields_of = changed("", before.unwrap_or(&Value::Null), element);
                    fields.insert(format!("k:{}", json!({key: element[key]})), fields_of);
                }
            }
        }
        _ => {}
    }
    fields.into()
}

/// What tells the elements of a list apart; none for a list that is owned as a whole.
fn element_key(elements: &[Value]) -> Option<&'static str> {
    let keys = ["name", "type", "uid", "mountPath"];
    keys.into_iter()
        .find(|key| !elements.is_empty() && elements.iter().all(|it| it[*key].is_string()))
}

fn add(target: &mut Value, more: Value) {
    let (Some(fields), Value::Object(more)) = (target.as_object_mut(), more) else {
        return;
    };
    for (key, value) in more {
        match fields.get_mut(&key) {
            Some(field) => add(field, value),
            None => drop(fields.insert(key, value)),
        }
    }
}

/// Removes the leaves of `less`, and what is empty without them.
fn subtract(target: &mut Value, less: &Value) {
    let (Some(fields), Some(less)) = (target.as_object_mut(), less.as_object()) else {
        return;
    };
    for (key, value) in less {
        let Some(field) = fields.get_mut(key) else {
            continue;
        };
        subtract(field, value);
        let is_leaf = value.as_object().is_none_or(Map::is_empty);
        if is_leaf || field.as_object().is_some_and(Map::is_empty) {
            fields.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_a_field_to_its_last_writer() {
        let first = json!({"apiVersion": "apps/v1", "metadata": {"name": "x"}, "spec": {"replicas": 1, "paused": false}});
        let mut created = first.clone();
        record(&json!({}), &mut created, "kubectl", "", "t1");
        let mut scaled = created.clone();
        scaled["spec"]["replicas"] = 3.into();
        record(&created, &mut scaled, "hpa", "scale", "t2");
        let entries = scaled["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(entries[0]["fieldsV1"], json!({"f:spec": {"f:paused": {}}}));
        assert_eq!(
            entries[1]["fieldsV1"],
            json!({"f:spec": {"f:replicas": {}}})
        );
        assert_eq!(
            (&entries[1]["manager"], &entries[1]["subresource"]),
            (&json!("hpa"), &json!("scale"))
        );
    }

    #[test]
    fn knows_list_elements_by_their_keys() {
        let old = json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}});
        let mut new = old.clone();
        new["spec"]["containers"][1]["image"] = "2".into();
        record(&old, &mut new, "m", "", "t");
        let fields = &new["metadata"]["managedFields"][0]["fieldsV1"];
        assert_eq!(
            fields,
            &json!({"f:spec": {"f:containers": {"k:{\"name\":\"b\"}": {"f:image": {}}}}})
        );
    }
}
