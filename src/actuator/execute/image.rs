//! To be written.

use crate::actions::params::SetImage;
use crate::actuator::context::{Context, Ended};

/// Carries it out.
pub fn execute(_it: &SetImage, _context: &Context<'_>) -> Result<Ended, Ended> {
    Err(Ended::noop("to be written"))
}

/// Looks.
pub fn observe(_it: &SetImage, _context: &Context<'_>) -> Result<Ended, Ended> {
    Err(Ended::noop("to be written"))
}
