//! The replicas of a deployment, by its scale subresource: the smallest permission that will do. Where only the
//! deployment itself may be patched, that is done.

use std::cell::Cell;

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::autoscaler::{self, Autoscaler};
use super::deployment::keeper::Keeper;
use super::deployment::written::Written;
use super::deployment::{self, Named, state, uid, version};
use super::guarded::{self, Change, Guarded};
use super::rollout::{self, Aim};
use crate::actions::params::ScaleDeployment;
use crate::actions::policy::Policy;
use crate::actuator::context::Context;
use crate::actuator::context::writes::{PatchType, Writes};
use crate::actuator::ended::Ended;
use crate::kube;
use crate::kube::objects::Deployment;
use crate::kube::refusals::is_of_authorization;

/// Carries out `scale_deployment`.
pub fn execute(it: &ScaleDeployment, context: &Context<'_>) -> Result<Ended, Ended> {
    let scale = Scale::of(it, context.policy, None);
    let before = scale.read(context)?;
    let about = |ended: Ended, after: &Deployment| {
        ended
            .with("uid", uid(&before))
            .with("before", state(&before))
            .with("after", state(after))
    };
    let held =
        |message, now: &Deployment| about(deployment::noop(message, now, Aim::Replicas), now);
    let patch = scale.need(&before).map_err(|ended| about(ended, &before))?;
    let Some(patch) = patch else {
        return Ok(held(
            format!("{} had {} replicas already", scale.named, it.replicas),
            &before,
        ));
    };
    let warnings = scale
        .warnings(&before, context)
        .map_err(|ended| about(ended, &before))?;
    let warned = |ended: Ended| deployment::warned(ended, &warnings);
    if context.dry_run {
        let change = format!("from {} to {}", rollout::wanted(&before), it.replicas);
        let message = format!("{} would be scaled {change}", scale.named);
        let plan = json!({"patch": patch, "before": state(&before)});
        return Ok(warned(about(Ended::plan(message, plan), &before)));
    }
    // From here on only the deployment that was checked is meant, not another one that comes under its name.
    let scale = Scale::of(it, context.policy, Some(uid(&before)));
    let was = match guarded::change(&scale, context, &context.begin()?, before.clone()) {
        Ok(Change::Made(was)) => was,
        Ok(Change::Held(now)) => {
            let message = format!(
                "{} was scaled to {} at the same time",
                scale.named, it.replicas
            );
            return Ok(warned(held(message, &now)));
        }
        Err(ended) => {
            return Err(warned(
                ended
                    .with("uid", uid(&before))
                    .with("before", state(&before)),
            ));
        }
    };
    let written = Written {
        named: scale.named,
        before: &was,
        aim: Aim::Replicas,
        what: format!(
            "scaled {} from {} to {}",
            scale.named,
            rollout::wanted(&was),
            it.replicas
        ),
        change: json!({"replicas": it.replicas, "resource": scale.via.get()}),
        field: "/f:spec/f:replicas".to_owned(),
    };
    let ended = written.converge(context, |now| scale.holds(now));
    ended.map(warned).map_err(warned)
}

/// After a crash in the middle of `scale_deployment`.
pub fn observe(it: &ScaleDeployment, context: &Context<'_>) -> Result<Ended, Ended> {
    let scale = Scale::of(it, context.policy, None);
    deployment::observe(
        scale.named,
        context,
        &format!("{} replicas", it.replicas),
        Aim::Replicas,
        |now| scale.holds(now),
    )
}

/// One deployment whose number of replicas changes.
struct Scale<'a> {
    it: &'a ScaleDeployment,
    policy: &'a Policy,
    named: Named<'a>,
    uid: Option<&'a str>,
    /// The resource that was written.
    via: Cell<&'static str>,
}

impl<'a> Scale<'a> {
    fn of(it: &'a ScaleDeployment, policy: &'a Policy, uid: Option<&'a str>) -> Self {
        let named = Named {
            namespace: &it.namespace,
            name: &it.name,
        };
        Self {
            it,
            policy,
            named,
            uid,
            via: Cell::new(SCALE),
        }
    }

    fn holds(&self, deployment: &Deployment) -> bool {
        u32::try_from(rollout::wanted(deployment)) == Ok(self.it.replicas)
    }

    /// What the sender should know of a deployment that may be scaled, or why it may not.
    fn warnings(
        &self,
        deployment: &Deployment,
        context: &Context<'_>,
    ) -> Result<Vec<String>, Ended> {
        let mut warnings = Vec::new();
        let named = self.named;
        match (autoscaler::of(named, context)?, self.it.override_hpa) {
            (Autoscaler::None, _) => (),
            (Autoscaler::Found { name, details }, false) => {
                let message = format!(
                    "{named}: expected no autoscaler, {name} scales it (override_hpa scales it all the same)"
                );
                return Err(Ended::precondition(message).with("autoscaler", details));
            }
            (Autoscaler::Found { name, .. }, true) => {
                warnings.push(format!("the autoscaler {name} may set other replicas"));
            }
            (Autoscaler::Unknown, false) => {
                let message = format!(
                    "{named}: expected no autoscaler, whether it has one is not known: the agent may not list \
                     horizontalpodautoscalers of the group autoscaling (allow that, or send override_hpa)"
                );
                return Err(Ended::precondition(message));
            }
            (Autoscaler::Unknown, true) => {
                warnings.push(
                    "the agent may not list autoscalers: one may set other replicas".to_owned(),
                );
            }
        }
        let keeper = Keeper::of(&deployment.metadata);
        warnings.extend(keeper.map(|it| it.warning("replicas")));
        Ok(warnings)
    }
}

const SCALE: &str = "deployments/scale";
const DEPLOYMENT: &str = "deployments";

impl Guarded for Scale<'_> {
    type Object = Deployment;

    fn doing(&self) -> String {
        format!("to scale {}", self.named)
    }

    fn read(&self, context: &Context<'_>) -> Result<Deployment, Ended> {
        self.named.read(context, self.uid)
    }

    /// The same for the scale and for the deployment: a Scale has the version of its deployment.
    fn need(&self, deployment: &Deployment) -> Result<Option<Value>, Ended> {
        if self.holds(deployment) {
            return Ok(None);
        }
        let now = rollout::wanted(deployment);
        if let Some(expected) = self.it.expected_replicas
            && u32::try_from(now) != Ok(expected)
        {
            let message = format!("{}: expected {expected} replicas, it has {now}", self.named);
            return Err(Ended::precondition(message));
        }
        let way = self
            .policy
            .check_way(u32::try_from(now).unwrap_or_default(), self.it.replicas);
        way.map_err(|denial| Ended::denied(&denial))?;
        Ok(Some(json!({
            "metadata": {"resourceVersion": version(deployment)},
            "spec": {"replicas": self.it.replicas},
        })))
    }

    fn write(&self, writes: &Writes<'_>, patch: &Value) -> Result<(), kube::Error> {
        let path = self.named.path();
        let send = |path: &str, resource| {
            self.via.set(resource);
            writes
                .patch::<IgnoredAny>(path, resource, PatchType::Merge, patch)
                .map(drop)
        };
        match send(&format!("{path}/scale"), SCALE) {
            // What admission refuses, as a policy over the scale does, is refused.
            Err(refusal) if refusal.status().is_some_and(is_of_authorization) => {
                match send(&path, DEPLOYMENT) {
                    // The smaller permission is the one to ask for.
                    Err(err) if err.is_forbidden() => Err(refusal),
                    other => other,
                }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
