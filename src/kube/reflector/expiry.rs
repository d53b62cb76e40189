//! When everything is listed anew after a watch was refused as too old. Pure: the time and what was drawn are passed
//! in.
//!
//! One that had slept for too long is told so now and then, and lists at once. A server that tells it each watch, as
//! one does whose history is shorter than a list takes, would be asked for everything in a loop.

use std::time::{Duration, Instant};

use super::MAX_PAUSE;
use crate::thread::backoff::Backoff;

/// What comes again within this is the same trouble.
const AGAIN: Duration = Duration::from_mins(5);

/// The refusals of one watched collection.
pub(super) struct Expiry {
    last: Option<Instant>,
    backoff: Backoff,
}

impl Expiry {
    /// Never refused.
    pub(super) fn new() -> Self {
        Self {
            last: None,
            backoff: Backoff::new(Duration::from_secs(1), MAX_PAUSE)
                .with_floor(Duration::from_millis(100)),
        }
    }

    /// The watch was refused at `now`: how long to wait before the list, which for the first one is not at all.
    /// `fraction` is drawn from 0 to 1.
    pub(super) fn pause(&mut self, now: Instant, fraction: f64) -> Option<Duration> {
        let before = self.last.replace(now);
        if before.is_none_or(|it| now.saturating_duration_since(it) >= AGAIN) {
            self.backoff.reset();
            return None;
        }
        Some(self.backoff.next_pause_at(fraction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lists_at_once_and_repeated_ones_less_and_less_often() {
        let start = Instant::now();
        let mut expiry = Expiry::new();
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let pause = expiry.pause(now, 1.0);
            pauses.push(pause.map_or(0, |it| it.as_secs()));
            now += pause.unwrap_or_default();
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(expiry.pause(now, 0.0), Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_refusal_long_after_the_last_is_a_first_one() {
        let start = Instant::now();
        let mut expiry = Expiry::new();
        assert_eq!(expiry.pause(start, 1.0), None);
        assert_eq!(expiry.pause(start + AGAIN, 1.0), None);
        assert!(expiry.pause(start + AGAIN, 1.0).is_some());
        assert_eq!(expiry.pause(start + 2 * AGAIN, 1.0), None);
        let soon = expiry.pause(start + 2 * AGAIN, 1.0);
        assert_eq!(soon, Some(Duration::from_secs(1)), "it began anew");
    }
}
