//! Placeholder until its engineer lands it.
use super::super::context::{Context, Ended};
use crate::actions::params::DrainNode;
use serde_json::Value;
/// x
pub fn execute(_: &DrainNode, _: &Context<'_>) -> Result<Ended, Ended> { Err(Ended::precondition("not built")) }
/// x
pub fn observe(_: &DrainNode, _: &[Value], _: &Context<'_>) -> Result<Ended, Ended> { Err(Ended::precondition("not built")) }
