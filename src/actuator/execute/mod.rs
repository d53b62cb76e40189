//! Carries out one action: one file an action, what several share beside them.

pub mod cordon;
pub mod drain;
pub mod evict;
pub mod guarded;
pub mod image;
pub mod label;
pub mod ownership;
pub mod scale;

use serde_json::Value;

use super::context::{Context, Ended};
use crate::actions::action::Action;

/// Carries out `action` to its end.
pub fn execute(action: &Action, context: &Context<'_>) -> Ended {
    let ended = match action {
        Action::EvictPod(it) => evict::execute(it, context),
        Action::CordonNode(it) => cordon::cordon(it, context),
        Action::UncordonNode(it) => cordon::uncordon(it, context),
        Action::DrainNode(it) => drain::execute(it, context),
        Action::ScaleDeployment(it) => scale::execute(it, context),
        Action::SetImage(it) => image::execute(it, context),
        Action::LabelResource(it) => label::execute(it, context),
    };
    ended.unwrap_or_else(|ended| ended)
}

/// After a crash in the middle of `action`: looks whether the wanted state holds, and writes nothing. `steps` are
/// those recorded before the crash. Succeeded where it holds, else interrupted with the steps done.
pub fn observe(action: &Action, steps: &[Value], context: &Context<'_>) -> Ended {
    let ended = match action {
        Action::EvictPod(it) => evict::observe(it, steps, context),
        Action::CordonNode(it) => cordon::observe_cordon(it, context),
        Action::UncordonNode(it) => cordon::observe_uncordon(it, context),
        Action::DrainNode(it) => drain::observe(it, steps, context),
        Action::ScaleDeployment(it) => scale::observe(it, context),
        Action::SetImage(it) => image::observe(it, context),
        Action::LabelResource(it) => label::observe(it, context),
    };
    ended.unwrap_or_else(|ended| ended)
}
