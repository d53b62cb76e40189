//! How one component is, and what is kept to tell it.

use std::time::{Duration, Instant};

use serde::Serialize;
use time::OffsetDateTime;

use crate::timestamp;

/// A component makes progress if it did within this many of its periods.
const PERIODS: u32 = 3;

/// What a component does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Works.
    Running,
    /// Works in part; the reason says what does not.
    Degraded,
    /// Failed, and starts again after a pause.
    Restarting,
    /// Ready to take over from another replica.
    Standby,
}

impl State {
    pub(super) const ALL: [Self; 4] = [
        Self::Running,
        Self::Degraded,
        Self::Restarting,
        Self::Standby,
    ];

    /// As /metrics names it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Restarting => "restarting",
            Self::Standby => "standby",
        }
    }
}

/// A component as the heartbeat and `/readyz` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What it does.
    pub state: State,
    /// Since when, RFC 3339.
    pub since: String,
    /// Why it is not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was restarted since the agent started.
    pub restarts: u64,
}

/// What is kept of a component.
pub(super) struct Record {
    pub(super) state: State,
    since: OffsetDateTime,
    reason: Option<String>,
    pub(super) restarts: u64,
    /// Progress is made at least so often.
    pub(super) period: Duration,
    pub(super) last_beat: Instant,
}

impl Record {
    /// One that begins with `state` now.
    pub(super) fn new(state: State, period: Duration, restarts: u64) -> Self {
        Self {
            state,
            since: OffsetDateTime::now_utc(),
            reason: None,
            restarts,
            period,
            last_beat: Instant::now(),
        }
    }

    /// No progress is due before `pause` is over, and then within its periods.
    pub(super) fn waits(&mut self, pause: Duration) {
        let now = Instant::now();
        self.last_beat = now.checked_add(pause).unwrap_or(now);
    }

    /// It is in `state` for `reason`; returns the state before.
    pub(super) fn turn(&mut self, state: State, reason: Option<&str>) -> State {
        if self.state != state {
            self.since = OffsetDateTime::now_utc();
        }
        if self.reason.as_deref() != reason {
            self.reason = reason.map(str::to_owned);
        }
        std::mem::replace(&mut self.state, state)
    }

    /// How long it made no progress, if that is too long.
    pub(super) fn stuck_for(&self) -> Option<Duration> {
        let silent = self.last_beat.elapsed();
        (silent > self.period.saturating_mul(PERIODS)).then_some(silent)
    }

    /// The report of it.
    pub(super) fn report(&self) -> Report {
        Report {
            state: self.state,
            since: timestamp::rfc3339_millis(self.since),
            reason: self.reason.clone(),
            restarts: self.restarts,
        }
    }
}
