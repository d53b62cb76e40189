//! How many pods may be evicted a minute (`MAX_EVICTIONS_PER_MINUTE`).

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_mins(1);

/// Allows so many evictions in any 60 seconds, and as fast as they come until then.
///
/// A token bucket would allow up to twice as many in the minute after a rest; whoever sets a bound counts on it.
#[derive(Debug)]
pub struct EvictionLimiter {
    per_minute: Option<NonZeroU32>,
    /// When each eviction of the last 60 s was allowed, oldest first; never more than `per_minute`.
    recent: VecDeque<Instant>,
}

/// One allowed eviction, to be given back if it did not happen.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an eviction that does not happen is given back"]
pub struct Permit(Instant);

impl EvictionLimiter {
    /// `None`: no bound.
    pub fn new(per_minute: Option<NonZeroU32>) -> Self {
        Self {
            per_minute,
            recent: VecDeque::new(),
        }
    }

    /// Allows one eviction now, or says after which pause to ask again.
    pub fn take(&mut self, now: Instant) -> Result<Permit, Duration> {
        let Some(per_minute) = self.per_minute else {
            return Ok(Permit(now));
        };
        // Threads read the clock before they wait for each other: `now` may be a little behind.
        let now = self.recent.back().map_or(now, |last| now.max(*last));
        let is_over = |at: &Instant| now.duration_since(*at) >= WINDOW;
        while self.recent.front().is_some_and(is_over) {
            self.recent.pop_front();
        }
        match self.recent.front() {
            Some(oldest) if self.recent.len() >= per_minute.get() as usize => {
                Err(WINDOW.saturating_sub(now.duration_since(*oldest)))
            }
            _ => {
                self.recent.push_back(now);
                Ok(Permit(now))
            }
        }
    }

    /// Takes back what was not used: the API server refused the eviction, or it was a dry run.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is given back once")]
    pub fn give_back(&mut self, permit: Permit) {
        let Permit(at) = permit;
        if let Some(index) = self.recent.iter().position(|other| *other == at) {
            self.recent.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_minute: u32) -> EvictionLimiter {
        EvictionLimiter::new(NonZeroU32::new(per_minute))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_then_a_pause() {
        let start = Instant::now();
        let mut limiter = limiter(3);
        for at in [0, 0, 20] {
            assert!(limiter.take(start + seconds(at)).is_ok());
        }
        assert_eq!(limiter.take(start + seconds(30)), Err(seconds(30)));
        assert_eq!(limiter.take(start + seconds(59)), Err(seconds(1)));
        assert!(limiter.take(start + seconds(60)).is_ok());
        assert!(limiter.take(start + seconds(60)).is_ok());
        assert_eq!(limiter.take(start + seconds(60)), Err(seconds(20)));
    }

    #[test]
    fn never_more_in_any_minute() {
        let start = Instant::now();
        let mut limiter = limiter(7);
        let mut allowed = Vec::new();
        let mut now = start;
        for n in 0..1000_u64 {
            match limiter.take(now) {
                Ok(_) => allowed.push(now),
                // The pause it asks for is long enough, and not longer.
                Err(pause) => {
                    let too_soon = now + pause.saturating_sub(Duration::from_millis(1));
                    assert!(limiter.take(too_soon).is_err());
                    now += pause;
                    assert!(limiter.take(now).is_ok());
                    allowed.push(now);
                }
            }
            now += Duration::from_millis(n * 7919 % 10_000);
        }
        for window in allowed.windows(8) {
            assert!(window[7] - window[0] >= WINDOW);
        }
        assert!(limiter.recent.len() <= 7);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let now = Instant::now();
        let mut limiter = limiter(1);
        let permit = limiter.take(now).unwrap();
        assert!(limiter.take(now).is_err());
        limiter.give_back(permit);
        assert!(limiter.take(now).is_ok());
        assert!(limiter.take(now).is_err());
    }

    #[test]
    fn a_clock_read_earlier_does_no_harm() {
        let earlier = Instant::now();
        let now = earlier + seconds(1);
        let mut limiter = limiter(2);
        assert!(limiter.take(now).is_ok());
        let permit = limiter.take(earlier).unwrap();
        assert_eq!(limiter.take(now), Err(WINDOW));
        limiter.give_back(permit);
        assert!(limiter.take(now).is_ok());
    }

    #[test]
    fn no_bound() {
        let now = Instant::now();
        let mut limiter = EvictionLimiter::new(None);
        for _ in 0..10_000 {
            assert!(limiter.take(now).is_ok());
        }
        assert!(limiter.recent.is_empty());
    }
}
