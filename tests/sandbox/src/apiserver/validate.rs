//! What the server refuses as invalid: the rules that an agent's writes can break.

use serde_json::Value;

use super::object::{elements_mut, str_at};
use super::resources::Resource;
use super::selector::Selector;
use super::status::{Result, Status};

/// Checks an object that is to be stored. `old` is what it replaces.
pub(super) fn validate(resource: &Resource, old: Option<&Value>, new: &Value) -> Result<()> {
    let name = str_at(&new["metadata"], "name");
    let refuse = |field: &str, why: &str| Err(Status::invalid(resource, name, field, why));
    for (key, value) in new["metadata"]["labels"].as_object().into_iter().flatten() {
        if !is_qualified_name(key) {
            return refuse(
                "metadata.labels",
                &format!(
                    "Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
                ),
            );
        }
        let Some(value) = value.as_str() else {
            return Err(Status::new(
                422,
                format!(" \"\" is invalid: patch: Invalid value: label {key:?} is no string"),
            ));
        };
        if !is_label_value(value) {
            return refuse(
                "metadata.labels",
                &format!(
                    "Invalid value: {value:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                ),
            );
        }
    }
    match resource.plural {
        "pods" if resource.group.is_empty() => pod(resource, name, old, new),
        "deployments" | "replicasets" | "statefulsets" => workload(resource, name, old, new),
        "events" => event(resource, name, new),
        "leases"
            if new["spec"]["leaseDurationSeconds"]
                .as_i64()
                .is_some_and(|seconds| seconds <= 0) =>
        {
            refuse(
                "spec.leaseDurationSeconds",
                "Invalid value: 0: must be greater than 0",
            )
        }
        _ => Ok(()),
    }
}

fn pod(resource: &Resource, name: &str, old: Option<&Value>, new: &Value) -> Result<()> {
    containers(resource, name, "spec", &new["spec"])?;
    let Some(old) = old else { return Ok(()) };
    // Of a pod's spec, images and tolerations alone may change.
    let fixed = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        for list in ["/containers", "/initContainers"] {
            for container in elements_mut(&mut spec, list) {
                container["image"] = Value::Null;
            }
        }
        for member in [
            "tolerations",
            "activeDeadlineSeconds",
            "terminationGracePeriodSeconds",
        ] {
            spec[member] = Value::Null;
        }
        spec.to_string()
    };
    let bound = str_at(&old["spec"], "nodeName").is_empty();
    if fixed(old) != fixed(new) && !bound {
        let why = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, \
            `spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to existing tolerations)";
        return Err(Status::invalid(resource, name, "spec", why));
    }
    Ok(())
}

fn workload(resource: &Resource, name: &str, old: Option<&Value>, new: &Value) -> Result<()> {
    let refuse = |field: &str, why: &str| Err(Status::invalid(resource, name, field, why));
    let spec = &new["spec"];
    if let Some(replicas) = spec["replicas"].as_i64().filter(|replicas| *replicas < 0) {
        return refuse(
            "spec.replicas",
            &format!("Invalid value: {replicas}: must be greater than or equal to 0"),
        );
    }
    if old.is_some_and(|old| old["spec"]["selector"] != spec["selector"]) {
        return refuse(
            "spec.selector",
            &format!("Invalid value: {}: field is immutable", spec["selector"]),
        );
    }
    let labels = &spec["template"]["metadata"]["labels"];
    match Selector::from_object(&spec["selector"]) {
        Some(selector) if selector.is_empty() => return refuse("spec.selector", "Required value"),
        None => return refuse("spec.selector", "Required value"),
        Some(selector) if !selector.matches_label_map(labels) => {
            let why =
                format!("Invalid value: {labels}: `selector` does not match template `labels`");
            return refuse("spec.template.metadata.labels", &why);
        }
        Some(_) => {}
    }
    containers(
        resource,
        name,
        "spec.template.spec",
        &spec["template"]["spec"],
    )
}

fn containers(resource: &Resource, name: &str, path: &str, spec: &Value) -> Result<()> {
    let refuse = |field: &str, why: &str| Err(Status::invalid(resource, name, field, why));
    let containers = spec["containers"].as_array().map_or(&[][..], Vec::as_slice);
    if containers.is_empty() {
        return refuse(&format!("{path}.containers"), "Required value");
    }
    for (index, container) in containers.iter().enumerate() {
        let field = |member: &str| format!("{path}.containers[{index}].{member}");
        let own = str_at(container, "name");
        if own.is_empty() {
            return refuse(&field("name"), "Required value");
        }
        if containers[..index]
            .iter()
            .any(|other| str_at(other, "name") == own)
        {
            return refuse(&field("name"), &format!("Duplicate value: {own:?}"));
        }
        let image = str_at(container, "image");
        if image.is_empty() {
            return refuse(&field("image"), "Required value");
        }
        if image.trim() != image {
            return refuse(
                &field("image"),
                &format!("Invalid value: {image:?}: must not have leading or trailing whitespace"),
            );
        }
    }
    Ok(())
}

/// An event stands in the namespace of what it is about, or in `default` if that has none.
fn event(resource: &Resource, name: &str, new: &Value) -> Result<()> {
    let namespace = str_at(&new["metadata"], "namespace");
    let involved = str_at(&new["involvedObject"], "namespace");
    let expected = if involved.is_empty() {
        "default"
    } else {
        involved
    };
    if namespace == expected {
        return Ok(());
    }
    let why = format!("Invalid value: {involved:?}: does not match event.namespace");
    Err(Status::invalid(
        resource,
        name,
        "involvedObject.namespace",
        &why,
    ))
}

/// A name as objects have it: a DNS subdomain.
pub(super) fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let edge = |byte: Option<u8>| {
            byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        edge(part.bytes().next())
            && edge(part.bytes().last())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = key
        .rsplit_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_name) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    value.len() <= 63
        && edge(value.bytes().next())
        && edge(value.bytes().last())
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_names_and_labels() {
        assert!(
            is_name("a-b.c-1")
                && !is_name("A")
                && !is_name("-a")
                && !is_name("a..b")
                && !is_name("")
        );
        assert!(is_qualified_name("example.com/My_Key.1") && is_qualified_name("a"));
        assert!(
            !is_qualified_name("/a") && !is_qualified_name("a/") && !is_qualified_name("a/b/c")
        );
        assert!(
            is_label_value("")
                && is_label_value("v1.2_x")
                && !is_label_value("a b")
                && !is_label_value("-a")
        );
        assert!(!is_label_value(&"a".repeat(64)));
    }
}
