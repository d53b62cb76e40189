use serde_json::{Value, json};

use super::*;

fn deployment(spec: Value, status: Value) -> Deployment {
    let value = json!({
        "metadata": {"name": "web", "generation": 4},
        "spec": {"selector": {}, "template": {}}, "status": {"observedGeneration": 4},
    });
    let mut value = value;
    for (member, part) in [("spec", spec), ("status", status)] {
        for (key, it) in part.as_object().unwrap() {
            value[member][key] = it.clone();
        }
    }
    serde_json::from_value(value).unwrap()
}

/// replicas, updatedReplicas, availableReplicas; zeros are left out, as the real server does.
fn counted(counts: [i32; 3]) -> Value {
    let names = ["replicas", "updatedReplicas", "availableReplicas"];
    let members = names.into_iter().zip(counts).filter(|(_, n)| *n > 0);
    members
        .map(|(name, n)| (name.to_owned(), json!(n)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn complete_is_what_is_wanted_and_nothing_else() {
    let cases = [
        (json!({"replicas": 3}), [3, 3, 3], ""),
        (json!({}), [1, 1, 1], ""),
        (json!({"replicas": 0}), [0, 0, 0], ""),
        (
            json!({"replicas": 3}),
            [3, 3, 2],
            "2 of 3 replicas are available",
        ),
        (
            json!({"replicas": 3}),
            [0, 0, 0],
            "0 of 3 replicas have the present template",
        ),
        (
            json!({"replicas": 3}),
            [4, 1, 3],
            "1 of 3 replicas have the present template",
        ),
        (
            json!({"replicas": 3}),
            [5, 3, 5],
            "2 replicas are still to end",
        ),
        (
            json!({"replicas": 3}),
            [5, 5, 5],
            "2 replicas are still to end",
        ),
        (
            json!({"replicas": 0}),
            [2, 2, 2],
            "2 replicas are still to end",
        ),
        // Paused amid a rollout: the old template stays, and the numbers count all the same.
        (json!({"replicas": 3, "paused": true}), [3, 0, 3], ""),
        (
            json!({"replicas": 3, "paused": true}),
            [3, 1, 2],
            "2 of 3 replicas are available",
        ),
        (
            json!({"replicas": 3, "paused": true}),
            [4, 1, 4],
            "1 replicas are still to end",
        ),
    ];
    for (spec, counts, awaited) in cases {
        let rollout = of(
            &deployment(spec.clone(), counted(counts)),
            Aim::Replicas,
            None,
        );
        let expected = match awaited {
            "" => Rollout::Complete,
            awaited => Rollout::Waiting(awaited.to_owned()),
        };
        assert_eq!(rollout, expected, "{spec} {counts:?}");
    }
}

#[test]
fn a_pause_holds_a_template_up_and_replicas_not() {
    // replicas, updated, available: what each aim says of them, of 3 that are wanted.
    let waiting = |text: &str| Rollout::Waiting(text.to_owned());
    let paused = |text: &str| Rollout::Paused(text.to_owned());
    let cases = [
        ([3, 3, 3], Rollout::Complete, Rollout::Complete),
        (
            [3, 1, 3],
            Rollout::Complete,
            paused("1 of 3 replicas have the present template"),
        ),
        (
            [3, 0, 3],
            Rollout::Complete,
            paused("0 of 3 replicas have the present template"),
        ),
        (
            [4, 3, 3],
            waiting("1 replicas are still to end"),
            paused("1 replicas are still to end"),
        ),
    ];
    for (counts, replicas, template) in cases {
        let it = deployment(json!({"replicas": 3, "paused": true}), counted(counts));
        assert_eq!(of(&it, Aim::Replicas, None), replicas, "{counts:?}");
        assert_eq!(of(&it, Aim::Template, None), template, "{counts:?}");
    }
    // Not before the controller has seen the change: what it says is about the state before.
    let mut status = counted([3, 1, 3]);
    status["observedGeneration"] = 3.into();
    let it = deployment(json!({"replicas": 3, "paused": true}), status);
    let rollout = of(&it, Aim::Template, None);
    assert!(matches!(rollout, Rollout::Waiting(_)), "{rollout:?}");
}

#[test]
fn pods_that_cannot_be_made_are_explained() {
    let with = |status: &str| {
        let condition = json!({
            "type": "ReplicaFailure", "status": status, "reason": "FailedCreate",
            "message": "pods \"web-1\" is forbidden: exceeded quota: pods",
        });
        let conditions = json!([{"type": "Available", "status": "True"}, condition]);
        failure(&deployment(json!({}), json!({"conditions": conditions})))
    };
    let expected = "FailedCreate: pods \"web-1\" is forbidden: exceeded quota: pods";
    assert_eq!(with("True").as_deref(), Some(expected));
    assert_eq!(with("False"), None);
    assert_eq!(failure(&deployment(json!({}), json!({}))), None);
}

#[test]
fn numbers_of_an_earlier_generation_say_nothing() {
    for observed in [json!(3), Value::Null] {
        let mut status = counted([2, 2, 2]);
        status["observedGeneration"] = observed;
        let rollout = of(
            &deployment(json!({"replicas": 2}), status),
            Aim::Replicas,
            None,
        );
        assert!(matches!(rollout, Rollout::Waiting(_)), "{rollout:?}");
    }
}

#[test]
fn a_controller_that_has_given_up_is_believed_if_it_means_this_rollout() {
    let with = |condition: Value, counts| {
        let mut status = counted(counts);
        status["conditions"] = json!([{"type": "Available", "status": "True"}, condition]);
        deployment(json!({"replicas": 2}), status)
    };
    let condition = json!({
        "type": "Progressing", "status": "False", "reason": DEADLINE_EXCEEDED,
        "message": "it has timed out", "lastUpdateTime": "2026-01-01T00:00:00Z",
    });
    let given_up = with(condition.clone(), [3, 1, 2]);
    let since = stuck_since(&given_up);
    assert!(since.is_some());
    let text =
        "ProgressDeadlineExceeded: it has timed out (1 of 2 replicas have the present template)";
    assert_eq!(
        of(&given_up, Aim::Template, None),
        Rollout::Stuck(text.to_owned())
    );
    // The same verdict stood there before the change.
    assert!(matches!(
        of(&given_up, Aim::Template, since.as_ref()),
        Rollout::Waiting(_)
    ));
    // It has come to its end after all.
    assert_eq!(
        of(&with(condition.clone(), [2, 2, 2]), Aim::Template, None),
        Rollout::Complete
    );
    let mut other = condition.clone();
    other["reason"] = "ReplicaSetCreateError".into();
    assert!(matches!(
        of(&with(other, [3, 1, 2]), Aim::Template, None),
        Rollout::Waiting(_)
    ));
    let mut going = condition;
    going["status"] = "True".into();
    assert_eq!(stuck_since(&with(going, [3, 1, 2])), None);
}
