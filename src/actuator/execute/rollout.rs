//! How far a deployment's rollout is: the predicate of `kubectl rollout status`, with the numbers compared to what
//! is wanted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::kube::objects::{Deployment, DeploymentCondition};

/// The reason of a deployment's Progressing condition when `progressDeadlineSeconds` are over.
const DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// Every replica that is wanted has the present template and is available, and there are no others.
    Complete,
    /// What is waited for.
    Waiting(String),
    /// The deployment controller has given up; its reason and message.
    Stuck(String),
}

/// How many replicas a deployment asks for. The API server fills in 1.
pub fn wanted(deployment: &Deployment) -> i32 {
    let spec = deployment.spec.as_ref();
    spec.and_then(|it| it.replicas).unwrap_or(1)
}

/// Whether the deployment's template is not rolled out for now.
pub fn is_paused(deployment: &Deployment) -> bool {
    let spec = deployment.spec.as_ref();
    spec.and_then(|it| it.paused).unwrap_or_default()
}

/// Since when the controller has given up on the rollout; none if it has not.
pub fn stuck_since(deployment: &Deployment) -> Option<Time> {
    stuck(deployment)?.last_update_time.clone()
}

fn stuck(deployment: &Deployment) -> Option<&DeploymentCondition> {
    let status = deployment.status.as_ref();
    let conditions = status.and_then(|it| it.conditions.as_ref());
    conditions?.iter().find(|it| {
        it.type_ == "Progressing"
            && it.status == "False"
            && it.reason.as_deref() == Some(DEADLINE_EXCEEDED)
    })
}

/// How far the rollout of `deployment` is.
///
/// `stuck_before` is [`stuck_since`] as it was before the change that is rolled out: the controller leaves the verdict
/// on the last rollout standing until it has made the first step of the next one. A paused deployment changes its
/// number of replicas, but not their template.
pub fn of(deployment: &Deployment, stuck_before: Option<&Time>) -> Rollout {
    let status = deployment.status.clone().unwrap_or_default();
    let generation = deployment.metadata.generation.unwrap_or_default();
    if status.observed_generation.unwrap_or_default() < generation {
        return Rollout::Waiting(
            "the deployment controller has not seen the change yet".to_owned(),
        );
    }
    let wanted = wanted(deployment);
    let count = |it: Option<i32>| it.unwrap_or_default();
    let (replicas, updated, available) = (
        count(status.replicas),
        count(status.updated_replicas),
        count(status.available_replicas),
    );
    let is_rolling = !is_paused(deployment);
    let awaited = if is_rolling && updated < wanted {
        format!("{updated} of {wanted} replicas have the present template")
    } else if replicas > wanted || is_rolling && replicas > updated {
        let others = replicas
            - if is_rolling {
                updated.min(wanted)
            } else {
                wanted
            };
        format!("{others} replicas are still to end")
    } else if available < wanted {
        format!("{available} of {wanted} replicas are available")
    } else if replicas < wanted || available > wanted {
        format!("{replicas} of {wanted} replicas are counted, {available} of them available")
    } else {
        return Rollout::Complete;
    };
    match stuck(deployment) {
        Some(it) if it.last_update_time.as_ref() != stuck_before => {
            let message = it.message.as_deref().unwrap_or_default();
            Rollout::Stuck(format!("{DEADLINE_EXCEEDED}: {message} ({awaited})"))
        }
        _ => Rollout::Waiting(awaited),
    }
}

#[cfg(test)]
mod tests {
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
            let rollout = of(&deployment(spec.clone(), counted(counts)), None);
            let expected = match awaited {
                "" => Rollout::Complete,
                awaited => Rollout::Waiting(awaited.to_owned()),
            };
            assert_eq!(rollout, expected, "{spec} {counts:?}");
        }
    }

    #[test]
    fn numbers_of_an_earlier_generation_say_nothing() {
        for observed in [json!(3), Value::Null] {
            let mut status = counted([2, 2, 2]);
            status["observedGeneration"] = observed;
            let rollout = of(&deployment(json!({"replicas": 2}), status), None);
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
        let text = "ProgressDeadlineExceeded: it has timed out (1 of 2 replicas have the present template)";
        assert_eq!(of(&given_up, None), Rollout::Stuck(text.to_owned()));
        // The same verdict stood there before the change.
        assert!(matches!(of(&given_up, since.as_ref()), Rollout::Waiting(_)));
        // It has come to its end after all.
        assert_eq!(
            of(&with(condition.clone(), [2, 2, 2]), None),
            Rollout::Complete
        );
        let mut other = condition.clone();
        other["reason"] = "ReplicaSetCreateError".into();
        assert!(matches!(
            of(&with(other, [3, 1, 2]), None),
            Rollout::Waiting(_)
        ));
        let mut going = condition;
        going["status"] = "True".into();
        assert_eq!(stuck_since(&with(going, [3, 1, 2])), None);
    }
}
