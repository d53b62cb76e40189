use super::*;
use crate::actions::action::{Action, ActionKind};
use crate::actions::outcome::Reason;

fn params(value: Value) -> SetImage {
    let Value::Object(params) = value else {
        panic!("an object")
    };
    match Action::parse(ActionKind::SetImage, params) {
        Ok(Action::SetImage(it)) => it,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_digest_that_admission_adds_is_no_other_image() {
    let digest = format!("@sha256:{}", "0123456789abcdef".repeat(4));
    let pinned = |image: &str| format!("{image}{digest}");
    for (asked, now, holds) in [
        ("app:2".to_owned(), "app:2".to_owned(), true),
        ("app:2".to_owned(), pinned("app:2"), true),
        ("app:2".to_owned(), pinned("app:1"), false),
        ("app:2".to_owned(), "app:20".to_owned(), false),
        ("app".to_owned(), "app:2".to_owned(), false),
        (pinned("app:2"), "app:2".to_owned(), false),
        (pinned("app:2"), pinned("app:2"), true),
    ] {
        let deployment = serde_json::from_value(json!({
            "metadata": {"name": "web", "resourceVersion": "7"},
            "spec": {"selector": {}, "template": {"spec": {
                "containers": [{"name": "app", "image": now}],
            }}},
        }))
        .unwrap();
        let it =
            params(json!({"namespace": "shop", "name": "web", "container": "app", "image": asked}));
        let image = Image::of(&it, None);
        assert_eq!(image.holds(&deployment), holds, "{asked} {now}");
        // A tag may have moved since its digest was looked up.
        let is_needed = image.need(&deployment).is_ok_and(|it| it.is_some());
        assert_eq!(is_needed, asked != now, "{asked} {now}");
    }
}

#[test]
fn what_is_needed() {
    let deployment = serde_json::from_value(json!({
        "metadata": {"name": "web", "resourceVersion": "7"},
        "spec": {"selector": {}, "template": {"spec": {
            "initContainers": [{"name": "setup", "image": "setup:1"}],
            "containers": [{"name": "app", "image": "app:1"}, {"name": "log", "image": "log:1"}, {"name": "pinned", "image": "pin:1@sha256:0"}],
        }}},
    }))
    .unwrap();
    let failed = Err(Some(Reason::PreconditionFailed));
    let cases = [
        (
            json!({"container": "app", "image": "app:2"}),
            Ok(Some(json!([{"name": "app", "image": "app:2"}]))),
        ),
        (
            json!({"container": "log", "image": "log:2", "expected_image": "log:1"}),
            Ok(Some(json!([{"name": "log", "image": "log:2"}]))),
        ),
        (json!({"container": "app", "image": "app:1"}), Ok(None)),
        // Written before, and given its digest by a webhook.
        (
            json!({"container": "pinned", "image": "pin:1", "expected_image": "pin:0"}),
            Ok(None),
        ),
        (
            json!({"container": "app", "image": "app:1", "expected_image": "app:0"}),
            Ok(None),
        ),
        (
            json!({"container": "app", "image": "app:2", "expected_image": "app:0"}),
            failed.clone(),
        ),
        (
            json!({"container": "other", "image": "app:2"}),
            failed.clone(),
        ),
        (json!({"container": "setup", "image": "setup:2"}), failed),
    ];
    for (mut value, expected) in cases {
        value["namespace"] = "shop".into();
        value["name"] = "web".into();
        let it = params(value.clone());
        let need = Image::of(&it, None).need(&deployment);
        if let Ok(Some(patch)) = &need {
            assert_eq!(patch["metadata"], json!({"resourceVersion": "7"}));
        }
        let need = need.map_err(|ended| ended.reason);
        let containers =
            need.map(|it| it.map(|it| it["spec"]["template"]["spec"]["containers"].clone()));
        assert_eq!(containers, expected, "{value}");
    }
}
