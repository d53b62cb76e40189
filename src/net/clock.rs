//! How far another clock is from ours, by the Date header of its answers.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use crate::backend::retry::http_date;

/// While nothing was measured.
const UNKNOWN: i64 = i64::MIN;

/// A server's clock less ours, as last measured.
#[derive(Debug)]
pub struct ClockOffset(AtomicI64);

impl Default for ClockOffset {
    fn default() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }
}

impl ClockOffset {
    /// In milliseconds, if it is known.
    pub fn millis(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|it| *it != UNKNOWN)
    }

    /// Takes in the Date header of an answer to a request that began at `began`. Returns the offset, unless the header
    /// is no date.
    ///
    /// The header has whole seconds and was written somewhere during the call: half a second is added for the one,
    /// half the call taken off for the other.
    pub fn measure(&self, header: &str, began: Instant) -> Option<i64> {
        let date = http_date(header)?;
        let halfway = OffsetDateTime::now_utc() - began.elapsed() / 2;
        let offset = date + Duration::from_millis(500) - halfway;
        let millis = i64::try_from(offset.whole_milliseconds()).unwrap_or_default();
        self.0.store(millis, Ordering::Relaxed);
        Some(millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_has_a_positive_offset() {
        let clock = ClockOffset::default();
        assert_eq!(clock.measure("yesterday", Instant::now()), None);
        assert_eq!(clock.millis(), None);
        let ahead = OffsetDateTime::now_utc() + Duration::from_hours(1);
        let header = ahead
            .format(&time::format_description::well_known::Rfc2822)
            .unwrap();
        clock.measure(&header, Instant::now());
        let seconds = clock.millis().unwrap() / 1000;
        assert!((3598..=3602).contains(&seconds), "{seconds}");
    }
}
