//! To be written.

use crate::actions::params::LabelResource;
use crate::actuator::context::{Context, Ended};

/// Carries it out.
pub fn execute(_it: &LabelResource, _context: &Context<'_>) -> Result<Ended, Ended> {
    Err(Ended::noop("to be written"))
}

/// Looks.
pub fn observe(_it: &LabelResource, _context: &Context<'_>) -> Result<Ended, Ended> {
    Err(Ended::noop("to be written"))
}
