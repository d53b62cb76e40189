//! The local policy: what may happen in this cluster, whatever the backend signs. Nothing remote can widen it.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;

use super::action::{Action, ActionKind};
use super::image::ImageReference;
use super::image::repository::Registry;
use super::names::LabelKey;
use super::params::Labels;

/// The rules that the local configuration sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `DRY_RUN`: everything is checked, nothing is written.
    pub dry_run: bool,
    /// `ALLOWED_ACTIONS`.
    pub allowed_actions: BTreeSet<ActionKind>,
    /// `PROTECTED_NAMESPACES`: nothing in them is evicted, scaled, labelled or given another image. A drain
    /// evicts their pods all the same, as kubectl does: a node is not drained of some of its pods.
    pub protected_namespaces: BTreeSet<String>,
    /// `MIN_REPLICAS`: no deployment is scaled below.
    pub min_replicas: u32,
    /// `MAX_REPLICAS`: no deployment is scaled above.
    pub max_replicas: u32,
    /// `MAX_REPLICAS_CHANGE`: no deployment is scaled further at once, up or down; none for no bound.
    pub max_replicas_change: Option<NonZeroU32>,
    /// `ALLOWED_REGISTRIES`: what a container's image may be set to comes from there; none for no bound.
    pub allowed_registries: Option<BTreeSet<Registry>>,
    /// `REQUIRE_IMAGE_DIGEST`: what a container's image may be set to is pinned by its digest.
    pub require_image_digest: bool,
    /// `MAX_CONCURRENT_DRAINS`: further ones wait.
    pub max_concurrent_drains: NonZeroU32,
}

impl Default for Policy {
    /// What holds where nothing is configured.
    fn default() -> Self {
        Self {
            dry_run: false,
            allowed_actions: ActionKind::ALL.into(),
            protected_namespaces: ["kube-system".to_owned()].into(),
            min_replicas: 0,
            max_replicas: u32::MAX,
            max_replicas_change: None,
            allowed_registries: None,
            require_image_digest: false,
            max_concurrent_drains: NonZeroU32::MIN,
        }
    }
}

/// Whether an action may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Run,
    /// Its checks may run, and its plan is the result.
    DryRun,
    /// It may not.
    Deny(Denial),
}

/// The rule that forbids an action: the message of a result with the reason `policy_denied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// `ALLOWED_ACTIONS` does not hold it.
    ActionNotAllowed(ActionKind),
    /// `PROTECTED_NAMESPACES` holds the namespace.
    ProtectedNamespace(String),
    /// `MIN_REPLICAS` is higher.
    TooFewReplicas {
        /// What was asked for.
        asked: u32,
        /// The bound.
        min: u32,
    },
    /// `MAX_REPLICAS` is lower.
    TooManyReplicas {
        /// What was asked for.
        asked: u32,
        /// The bound.
        max: u32,
    },
    /// `MAX_REPLICAS_CHANGE` is less than the way from what the deployment has to what was asked for.
    TooFar {
        /// What it has.
        now: u32,
        /// What was asked for.
        asked: u32,
        /// The bound.
        max: NonZeroU32,
    },
    /// `ALLOWED_REGISTRIES` does not hold the image's repository.
    RegistryNotAllowed {
        /// Where the image would be pulled from.
        repository: String,
    },
    /// `REQUIRE_IMAGE_DIGEST` is set, and the image has none.
    NotPinned(ImageReference),
    /// The label belongs to Kubernetes or to the tools around it.
    ProtectedLabel(LabelKey),
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ActionNotAllowed(kind) => {
                write!(f, "ALLOWED_ACTIONS does not hold {}", kind.as_str())
            }
            Self::ProtectedNamespace(name) => write!(f, "PROTECTED_NAMESPACES holds {name}"),
            Self::TooFewReplicas { asked, min } => {
                write!(f, "{asked} replicas are below MIN_REPLICAS {min}")
            }
            Self::TooManyReplicas { asked, max } => {
                write!(f, "{asked} replicas are above MAX_REPLICAS {max}")
            }
            Self::TooFar { now, asked, max } => write!(
                f,
                "from {now} to {asked} replicas is further than MAX_REPLICAS_CHANGE {max} at once"
            ),
            Self::RegistryNotAllowed { repository } => {
                write!(f, "ALLOWED_REGISTRIES does not hold {repository}")
            }
            Self::NotPinned(image) => write!(
                f,
                "REQUIRE_IMAGE_DIGEST is set, and the image {image} has no digest (@sha256:...)"
            ),
            Self::ProtectedLabel(key) => write!(f, "the label {key} has a protected prefix"),
        }
    }
}

impl std::error::Error for Denial {}

impl Policy {
    /// Judges an action by what it asks for. `is_dry_run` is the envelope's own wish, or that of remote settings.
    pub fn decide(&self, action: &Action, is_dry_run: bool) -> Decision {
        match self.denial(action) {
            Some(denial) => Decision::Deny(denial),
            None if self.dry_run || is_dry_run => Decision::DryRun,
            None => Decision::Run,
        }
    }

    /// Judges what [`Policy::decide`] cannot know: how far a deployment that asks for `now` replicas would be scaled.
    pub fn check_way(&self, now: u32, asked: u32) -> Result<(), Denial> {
        match self.max_replicas_change {
            Some(max) if now.abs_diff(asked) > max.get() => Err(Denial::TooFar { now, asked, max }),
            _ => Ok(()),
        }
    }

    /// Whether one more drain may begin.
    pub fn may_drain(&self, running_drains: usize) -> bool {
        u32::try_from(running_drains).is_ok_and(|n| n < self.max_concurrent_drains.get())
    }

    fn denial(&self, action: &Action) -> Option<Denial> {
        let kind = action.kind();
        if !self.allowed_actions.contains(&kind) {
            return Some(Denial::ActionNotAllowed(kind));
        }
        if let Some(namespace) = action.target().touched_namespace()
            && self.protected_namespaces.contains(namespace)
        {
            return Some(Denial::ProtectedNamespace(namespace.to_owned()));
        }
        match action {
            Action::ScaleDeployment(it) if it.replicas < self.min_replicas => {
                Some(Denial::TooFewReplicas {
                    asked: it.replicas,
                    min: self.min_replicas,
                })
            }
            Action::ScaleDeployment(it) if it.replicas > self.max_replicas => {
                Some(Denial::TooManyReplicas {
                    asked: it.replicas,
                    max: self.max_replicas,
                })
            }
            Action::SetImage(it) => self.image_denial(&it.image),
            Action::LabelResource(it) => {
                let key = it.labels.keys().find(|key| is_protected_label(key))?;
                Some(Denial::ProtectedLabel(key.clone()))
            }
            _ => None,
        }
    }

    fn image_denial(&self, image: &ImageReference) -> Option<Denial> {
        let repository = image.repository();
        let allowed = self.allowed_registries.as_ref();
        if !allowed.is_none_or(|all| all.iter().any(|it| it.has(&repository))) {
            let repository = repository.to_string();
            return Some(Denial::RegistryNotAllowed { repository });
        }
        let is_loose = self.require_image_digest && !image.is_pinned();
        is_loose.then(|| Denial::NotPinned(image.clone()))
    }
}

/// Labels of Kubernetes, of its cluster tools and of the owners of objects: `kubernetes.io/`, `k8s.io/` and what
/// is below them, as `node-role.kubernetes.io/` or `app.kubernetes.io/`.
fn is_protected_label(key: &LabelKey) -> bool {
    let is_or_is_below = |prefix: &str, domain: &str| {
        prefix
            .strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    key.prefix().is_some_and(|prefix| {
        ["kubernetes.io", "k8s.io"]
            .into_iter()
            .any(|domain| is_or_is_below(prefix, domain))
    })
}

/// The first of `labels` that a selector uses: changing it would part a pod from its controller, or a deployment
/// from its pods. `selector_keys` are the label keys of the selectors that the object must go on matching.
pub fn selected_by<'a>(
    labels: &'a Labels,
    mut selector_keys: impl Iterator<Item = &'a str>,
) -> Option<&'a LabelKey> {
    let key = selector_keys.find_map(|key| labels.keys().find(|label| label.as_str() == key))?;
    Some(key)
}

/// The annotation that forbids to move a pod, if it has one. `annotation` looks up the value of one of the pod's
/// annotations.
///
/// Ours and Karpenter's count unless they are "false", the cluster autoscaler's if it is: whoever wrote another
/// value there wanted to be left alone.
pub fn do_not_disrupt<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Option<&'static str> {
    let is_false = |value: &str| value.trim().eq_ignore_ascii_case("false");
    for name in [
        "kubernetes-agent/do-not-disrupt",
        "karpenter.sh/do-not-disrupt",
    ] {
        if annotation(name).is_some_and(|value| !is_false(value)) {
            return Some(name);
        }
    }
    let name = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    annotation(name).is_some_and(is_false).then_some(name)
}

#[cfg(test)]
mod tests;
