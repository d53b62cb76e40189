//! Full-jitter exponential back-off: a pause drawn evenly from zero (or a floor) to a doubling ceiling.
//!
//! Full jitter spreads the clients of a server that came back more evenly than a jittered fraction does
//! ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

use std::time::Duration;

/// The state of one retried operation.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    floor: Duration,
    attempt: u32,
}

impl Backoff {
    /// Pauses of at most `first`, doubling to at most `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            floor: Duration::ZERO,
            attempt: 0,
        }
    }

    /// The same, but never shorter than `floor`.
    #[must_use]
    pub const fn with_floor(mut self, floor: Duration) -> Self {
        self.floor = floor;
        self
    }

    /// Counts one more failure and draws the pause after it.
    pub fn next_pause(&mut self) -> Duration {
        self.next_pause_at(random_fraction())
    }

    /// The same with what was drawn: for rules that are tested without luck.
    pub fn next_pause_at(&mut self, fraction: f64) -> Duration {
        let pause = self.pause(fraction);
        self.attempt = self.attempt.saturating_add(1);
        pause
    }

    /// The pause after the failures counted so far, for a `fraction` from 0 to 1.
    fn pause(&self, fraction: f64) -> Duration {
        let ceiling = self
            .first
            .saturating_mul(1 << self.attempt.min(20))
            .min(self.most);
        ceiling.mul_f64(fraction).max(self.floor)
    }

    /// The operation succeeded: the next failure pauses shortly again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// How many failures in a row were counted.
    pub fn failures(&self) -> u32 {
        self.attempt
    }
}

/// Evenly from 0 up to 1. Half where the system has no randomness to give, which is no reason to fail.
pub fn random_fraction() -> f64 {
    let drawn = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(drawn) / (f64::from(u32::MAX) + 1.0)
}

/// `period`, more or less up to `part` of it (0.1 is 10 %).
pub fn jittered(period: Duration, part: f64) -> Duration {
    period.mul_f64(1.0 - part + 2.0 * part * random_fraction())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_most() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        let ceilings: Vec<_> = (0..9)
            .map(|_| {
                let ceiling = backoff.pause(1.0).as_secs();
                backoff.next_pause();
                ceiling
            })
            .collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.pause(1.0).as_secs(), 1);
    }

    #[test]
    fn the_floor_holds_and_no_count_overflows() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1))
            .with_floor(Duration::from_millis(100));
        assert_eq!(backoff.pause(0.0), Duration::from_millis(100));
        backoff.attempt = u32::MAX;
        assert!(backoff.next_pause() <= Duration::from_mins(1));
    }

    #[test]
    fn jitter_stays_within_its_part() {
        for _ in 0..1000 {
            let period = jittered(Duration::from_secs(20), 0.1);
            assert!((18.0..=22.0).contains(&period.as_secs_f64()), "{period:?}");
        }
    }
}
