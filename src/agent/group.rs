//! Threads that are started and stopped together.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crate::health::{Component, Health};
use crate::thread::Threads;
use crate::thread::stop::{self, Stop};

/// Threads that end at the same stop.
pub(super) struct Group {
    pub(super) threads: Threads,
    pub(super) guard: stop::Guard,
    pub(super) stop: Stop,
}

impl Group {
    pub(super) fn new(health: &Arc<Health>) -> Self {
        let (guard, stop) = stop::pair();
        Self {
            threads: Threads::new(stop.clone(), health.clone()),
            guard,
            stop,
        }
    }

    /// Starts a component that shows a sign of life at least every `period`.
    pub(super) fn spawn<E: fmt::Display>(
        &mut self,
        health: &Arc<Health>,
        name: &'static str,
        period: Duration,
        run: impl Fn(&Component, &Stop) -> Result<(), E> + Send + 'static,
    ) -> io::Result<()> {
        let (component, stop) = (health.component(name, period), self.stop.clone());
        self.threads.spawn(name, move || run(&component, &stop))
    }
}
