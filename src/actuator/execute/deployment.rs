//! What the actions on a deployment share: to read it, to describe it, and, in [`written`], to wait for what was
//! written to take effect.

pub mod keeper;
pub mod managers;
pub mod trouble;
pub mod written;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::guarded;
use super::rollout::{self, Aim, Rollout};
use crate::actions::names::{Namespace, ObjectName};
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;
use crate::kube::objects::Deployment;

/// Where the deployment controller counts the templates of a deployment: what `kubectl rollout undo` goes back by.
const REVISION: &str = "deployment.kubernetes.io/revision";

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

    /// Reads it. It must exist and stay, and be the one with this `uid` if one is given.
    pub fn read(&self, context: &Context<'_>, uid: Option<&str>) -> Result<Deployment, Ended> {
        let Some(found) = context.get::<Deployment>(&self.path(), "deployments")? else {
            return Err(Ended::precondition(format!(
                "{self}: expected to exist, there is none"
            )));
        };
        // Its controller does nothing more for it.
        if found.metadata.deletion_timestamp.is_some() {
            return Err(Ended::precondition(format!(
                "{self}: expected to stay, it is being deleted"
            )));
        }
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

/// The end of an action that finds what it wants, as `message` says; what the rollout waits for is told too.
pub fn noop(message: String, now: &Deployment, aim: Aim) -> Ended {
    Ended::noop(match rollout::of(now, aim, None) {
        Rollout::Complete => message,
        Rollout::Waiting(why) | Rollout::Stuck(why) => {
            format!("{message}; its rollout is not complete: {why}")
        }
        Rollout::Paused(why) => format!("{message}; {}", paused(&why)),
    })
}

/// `ended` with what the sender should know beside it.
pub fn warned(ended: Ended, warnings: &[String]) -> Ended {
    match warnings {
        [] => ended,
        warnings => ended.with("warnings", warnings),
    }
}

/// What is to be said of a rollout that is paused before it is complete.
fn paused(awaited: &str) -> String {
    format!("it is paused: nothing is rolled out until it is resumed ({awaited})")
}

/// After a crash: whether the wanted state, which is asked for while `holds`, is there. A rollout under way gets a
/// moment to come to its end.
pub fn observe(
    named: Named<'_>,
    context: &Context<'_>,
    wish: &str,
    aim: Aim,
    holds: impl Fn(&Deployment) -> bool,
) -> Result<Ended, Ended> {
    let mut last = None;
    let found = guarded::until(context, Instant::now() + OBSERVED_WITHIN, || {
        let now = named.read(context, None)?;
        let ended = observed(
            named,
            wish,
            holds(&now).then(|| rollout::of(&now, aim, None)),
        );
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

/// What an observer makes of a rollout, of which there is none where the wanted state is not even asked for; `None`
/// where it is worth to look again.
fn observed(named: Named<'_>, wish: &str, rollout: Option<Rollout>) -> Option<Ended> {
    match rollout {
        None => Some(Ended::interrupted(format!("{named} does not have {wish}"))),
        Some(Rollout::Complete) => Some(Ended::succeeded(format!("{named} has {wish}"))),
        Some(Rollout::Paused(why)) => Some(Ended::interrupted(format!(
            "{named} asks for {wish}, but {}",
            paused(&why)
        ))),
        Some(Rollout::Waiting(_) | Rollout::Stuck(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::members::Text as _;
    use crate::actions::outcome::Status;

    #[test]
    fn what_was_asked_for_and_is_held_up_by_a_pause_is_not_done() {
        let (namespace, name) = (Namespace::parse("shop"), ObjectName::parse("web"));
        let named = Named {
            namespace: &namespace.unwrap(),
            name: &name.unwrap(),
        };
        let why = || "1 of 3 replicas have the present template".to_owned();
        for (rollout, expected) in [
            (None, Some(Status::Interrupted)),
            (Some(Rollout::Complete), Some(Status::Succeeded)),
            (Some(Rollout::Paused(why())), Some(Status::Interrupted)),
            (Some(Rollout::Waiting(why())), None),
            (Some(Rollout::Stuck(why())), None),
        ] {
            let ended = observed(named, "the image a:2", rollout.clone());
            assert_eq!(ended.map(|it| it.status), expected, "{rollout:?}");
        }
    }
}
