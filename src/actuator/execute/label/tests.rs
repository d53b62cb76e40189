use super::*;
use crate::actions::action::{Action, ActionKind};

fn params(value: Value) -> LabelResource {
    let Value::Object(params) = value else {
        panic!("an object")
    };
    match Action::parse(ActionKind::LabelResource, params) {
        Ok(Action::LabelResource(it)) => it,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_what_differs_is_written() {
    let object: Labelled = serde_json::from_value(json!({
        "metadata": {"resourceVersion": "7", "labels": {"same": "1", "other": "1", "gone": "1"}},
    }))
    .unwrap();
    let it = params(json!({"kind": "node", "name": "n", "labels": {
        "same": "1", "other": "2", "gone": null, "new": "", "never": null,
    }}));
    assert_eq!(
        patch(&object, &object.missing(&it.labels)),
        json!({"metadata": {"resourceVersion": "7", "labels": {"other": "2", "gone": null, "new": ""}}})
    );
    assert_eq!(
        object.state(&it.labels)["labels"],
        json!({"same": "1", "other": "1", "gone": "1", "new": null, "never": null})
    );
}

#[test]
fn every_kind_has_its_place() {
    let cases = [
        (json!({"kind": "node", "name": "n-1"}), "/api/v1/nodes/n-1"),
        (
            json!({"kind": "namespace", "name": "shop"}),
            "/api/v1/namespaces/shop",
        ),
        (
            json!({"kind": "pod", "namespace": "shop", "name": "web"}),
            "/api/v1/namespaces/shop/pods/web",
        ),
        (
            json!({"kind": "deployment", "namespace": "shop", "name": "web"}),
            "/apis/apps/v1/namespaces/shop/deployments/web",
        ),
    ];
    for (mut value, path) in cases {
        value["labels"] = json!({"a": "b"});
        assert_eq!(place(&params(value).object).0, path);
    }
}

#[test]
fn who_changes_a_label_again_is_named_and_who_keeps_the_object_too() {
    let object: Labelled = serde_json::from_value(json!({"metadata": {
        "labels": {"example.com/team": "b", "app.kubernetes.io/managed-by": "Helm"},
        "managedFields": [{
            "manager": "kubectl-label", "operation": "Update", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:example.com/team": {}}}},
        }],
    }}))
    .unwrap();
    let it = params(json!({"kind": "namespace", "name": "shop", "labels": {
        "example.com/gone": "1", "example.com/team": "a",
    }}));
    let label = Label {
        object: &it.object,
        labels: &it.labels,
        uid: None,
        checked: None,
    };
    let ended = label.undone(&object);
    assert_eq!(ended.status, Status::Failed);
    assert_eq!(ended.details["reverted_by"], "kubectl-label");
    let expected = ["Helm keeps this object: its next upgrade may restore its labels".to_owned()];
    assert_eq!(warnings(ObjectKind::Namespace, &object), expected);
    assert_eq!(warnings(ObjectKind::Pod, &object), [""; 0]);
}

#[test]
fn only_what_was_checked_is_written_to_a_pod() {
    let pod = |app: &str, controller: &str| -> Labelled {
        serde_json::from_value(json!({"metadata": {
            "resourceVersion": "7", "labels": {"app": app},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "other"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": controller, "controller": true},
            ],
        }}))
        .unwrap()
    };
    let it = params(
        json!({"kind": "pod", "namespace": "shop", "name": "web-1", "labels": {
            "app": "web", "tier": "gold",
        }}),
    );
    let before = pod("web", "u1");
    let changes = before.missing(&it.labels);
    let label = Label {
        object: &it.object,
        labels: &it.labels,
        uid: None,
        checked: Some(Checked {
            changes: &changes,
            controller: before.controller(),
        }),
    };
    let need = |pod: &Labelled| label.need(pod);
    let patch = need(&before).unwrap().unwrap();
    assert_eq!(patch["metadata"]["labels"], json!({"tier": "gold"}));
    // Somebody has taken it out of its controller's hands meanwhile, or another controller has it.
    for (pod, what) in [
        (pod("debug", "u1"), "label app"),
        (pod("web", "u2"), "controller"),
    ] {
        let ended = need(&pod).unwrap_err();
        assert_eq!(ended.reason, Some(Reason::PreconditionFailed));
        assert!(ended.message.contains(what), "{}", ended.message);
    }
}
