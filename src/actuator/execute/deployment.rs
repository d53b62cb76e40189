//! What the actions on a deployment share: to read it, to describe it, and, in [`written`], to wait for what was
//! written to take effect.

pub mod written;

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::guarded;
use super::rollout::{self, Rollout};
use crate::actions::names::{Namespace, ObjectName};
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;
use crate::kube::objects::Deployment;

/// Where the deployment controller counts the templates of a deployment: what `kubectl rollout undo` goes back by.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Marks of tools that restore what they hold elsewhere: a change of ours may not last.
const MARKS: [(&str, &str); 5] = [
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("meta.helm.sh/release-name", "Helm"),
];

/// How long an observer waits for a rollout that is still under way.
const OBSERVED_WITHIN: Duration = Duration::from_secs(10);

/// One deployment, by its name.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// Its namespace.
    pub namespace: &'a Namespace,
    /// Its name.
    pub name: &'a ObjectName,
}

impl std::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "deployment {}/{}", self.namespace, self.name)
    }
}

impl Named<'_> {
    /// Its path at the API server.
    pub fn path(&self) -> String {
        format!(
            "/apis/apps/v1/namespaces/{}/deployments/{}",
            self.namespace, self.name
        )
    }

    /// Reads it. It must exist, and be the one with this `uid` if one is given.
    pub fn read(&self, context: &Context<'_>, uid: Option<&str>) -> Result<Deployment, Ended> {
        let Some(found) = context.get::<Deployment>(&self.path(), "deployments")? else {
            return Err(Ended::precondition(format!(
                "{self}: expected to exist, there is none"
            )));
        };
        match uid {
            Some(expected) if expected != self::uid(&found) => Err(Ended::precondition(format!(
                "{self}: expected the uid {expected}, it has {}",
                self::uid(&found)
            ))),
            _ => Ok(found),
        }
    }
}

/// The uid of a deployment.
pub fn uid(deployment: &Deployment) -> &str {
    deployment.metadata.uid.as_deref().unwrap_or_default()
}

/// The version of a deployment, for a guarded patch of it.
pub fn version(deployment: &Deployment) -> &str {
    deployment
        .metadata
        .resource_version
        .as_deref()
        .unwrap_or_default()
}

/// What a deployment looks like to `details`.
pub fn state(deployment: &Deployment) -> Value {
    let status = deployment.status.clone().unwrap_or_default();
    let annotations = deployment.metadata.annotations.as_ref();
    json!({
        "replicas": rollout::wanted(deployment),
        "updated_replicas": status.updated_replicas.unwrap_or_default(),
        "available_replicas": status.available_replicas.unwrap_or_default(),
        "present_replicas": status.replicas.unwrap_or_default(),
        "paused": rollout::is_paused(deployment),
        "revision": annotations.and_then(|it| it.get(REVISION)),
        "generation": deployment.metadata.generation,
        "observed_generation": status.observed_generation,
        "resource_version": version(deployment),
    })
}

/// Of a deployment that a tool keeps as it holds it elsewhere, which tool that is.
pub fn keeper(metadata: &ObjectMeta) -> Option<&'static str> {
    let has = |key: &str| {
        let mut maps = [&metadata.labels, &metadata.annotations]
            .into_iter()
            .flatten();
        maps.any(|it| it.contains_key(key))
    };
    MARKS
        .iter()
        .find(|(key, _)| has(key))
        .map(|(_, tool)| *tool)
}

/// The end of an action that finds what it wants, as `message` says; what the rollout waits for is told too.
pub fn noop(message: String, now: &Deployment) -> Ended {
    Ended::noop(match rollout::of(now, None) {
        Rollout::Complete => message,
        Rollout::Waiting(why) | Rollout::Stuck(why) => {
            format!("{message}; its rollout is not complete: {why}")
        }
    })
}

/// After a crash: whether the wanted state, which is asked for while `holds`, is there. A rollout under way gets a
/// moment to come to its end.
pub fn observe(
    named: Named<'_>,
    context: &Context<'_>,
    wish: &str,
    holds: impl Fn(&Deployment) -> bool,
) -> Result<Ended, Ended> {
    let mut last = None;
    let found = guarded::until(context, Instant::now() + OBSERVED_WITHIN, || {
        let now = named.read(context, None)?;
        let ended = if !holds(&now) {
            Some(Ended::interrupted(format!("{named} does not have {wish}")))
        } else if rollout::of(&now, None) == Rollout::Complete {
            Some(Ended::succeeded(format!("{named} has {wish}")))
        } else {
            None
        };
        last = Some(now);
        Ok(ended)
    });
    let ended = found.map_err(Ended::not_observed)?.unwrap_or_else(|| {
        let message = format!("{named} asks for {wish}, and its rollout has not come to its end");
        Ended::interrupted(message)
    });
    Ok(match &last {
        Some(now) => ended.with("uid", uid(now)).with("after", state(now)),
        None => ended,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn tools_that_restore_what_they_hold_are_known_by_their_marks() {
        let cases = [
            (json!({}), None),
            (json!({"labels": {"app": "web"}}), None),
            (
                json!({"labels": {"argocd.argoproj.io/instance": "shop"}}),
                Some("Argo CD"),
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}),
                Some("Argo CD"),
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}),
                Some("Flux"),
            ),
            (
                json!({"annotations": {"meta.helm.sh/release-name": "x"}}),
                Some("Helm"),
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(keeper(&metadata(value.clone())), expected, "{value}");
        }
    }
}
