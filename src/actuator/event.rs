//! The Kubernetes Event that every action leaves on its object.

use crate::actions::action::Action;
use crate::actions::id::EnvelopeId;
use crate::actions::outcome::Outcome;
use crate::kube::Client;

/// Leaves an event on the object of `action` that says how it ended.
pub fn record(_kube: &Client, _action: &Action, _id: &EnvelopeId, _outcome: &Outcome) {}
