//! Carries out one action: one file or folder an action, what several share beside them.
//!
//! ```text
//!  cordon label scale image        one guarded write each (`guarded`), then a look
//!    node deployment                     what the actions on such an object share
//!  evict drain                     move pods: `mover` sends what `moves` decides and takes in what `sight` sees
//!    pods budgets selector eviction      what a pod, a budget and an answer are; no IO
//! ```

pub mod autoscaler;
pub mod budgets;
pub mod cordon;
pub mod deployment;
pub mod drain;
pub mod evict;
pub mod eviction;
pub mod guarded;
pub mod image;
pub mod label;
pub mod mover;
pub mod moves;
pub mod node;
pub mod ownership;
pub mod pod_labels;
pub mod pods;
pub mod rollout;
pub mod scale;
pub mod selector;
pub mod sight;

use super::context::Context;
use super::ended::Ended;
use crate::actions::action::Action;

/// Carries out `action` to its end.
pub fn execute(action: &Action, context: &Context<'_>) -> Ended {
    let ended = match action {
        Action::EvictPod(it) => evict::execute(it, context),
        Action::DrainNode(it) => drain::execute(it, context),
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
        Action::EvictPod(it) => evict::observe(it, context),
        Action::DrainNode(it) => drain::observe(it, context),
        Action::CordonNode(it) => cordon::observe_cordon(it, context),
        Action::UncordonNode(it) => cordon::observe_uncordon(it, context),
        Action::ScaleDeployment(it) => scale::observe(it, context),
        Action::SetImage(it) => image::observe(it, context),
        Action::LabelResource(it) => label::observe(it, context),
    };
    ended.unwrap_or_else(|ended| ended)
}
