use std::num::NonZeroU32;

use super::*;
use crate::actions::action::{Action, ActionKind};
use crate::actions::outcome::{Reason, Status};

fn params(value: Value) -> ScaleDeployment {
    let Value::Object(params) = value else {
        panic!("an object")
    };
    match Action::parse(ActionKind::ScaleDeployment, params) {
        Ok(Action::ScaleDeployment(it)) => it,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_needed() {
    let patch = |replicas: u32| {
        Ok(Some(
            json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": replicas}}),
        ))
    };
    let cases = [
        // replicas now, params, what is needed
        (json!(2), json!({"replicas": 5}), patch(5)),
        (
            json!(2),
            json!({"replicas": 0, "allow_zero": true}),
            patch(0),
        ),
        (
            json!(2),
            json!({"replicas": 5, "expected_replicas": 2}),
            patch(5),
        ),
        (
            Value::Null,
            json!({"replicas": 5, "expected_replicas": 1}),
            patch(5),
        ),
        (json!(5), json!({"replicas": 5}), Ok(None)),
        (
            json!(0),
            json!({"replicas": 0, "allow_zero": true}),
            Ok(None),
        ),
        // A repeat whose expectation its first time has outdated.
        (
            json!(5),
            json!({"replicas": 5, "expected_replicas": 2}),
            Ok(None),
        ),
        (
            json!(3),
            json!({"replicas": 5, "expected_replicas": 2}),
            Err(Some(Reason::PreconditionFailed)),
        ),
        (
            json!(0),
            json!({"replicas": 5, "expected_replicas": 2}),
            Err(Some(Reason::PreconditionFailed)),
        ),
    ];
    for (now, mut value, expected) in cases {
        let deployment = serde_json::from_value(json!({
            "metadata": {"name": "web", "resourceVersion": "7"},
            "spec": {"replicas": now, "selector": {}, "template": {}},
        }))
        .unwrap();
        value["namespace"] = "shop".into();
        value["name"] = "web".into();
        let it = params(value.clone());
        let policy = Policy::default();
        let need = Scale::of(&it, &policy, None)
            .need(&deployment)
            .map_err(|ended| ended.reason);
        assert_eq!(need, expected, "{now} {value}");
    }
}

#[test]
fn no_further_at_once_than_the_policy_allows() {
    let policy = Policy {
        max_replicas_change: NonZeroU32::new(3),
        ..Policy::default()
    };
    for (now, asked, is_allowed) in [
        (json!(2), 5, true),
        (json!(2), 6, false),
        (json!(9), 5, false),
        (Value::Null, 4, true),
        (Value::Null, 5, false),
        // There already, however far that was.
        (json!(50), 50, true),
    ] {
        let deployment = serde_json::from_value(json!({
            "metadata": {"name": "web", "resourceVersion": "7"},
            "spec": {"replicas": now, "selector": {}, "template": {}},
        }))
        .unwrap();
        let it = params(json!({"namespace": "shop", "name": "web", "replicas": asked}));
        let need = Scale::of(&it, &policy, None).need(&deployment);
        let reason = need.err().map(|ended| (ended.status, ended.reason));
        let denied = Some((Status::Rejected, Some(Reason::PolicyDenied)));
        assert_eq!(reason, denied.filter(|_| !is_allowed), "{now} to {asked}");
    }
}
