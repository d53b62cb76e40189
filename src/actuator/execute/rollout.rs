//! How far a deployment's rollout is: the predicate of `kubectl rollout status`, with the numbers compared to what
//! is wanted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::kube::objects::{Deployment, DeploymentCondition};

/// The reason of a deployment's Progressing condition when `progressDeadlineSeconds` are over.
const DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";

/// What a change is to bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Another number of pods, of whatever template: a paused deployment has it too.
    Replicas,
    /// Pods of the present template and no others.
    Template,
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// Every replica that is wanted has the present template and is available, and there are no others.
    Complete,
    /// What is waited for.
    Waiting(String),
    /// What is not done, and will not be before the deployment is resumed.
    Paused(String),
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

/// Why the pods that are missing cannot be made, such as a quota that is used up; none where they can.
pub fn failure(deployment: &Deployment) -> Option<String> {
    let status = deployment.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let found = conditions.find(|it| it.type_ == "ReplicaFailure" && it.status == "True")?;
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    Some(format!("{}: {}", text(&found.reason), text(&found.message)))
}

/// How far the rollout of `deployment` is, towards `aim`.
///
/// `stuck_before` is [`stuck_since`] as it was before the change that is rolled out: the controller leaves the verdict
/// on the last rollout standing until it has made the first step of the next one. A paused deployment changes its
/// number of replicas, but not their template.
pub fn of(deployment: &Deployment, aim: Aim, stuck_before: Option<&Time>) -> Rollout {
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
    let is_paused = is_paused(deployment);
    let is_rolling = aim == Aim::Template || !is_paused;
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
    if is_paused && aim == Aim::Template {
        return Rollout::Paused(awaited);
    }
    match stuck(deployment) {
        Some(it) if it.last_update_time.as_ref() != stuck_before => {
            let message = it.message.as_deref().unwrap_or_default();
            Rollout::Stuck(format!("{DEADLINE_EXCEEDED}: {message} ({awaited})"))
        }
        _ => Rollout::Waiting(awaited),
    }
}

#[cfg(test)]
mod tests;
