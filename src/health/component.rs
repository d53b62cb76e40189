//! A component's own handle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Health, State};

/// A component's own handle on its health.
#[derive(Clone)]
pub struct Component {
    pub(super) name: &'static str,
    pub(super) health: Arc<Health>,
}

impl Component {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Progress was made.
    pub fn beat(&self) {
        #[cfg(feature = "test-hooks")]
        crate::test_hooks::maybe_panic(self.name);
        if let Some(record) = self.health.components().get_mut(self.name) {
            record.last_beat = Instant::now();
        }
    }

    /// A wait of so long begins, on purpose: a pause that was asked for is no lack of progress. The next beat ends it.
    pub fn waits(&self, pause: Duration) {
        if let Some(record) = self.health.components().get_mut(self.name) {
            record.waits(pause);
        }
    }

    /// From now on progress is made at least every `period`.
    pub fn period(&self, period: Duration) {
        if let Some(record) = self.health.components().get_mut(self.name) {
            record.period = period;
        }
    }

    /// It works as it should; also a beat.
    pub fn running(&self) {
        self.beat();
        self.health.set(self.name, State::Running, None);
    }

    /// It works in part, for `reason`; also a beat.
    pub fn degraded(&self, reason: &str) {
        self.beat();
        self.health.set(self.name, State::Degraded, Some(reason));
    }

    /// The health of all, for the checks of `/readyz`.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}
