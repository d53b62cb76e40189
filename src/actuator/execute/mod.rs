//! Carries out one action: one file an action, what several share beside them.
//!
//! The two that move pods, eviction and drain, are not built yet: no worker is started until they are.

pub mod autoscaler;
pub mod cordon;
pub mod deployment;
pub mod guarded;
pub mod image;
pub mod label;
pub mod ownership;
pub mod pod_labels;
pub mod rollout;
pub mod scale;

use super::context::{Context, Ended};
use crate::actions::action::Action;
use crate::actions::outcome::{Reason, Status};

/// Carries out `action` to its end.
pub fn execute(action: &Action, context: &Context<'_>) -> Ended {
    let ended = match action {
        Action::EvictPod(_) | Action::DrainNode(_) => Err(unsupported(action)),
        Action::CordonNode(it) => cordon::cordon(it, context),
        Action::UncordonNode(it) => cordon::uncordon(it, context),
        Action::ScaleDeployment(it) => scale::execute(it, context),
        Action::SetImage(it) => image::execute(it, context),
        Action::LabelResource(it) => label::execute(it, context),
    };
    ended.unwrap_or_else(|ended| ended)
}

/// After a crash in the middle of `action`: looks whether the wanted state holds, and writes nothing. Succeeded where
/// it holds, else interrupted.
pub fn observe(action: &Action, context: &Context<'_>) -> Ended {
    let ended = match action {
        Action::EvictPod(_) | Action::DrainNode(_) => Err(unsupported(action)),
        Action::CordonNode(it) => cordon::observe_cordon(it, context),
        Action::UncordonNode(it) => cordon::observe_uncordon(it, context),
        Action::ScaleDeployment(it) => scale::observe(it, context),
        Action::SetImage(it) => image::observe(it, context),
        Action::LabelResource(it) => label::observe(it, context),
    };
    ended.unwrap_or_else(|ended| ended)
}

fn unsupported(action: &Action) -> Ended {
    let message = format!(
        "{} is not supported by this version",
        action.kind().as_str()
    );
    Ended::new(Status::Rejected, Some(Reason::Unsupported), message)
}
