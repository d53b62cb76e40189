//! Whether the peer is alive, when to ping it, and when the connection is old or abused (protocol, section 3).
//! Pure: times and what was drawn are passed in.

use std::time::{Duration, Instant};

/// Between two pings, more or less up to a tenth.
const PING: Duration = Duration::from_secs(20);
/// Without any frame for so long, the peer is gone.
pub const SILENCE: Duration = Duration::from_mins(1);
/// A connection is renewed after this...
const RENEWAL: Duration = Duration::from_mins(30);
/// ...and up to this more, so that the agents of a restarted backend do not come all at once again.
const RENEWAL_SPREAD: Duration = Duration::from_mins(5);
/// How long the welcome may take.
pub const WELCOME: Duration = Duration::from_secs(10);

/// The clock of one connection.
#[derive(Debug)]
pub struct Liveness {
    heard: Instant,
    next_ping: Instant,
    renewal: Instant,
    welcome: Option<Instant>,
    flood: Flood,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A ping.
    Ping,
    /// The welcome did not come.
    NoWelcome,
    /// Nothing was heard for too long.
    Silent,
    /// The connection is old.
    Renewal,
}

impl Liveness {
    /// Of a connection whose upgrade is done.
    pub fn new(now: Instant, fraction: f64) -> Self {
        Self {
            heard: now,
            next_ping: now + PING.mul_f64(0.9 + 0.2 * fraction),
            renewal: now + RENEWAL + RENEWAL_SPREAD.mul_f64(fraction),
            welcome: Some(now + WELCOME),
            flood: Flood {
                began: now,
                count: 0,
                seconds: 0,
            },
        }
    }

    /// A frame came, of whatever kind.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The welcome came.
    pub fn welcomed(&mut self) {
        self.welcome = None;
    }

    /// A frame came that brings nothing: too many of them are an attack. True once they are.
    pub fn useless(&mut self, now: Instant) -> bool {
        self.flood.add(now)
    }

    /// What is due, the worst first; a ping counts as sent.
    pub fn due(&mut self, now: Instant, fraction: f64) -> Option<Due> {
        if now >= self.heard + SILENCE {
            return Some(Due::Silent);
        }
        if self.welcome.is_some_and(|it| now >= it) {
            return Some(Due::NoWelcome);
        }
        if now >= self.renewal {
            return Some(Due::Renewal);
        }
        if now >= self.next_ping {
            self.next_ping = now + PING.mul_f64(0.9 + 0.2 * fraction);
            return Some(Due::Ping);
        }
        None
    }

    /// When something is due at the latest.
    pub fn next(&self) -> Instant {
        let next = self.next_ping.min(self.heard + SILENCE).min(self.renewal);
        self.welcome.map_or(next, |it| it.min(next))
    }
}

/// More than 100 frames in each of ten seconds in a row.
#[derive(Debug)]
struct Flood {
    began: Instant,
    count: u32,
    seconds: u32,
}

impl Flood {
    const PER_SECOND: u32 = 100;
    const SECONDS: u32 = 10;

    fn add(&mut self, now: Instant) -> bool {
        let second = Duration::from_secs(1);
        let passed = now.saturating_duration_since(self.began);
        if passed >= second {
            let is_sustained = self.count > Self::PER_SECOND && passed < 2 * second;
            self.seconds = if is_sustained { self.seconds + 1 } else { 0 };
            self.began = now;
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.seconds >= Self::SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn welcomed(now: Instant, fraction: f64) -> Liveness {
        let mut liveness = Liveness::new(now, fraction);
        liveness.welcomed();
        liveness
    }

    #[test]
    fn pings_come_every_18_to_22_seconds() {
        let start = Instant::now();
        for (fraction, seconds) in [(0.0, 18), (0.5, 20), (1.0, 22)] {
            let mut liveness = welcomed(start, fraction);
            let mut at = start;
            for _ in 0..3 {
                assert_eq!(liveness.next(), at + S(seconds));
                assert_eq!(liveness.due(at + S(seconds - 1), fraction), None);
                at += S(seconds);
                assert_eq!(liveness.due(at, fraction), Some(Due::Ping));
                liveness.heard(at);
            }
        }
    }

    #[test]
    fn a_minute_of_silence_is_the_end() {
        let start = Instant::now();
        let mut liveness = welcomed(start, 0.0);
        let mut pings = 0;
        while liveness.due(liveness.next(), 0.0) == Some(Due::Ping) {
            pings += 1;
        }
        assert_eq!(pings, 3);
        assert_eq!(liveness.next(), start + SILENCE);
        assert_eq!(liveness.due(start + SILENCE, 0.0), Some(Due::Silent));
        liveness.heard(start + SILENCE);
        assert_eq!(liveness.due(start + SILENCE, 0.0), None);
    }

    #[test]
    fn the_welcome_may_take_ten_seconds() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, 0.0);
        assert_eq!(liveness.next(), start + WELCOME);
        assert_eq!(liveness.due(start + WELCOME, 0.0), Some(Due::NoWelcome));
        liveness.welcomed();
        assert_eq!(liveness.due(start + WELCOME, 0.0), None);
    }

    #[test]
    fn a_connection_is_renewed_after_30_to_35_minutes() {
        let start = Instant::now();
        for (fraction, minutes) in [(0.0, 30), (1.0, 35)] {
            let mut liveness = welcomed(start, fraction);
            let renewed = loop {
                let now = liveness.next();
                liveness.heard(now);
                if liveness.due(now, fraction) == Some(Due::Renewal) {
                    break now;
                }
            };
            assert_eq!(renewed, start + S(minutes * 60));
        }
    }

    #[test]
    fn a_flood_is_ten_seconds_of_over_a_hundred_frames() {
        let start = Instant::now();
        let flood_after = |per_second: u64, seconds: u64| {
            let mut liveness = welcomed(start, 0.0);
            let end = seconds * per_second;
            (0..end)
                .find(|n| liveness.useless(start + S(*n) / u32::try_from(per_second).unwrap()))
                .map(|n| n / per_second)
        };
        assert_eq!(flood_after(10_000, 30), Some(10));
        assert_eq!(flood_after(101, 30), Some(10));
        assert_eq!(flood_after(100, 30), None);
        // One quiet second in ten is no flood.
        let mut liveness = welcomed(start, 0.0);
        let is_flood = (0..60).filter(|it| it % 10 != 9).any(|second| {
            (0..1000).any(|n| liveness.useless(start + S(second) + Duration::from_micros(n)))
        });
        assert!(!is_flood);
    }
}
