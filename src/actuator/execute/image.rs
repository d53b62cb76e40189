//! The image of one container of a deployment.
//!
//! A strategic merge patch finds the container by its name, and would add one where there is none of that name: so
//! the name is looked for first, and the patch holds only for the version in which it was found.

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::deployment::keeper::Keeper;
use super::deployment::written::Written;
use super::deployment::{self, Named, state, uid, version};
use super::guarded::{self, Change, Guarded};
use super::rollout::{self, Aim};
use crate::actions::params::SetImage;
use crate::actuator::context::Context;
use crate::actuator::context::writes::{PatchType, Writes};
use crate::actuator::ended::Ended;
use crate::kube;
use crate::kube::objects::{Container, Deployment, PodSpec};

/// Carries out `set_image`.
pub fn execute(it: &SetImage, context: &Context<'_>) -> Result<Ended, Ended> {
    let image = Image::of(it, None);
    let before = image.read(context)?;
    let about = |ended: Ended, after: &Deployment| {
        ended
            .with("uid", uid(&before))
            .with("before", image.state(&before))
            .with("after", image.state(after))
    };
    let held =
        |message, now: &Deployment| about(deployment::noop(message, now, Aim::Template), now);
    let patch = image.need(&before).map_err(|ended| about(ended, &before))?;
    let Some(patch) = patch else {
        return Ok(held(
            format!("{image} had the image {} already", it.image),
            &before,
        ));
    };
    let warnings = image.warnings(&before);
    let warned = |ended: Ended| deployment::warned(ended, &warnings);
    if context.dry_run {
        let message = format!("{image} would be given the image {}", it.image);
        let plan = json!({"patch": patch, "before": image.state(&before)});
        return Ok(warned(about(Ended::plan(message, plan), &before)));
    }
    // From here on only the deployment that was checked is meant, not another one that comes under its name.
    let guarded = Image::of(it, Some(uid(&before)));
    let was = match guarded::change(&guarded, context, &context.begin()?, before.clone()) {
        Ok(Change::Made(was)) => was,
        Ok(Change::Held(now)) => {
            let message = format!("{image} was given the image {} at the same time", it.image);
            return Ok(warned(held(message, &now)));
        }
        Err(ended) => {
            let ended = ended
                .with("uid", uid(&before))
                .with("before", image.state(&before));
            return Err(warned(ended));
        }
    };
    let previous = image.current(&was).unwrap_or_default();
    let written = Written {
        named: image.named,
        before: &was,
        aim: Aim::Template,
        what: format!(
            "changed the image of {image} from {previous} to {}",
            it.image
        ),
        change: json!({"container": it.container, "image": it.image, "previous_image": previous}),
        field: format!(
            "/f:spec/f:template/f:spec/f:containers/k:{{\"name\":\"{}\"}}/f:image",
            it.container
        ),
    };
    let ended = written.converge(context, |now| image.holds(now));
    ended.map(warned).map_err(warned)
}

/// After a crash in the middle of `set_image`.
pub fn observe(it: &SetImage, context: &Context<'_>) -> Result<Ended, Ended> {
    let image = Image::of(it, None);
    let wish = format!("the image {} in container {}", it.image, it.container);
    deployment::observe(image.named, context, &wish, Aim::Template, |now| {
        image.holds(now)
    })
}

/// One container whose image changes.
struct Image<'a> {
    it: &'a SetImage,
    named: Named<'a>,
    uid: Option<&'a str>,
}

impl std::fmt::Display for Image<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "container {} of {}", self.it.container, self.named)
    }
}

impl<'a> Image<'a> {
    fn of(it: &'a SetImage, uid: Option<&'a str>) -> Self {
        let named = Named {
            namespace: &it.namespace,
            name: &it.name,
        };
        Self { it, named, uid }
    }

    /// The image that the container has; none if there is no such container.
    fn current<'d>(&self, deployment: &'d Deployment) -> Option<&'d str> {
        let containers = pod(deployment).map_or(&[][..], |it| &it.containers);
        let found = containers
            .iter()
            .find(|c| c.name == self.it.container.as_str())?;
        Some(found.image.as_deref().unwrap_or_default())
    }

    /// Whether what was written is there: also with the digest that an admission webhook has looked up for its tag, as
    /// those do that verify signatures.
    fn holds(&self, deployment: &Deployment) -> bool {
        let Some(current) = self.current(deployment) else {
            return false;
        };
        let rest = current.strip_prefix(self.it.image.as_str());
        rest.is_some_and(|it| it.is_empty() || it.starts_with('@'))
    }

    fn state(&self, deployment: &Deployment) -> Value {
        let mut state = state(deployment);
        state["image"] = json!(self.current(deployment));
        state
    }

    /// What the sender should know of a deployment whose image may be set.
    fn warnings(&self, deployment: &Deployment) -> Vec<String> {
        let mut warnings = Vec::new();
        if rollout::is_paused(deployment) {
            warnings.push(format!(
                "{} is paused: nothing is rolled out until it is resumed",
                self.named
            ));
        }
        let keeper = Keeper::of(&deployment.metadata);
        warnings.extend(keeper.map(|it| it.warning("image")));
        warnings
    }

    fn no_such_container(&self, deployment: &Deployment) -> Ended {
        let names = |containers: &[Container]| {
            let names: Vec<_> = containers.iter().map(|it| it.name.as_str()).collect();
            names.join(", ")
        };
        let pod = pod(deployment);
        let init = pod
            .and_then(|it| it.init_containers.as_deref())
            .unwrap_or_default();
        let wanted = self.it.container.as_str();
        let got = if init.iter().any(|it| it.name == wanted) {
            "that is an init container, whose image is not set".to_owned()
        } else {
            format!("it has {}", names(pod.map_or(&[][..], |it| &it.containers)))
        };
        Ended::precondition(format!(
            "{}: expected a container {wanted}, {got}",
            self.named
        ))
    }
}

fn pod(deployment: &Deployment) -> Option<&PodSpec> {
    deployment.spec.as_ref()?.template.spec.as_ref()
}

impl Guarded for Image<'_> {
    type Object = Deployment;

    fn doing(&self) -> String {
        format!("to set the image of {self}")
    }

    fn read(&self, context: &Context<'_>) -> Result<Deployment, Ended> {
        self.named.read(context, self.uid)
    }

    fn need(&self, deployment: &Deployment) -> Result<Option<Value>, Ended> {
        let Some(current) = self.current(deployment) else {
            return Err(self.no_such_container(deployment));
        };
        if current == self.it.image.as_str() {
            return Ok(None);
        }
        if let Some(expected) = &self.it.expected_image
            && current != expected.as_str()
        {
            // A webhook has added its digest to what was written when the answer was lost.
            if self.holds(deployment) {
                return Ok(None);
            }
            let message = format!("{self}: expected the image {expected}, it has {current}");
            return Err(Ended::precondition(message));
        }
        let container = json!({"name": self.it.container, "image": self.it.image});
        Ok(Some(json!({
            "metadata": {"resourceVersion": version(deployment)},
            "spec": {"template": {"spec": {"containers": [container]}}},
        })))
    }

    fn write(&self, writes: &Writes<'_>, patch: &Value) -> Result<(), kube::Error> {
        writes
            .patch::<IgnoredAny>(
                &self.named.path(),
                "deployments",
                PatchType::Strategic,
                patch,
            )
            .map(drop)
    }
}

#[cfg(test)]
mod tests;
