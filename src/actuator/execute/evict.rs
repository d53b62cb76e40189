//! Placeholder until its engineer lands it.
use super::super::context::{Context, Ended};
use crate::actions::params::EvictPod;
use serde_json::Value;
/// x
pub fn execute(_: &EvictPod, _: &Context<'_>) -> Result<Ended, Ended> { Err(Ended::precondition("not built")) }
/// x
pub fn observe(_: &EvictPod, _: &[Value], _: &Context<'_>) -> Result<Ended, Ended> { Err(Ended::precondition("not built")) }
