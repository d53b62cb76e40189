//! When to connect again after a connection has ended (protocol, section 3). Pure: how long it was stable and what
//! was drawn are passed in.

use std::time::Duration;

use crate::thread::backoff::Backoff;

const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_mins(1);
/// As the calls over REST (protocol, section 2): never at once, whatever the backend asks for.
const FLOOR: Duration = Duration::from_millis(100);
/// A connection that was welcomed so long ago was a good one: its end is no failure after a failure.
const STABLE: Duration = Duration::from_mins(1);
/// What the agents of a backend that restarts are spread over.
const SPREAD: Duration = Duration::from_secs(5);
/// A key that is not accepted is shown again after this, unless it changes before.
const UNAUTHORIZED: Duration = Duration::from_mins(5);

/// How a connection, or the try to make one, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By us: it was old enough, or the agent stops.
    Done,
    /// The backend asked us to go and to come back after this.
    Goaway(Duration),
    /// The backend closed it with this code.
    Closed(u16),
    /// The upgrade was answered with this status, and a wish for a pause.
    Refused(u16, Option<Duration>),
    /// The peer broke the protocol, and we closed it with this code.
    Violated(u16),
    /// Nothing was heard for too long.
    Silent,
    /// Anything else: not reached, or broken.
    Broken,
}

impl End {
    /// True if the API key was not accepted.
    pub fn is_unauthorized(&self) -> bool {
        matches!(
            self,
            Self::Closed(4401 | 4403) | Self::Refused(401 | 403, _)
        )
    }

    /// For the metrics.
    pub fn label(&self) -> &'static str {
        match self {
            _ if self.is_unauthorized() => "unauthorized",
            Self::Done => "renewed",
            Self::Goaway(_) => "goaway",
            Self::Closed(_) => "closed",
            Self::Refused(..) => "refused",
            Self::Violated(_) => "violation",
            Self::Silent => "silent",
            Self::Broken => "broken",
        }
    }
}

/// The state over all connections.
#[derive(Debug)]
pub struct Schedule {
    backoff: Backoff,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(FIRST, MOST).with_floor(FLOOR),
        }
    }
}

impl Schedule {
    /// The pause after `end` of a connection that was good for `stable`. `fraction` is drawn from 0 to 1.
    pub fn after(&mut self, end: &End, stable: Duration, fraction: f64) -> Duration {
        if stable >= STABLE {
            self.backoff.reset();
        }
        match end {
            End::Done => Duration::ZERO,
            End::Goaway(asked) => *asked + SPREAD.mul_f64(fraction),
            End::Closed(1000 | 1001) => SPREAD.mul_f64(fraction),
            _ if end.is_unauthorized() => UNAUTHORIZED,
            // No time at all is no wish: kept, it would be a loop with hardly a pause.
            End::Refused(408 | 425 | 429 | 500.., Some(asked)) if !asked.is_zero() => {
                self.backoff.next_pause_at(fraction);
                (*asked).max(FLOOR)
            }
            _ => self.backoff.next_pause_at(fraction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::ZERO;
    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn each_end_has_its_pause() {
        for (end, least, most) in [
            (End::Done, 0, 0),
            (End::Goaway(S(7)), 7_000, 12_000),
            (End::Goaway(S(0)), 0, 5_000),
            (End::Closed(1000), 0, 5_000),
            (End::Closed(1001), 0, 5_000),
            (End::Closed(1011), 100, 1_000),
            (End::Closed(1006), 100, 1_000),
            (End::Closed(4400), 100, 1_000),
            (End::Closed(4401), 300_000, 300_000),
            (End::Closed(4403), 300_000, 300_000),
            (End::Refused(401, None), 300_000, 300_000),
            (End::Refused(403, Some(S(1))), 300_000, 300_000),
            (End::Refused(404, None), 100, 1_000),
            (End::Refused(404, Some(S(9))), 100, 1_000),
            (End::Refused(302, None), 100, 1_000),
            (End::Refused(429, None), 100, 1_000),
            (End::Refused(429, Some(S(30))), 30_000, 30_000),
            (End::Refused(503, Some(S(3600))), 3_600_000, 3_600_000),
            (End::Refused(503, Some(S(0))), 100, 1_000),
            (End::Violated(1009), 100, 1_000),
            (End::Silent, 100, 1_000),
            (End::Broken, 100, 1_000),
        ] {
            let pause = |fraction| Schedule::default().after(&end, NEVER, fraction).as_millis();
            assert_eq!((pause(0.0), pause(1.0)), (least, most), "{end:?}");
        }
    }

    #[test]
    fn failures_double_the_pause_and_a_minute_of_peace_resets_it() {
        let mut schedule = Schedule::default();
        let mut next = |end: &End, stable| schedule.after(end, stable, 1.0).as_secs();
        let pauses: Vec<_> = (0..8).map(|_| next(&End::Broken, NEVER)).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        // A connection of 59 s proves nothing, nor does an orderly end.
        assert_eq!(next(&End::Closed(1000), S(59)), 5);
        assert_eq!(next(&End::Broken, S(59)), 60);
        assert_eq!(next(&End::Broken, S(60)), 1);
        assert_eq!(next(&End::Refused(503, Some(S(10))), NEVER), 10);
        assert_eq!(next(&End::Broken, NEVER), 4);
    }
}
