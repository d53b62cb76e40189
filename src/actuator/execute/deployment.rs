//! What the actions on a deployment share: to read it, to describe it, and to wait for what was written to take
//! effect.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::guarded;
use super::rollout::{self, Rollout};
use crate::actions::names::{Namespace, ObjectName};
use crate::actions::outcome::{Reason, Status};
use crate::actuator::context::Context;
use crate::actuator::context::writes::FIELD_MANAGER;
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

/// Who last wrote a field, by the pointer to it in `managedFields`; none where that is not known or was us.
fn writer(metadata: &ObjectMeta, pointer: &str) -> Option<String> {
    let entries = metadata.managed_fields.iter().flatten();
    let owners = entries.filter(|it| {
        let fields = it.fields_v1.as_ref();
        fields.is_some_and(|it| it.0.pointer(pointer).is_some())
    });
    let names = owners.filter_map(|it| it.manager.as_deref());
    names
        .filter(|&it| it != FIELD_MANAGER)
        .map(str::to_owned)
        .next()
}

/// A change of a deployment that was written, and is now to take effect.
pub struct Written<'a> {
    /// Which.
    pub named: Named<'a>,
    /// As it was before the write.
    pub before: &'a Deployment,
    /// A sentence of what was written: "scaled deployment shop/web from 2 to 5".
    pub what: String,
    /// The same for `details`.
    pub change: Value,
    /// The pointer in `managedFields` to the field that was written.
    pub field: String,
}

impl Written<'_> {
    /// Waits until the change, which is there while `holds`, has taken effect: until the action's deadline.
    pub fn converge(
        &self,
        context: &Context<'_>,
        holds: impl Fn(&Deployment) -> bool,
    ) -> Result<Ended, Ended> {
        let before = rollout::stuck_since(self.before);
        let mut last: Option<(Deployment, Rollout)> = None;
        let found = guarded::until(context, context.deadline, || {
            let now = self.named.read(context, Some(uid(self.before)))?;
            if !holds(&now) {
                return Ok(Some(self.undone(&now)));
            }
            let rollout = rollout::of(&now, before.as_ref());
            let ended = match &rollout {
                Rollout::Complete => Some(Ended::succeeded(self.what.clone())),
                Rollout::Stuck(why) => Some(self.failed(
                    Some(Reason::TimedOut),
                    &format!("its rollout failed: {why}"),
                )),
                Rollout::Waiting(awaited) => {
                    if last.as_ref().is_none_or(|(_, it)| *it != rollout) {
                        progress(context, &now, awaited);
                    }
                    None
                }
            };
            let found = ended.map(|it| it.with("after", state(&now)));
            last = Some((now, rollout));
            Ok(found)
        });
        let seen = |ended: Ended| match &last {
            Some((now, _)) => ended.with("after", state(now)),
            None => ended,
        };
        let awaited = match &last {
            Some((_, Rollout::Waiting(awaited))) => awaited,
            _ => "its state was not seen",
        };
        match found {
            Ok(Some(ended)) => Ok(self.about(ended)),
            Ok(None) => {
                let message = format!(
                    "{}, but it has not come to its end in time: {awaited}",
                    self.what
                );
                let ended = Ended::new(Status::Partial, Some(Reason::TimedOut), message);
                Ok(self.about(seen(ended)))
            }
            Err(mut ended) => {
                ended.message = match ended.reason {
                    Some(Reason::Shutdown) => format!(
                        "{}; {} before it came to its end: {awaited}",
                        self.what, ended.message
                    ),
                    _ => format!("{}; then {}", self.what, ended.message),
                };
                Err(self.about(seen(ended.after_write())))
            }
        }
    }

    /// `ended` with what was written and what was there before.
    pub fn about(&self, ended: Ended) -> Ended {
        ended
            .with("uid", uid(self.before))
            .with("before", state(self.before))
            .with("written", self.change.clone())
    }

    fn undone(&self, now: &Deployment) -> Ended {
        let by = writer(&now.metadata, &self.field);
        let who = by.as_deref().unwrap_or("somebody");
        self.failed(None, &format!("{who} has changed it again"))
            .with("reverted_by", by)
            .with("after", state(now))
    }

    fn failed(&self, reason: Option<Reason>, why: &str) -> Ended {
        Ended::new(Status::Failed, reason, format!("{}, but {why}", self.what))
    }
}

fn progress(context: &Context<'_>, now: &Deployment, awaited: &str) {
    let count = |it: i32| u64::try_from(it).unwrap_or_default();
    let status = now.status.as_ref();
    let available = status
        .and_then(|it| it.available_replicas)
        .unwrap_or_default();
    context
        .record
        .progress(awaited, count(available), count(rollout::wanted(now)));
}

/// How long an observer waits for a rollout that is still under way.
const OBSERVED_WITHIN: Duration = Duration::from_secs(10);

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

    #[test]
    fn who_wrote_a_field() {
        let entry = |manager: &str, fields: Value| json!({"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields});
        let metadata = metadata(json!({"managedFields": [
            entry("kubectl", json!({"f:spec": {"f:paused": {}}})),
            entry(FIELD_MANAGER, json!({"f:spec": {"f:replicas": {}}})),
            entry("hpa", json!({"f:spec": {"f:replicas": {}}})),
        ]}));
        assert_eq!(
            writer(&metadata, "/f:spec/f:replicas").as_deref(),
            Some("hpa")
        );
        assert_eq!(
            writer(&metadata, "/f:spec/f:paused").as_deref(),
            Some("kubectl")
        );
        assert_eq!(writer(&metadata, "/f:spec/f:strategy"), None);
    }
}
