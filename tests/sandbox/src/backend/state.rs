//! The backend without its listener: what it holds, and how it is waited for.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::actions::Actions;
use super::agents::Agents;
use super::clock::Clock;
use super::envelope::Key;
use super::faults::Faults;
use super::journal::Journal;
use super::metrics::Metrics;
use super::settings::AllSettings;
use super::websocket::Channel;
use super::{Error, Options};

/// What the backend holds. A [`Backend`](super::Backend) is one that listens.
#[derive(Debug)]
pub struct Core {
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    pub(super) metrics_in_flight: AtomicUsize,
    pub(super) channel: Channel,
    pub(super) keys: Mutex<Keys>,
    state: Mutex<State>,
    changes: Mutex<u64>,
    changed: Condvar,
    pub(super) next_id: AtomicU64,
}

/// What is taken from agents, and what envelopes are signed with.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) api: Vec<String>,
    pub(super) signing: Vec<Key>,
}

/// All that agents change.
#[derive(Debug)]
pub(super) struct State {
    pub(super) agents: Agents,
    pub(super) metrics: Metrics,
    pub(super) actions: Actions,
    pub(super) settings: AllSettings,
    /// Put into every list as they are, to see what the agent makes of them: an id of ours, then the element.
    pub(super) offers: Vec<(u64, Value)>,
    /// Said in every list that is not empty.
    pub(super) next_poll_seconds: Option<u64>,
}

impl Core {
    pub(super) fn new(options: Options) -> Result<Core, Error> {
        let signing = vec![parse_key(&options.secret_key)?];
        let keys = Keys {
            api: vec![options.api_key.clone()],
            signing,
        };
        let state = State {
            agents: Agents::new(options.keep_heartbeats.max(2)),
            metrics: Metrics::new(options.keep_samples),
            actions: Actions::default(),
            settings: AllSettings::default(),
            offers: Vec::new(),
            next_poll_seconds: None,
        };
        Ok(Core {
            clock: Clock::shifted(options.clock_offset_ms),
            options,
            faults: Faults::default(),
            journal: Journal::default(),
            metrics_in_flight: AtomicUsize::new(0),
            channel: Channel::default(),
            keys: Mutex::new(keys),
            state: Mutex::new(state),
            changes: Mutex::new(0),
            changed: Condvar::new(),
            next_id: AtomicU64::new(1),
        })
    }

    /// Waits until it is so, and says whether it came to be within this time. Asked again after every request.
    pub fn wait_for(&self, within: Duration, mut predicate: impl FnMut(&Core) -> bool) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let seen = *lock(&self.changes);
            if predicate(self) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            // Some things change by time alone, such as a lease.
            let pause = left.min(Duration::from_millis(20));
            let _ = self
                .changed
                .wait_timeout_while(lock(&self.changes), pause, |changes| *changes == seen);
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The state, with everything that time alone changes brought up to date.
    pub(super) fn advanced(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.actions.advance(self.clock.unix());
        state
    }

    pub(super) fn takes_api_key(&self, key: &str) -> bool {
        lock(&self.keys).api.iter().any(|known| known == key)
    }

    /// Whether any key stands in this text.
    pub(super) fn shows_api_key(&self, text: &str) -> bool {
        lock(&self.keys)
            .api
            .iter()
            .any(|known| text.contains(known.as_str()))
    }

    /// Wakes those who wait for a change.
    pub(super) fn notify(&self) {
        *lock(&self.changes) += 1;
        self.changed.notify_all();
    }
}

pub(super) fn parse_key(secret: &str) -> Result<Key, Error> {
    Key::parse(secret).map_err(|err| Error(format!("secret key: {err}")))
}

/// A test that panicked while it held a lock has failed already; it must not become a hang.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
