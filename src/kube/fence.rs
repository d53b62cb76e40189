//! Whether a write may be sent to the API server at this moment.
//!
//! A [`super::Client`] that was given no fence sends no write at all, so that whoever wants to write has to say who
//! answers for it.

use std::time::Duration;

/// Answers for the writes of one client. Asked before each of them is sent, the repeated ones included.
pub trait Fence: Send + Sync {
    /// How long a write that is sent now may take at most, or `None` where none may be sent.
    fn admits(&self) -> Option<Duration>;
}

/// Answers for writes that need no leadership, such as those that win it.
pub struct Open;

impl Fence for Open {
    fn admits(&self) -> Option<Duration> {
        Some(Duration::MAX)
    }
}
