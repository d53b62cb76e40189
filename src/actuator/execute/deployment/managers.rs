//! Who wrote what of an object, as the API server records it in `managedFields` (Kubernetes documentation, "Field
//! Management").

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::actuator::context::writes::FIELD_MANAGER;

/// Who last wrote a field, by the pointer to it; none where that is not known or was us.
pub fn writer(metadata: &ObjectMeta, pointer: &str) -> Option<String> {
    let mut names = writers(metadata, pointer).filter(|&it| it != FIELD_MANAGER);
    names.next().map(str::to_owned)
}

/// Who has given a field that we have written another value, for a person. Where the field is ours alone, nobody wrote
/// it after us: our own request was changed on its way in.
pub fn changer(metadata: &ObjectMeta, pointer: &str) -> String {
    match writer(metadata, pointer) {
        Some(name) => name,
        None if writers(metadata, pointer).next().is_some() => "an admission webhook".to_owned(),
        None => "somebody".to_owned(),
    }
}

fn writers<'a>(metadata: &'a ObjectMeta, pointer: &'a str) -> impl Iterator<Item = &'a str> {
    let entries = metadata.managed_fields.iter().flatten();
    let owners = entries.filter(move |it| {
        let fields = it.fields_v1.as_ref();
        fields.is_some_and(|it| it.0.pointer(pointer).is_some())
    });
    owners.filter_map(|it| it.manager.as_deref())
}

/// Whether a manager of that name wrote anything that still stands.
pub fn has_written(metadata: &ObjectMeta, name: &str) -> bool {
    let mut entries = metadata.managed_fields.iter().flatten();
    entries.any(|it| it.manager.as_deref() == Some(name))
}

/// The pointer to a label.
pub fn label(key: &str) -> String {
    // RFC 6901: a slash within a member's name is written so.
    format!("/f:metadata/f:labels/f:{}", key.replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn who_wrote_a_field() {
        let entry = |manager: &str, fields: Value| json!({"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields});
        let metadata: ObjectMeta = serde_json::from_value(json!({"managedFields": [
            entry("kubectl", json!({"f:spec": {"f:paused": {}}, "f:metadata": {"f:labels": {"f:example.com/team": {}}}})),
            entry(FIELD_MANAGER, json!({"f:spec": {"f:replicas": {}}})),
            entry("hpa", json!({"f:spec": {"f:replicas": {}}})),
            entry(FIELD_MANAGER, json!({"f:spec": {"f:template": {}}})),
        ]}))
        .unwrap();
        assert_eq!(
            writer(&metadata, "/f:spec/f:replicas").as_deref(),
            Some("hpa")
        );
        assert_eq!(
            writer(&metadata, "/f:spec/f:paused").as_deref(),
            Some("kubectl")
        );
        assert_eq!(writer(&metadata, "/f:spec/f:strategy"), None);
        assert_eq!(
            writer(&metadata, &label("example.com/team")).as_deref(),
            Some("kubectl")
        );
        assert_eq!(writer(&metadata, &label("team")), None);
        assert_eq!(changer(&metadata, "/f:spec/f:replicas"), "hpa");
        assert_eq!(
            changer(&metadata, "/f:spec/f:template"),
            "an admission webhook"
        );
        assert_eq!(changer(&metadata, "/f:spec/f:strategy"), "somebody");
        assert!(has_written(&metadata, "hpa"));
        assert!(!has_written(&metadata, "argocd-controller"));
    }
}
