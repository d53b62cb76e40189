//! Threads that are started and stopped together.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crate::health::{Component, Health};
use crate::thread::Threads;
use crate::thread::stop::{self, Guard, Stop};

/// Threads that end at the same stop.
pub(super) struct Group {
    threads: Threads,
    guard: Option<Guard>,
    signal: Stop,
}

impl Group {
    pub(super) fn new(health: &Arc<Health>) -> Self {
        let (guard, stop) = stop::pair();
        Self {
            threads: Threads::new(stop.clone(), health.clone()),
            guard: Some(guard),
            signal: stop,
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
        let (component, stop) = (health.component(name, period), self.signal.clone());
        self.threads.spawn(name, move || run(&component, &stop))
    }

    /// Fires when they are told to end.
    pub(super) fn signal(&self) -> &Stop {
        &self.signal
    }

    /// Tells all of them to end.
    pub(super) fn stop(&mut self) {
        self.guard = None;
    }

    /// Waits for their end, at most so long, and names those that have not ended.
    pub(super) fn join(&mut self, limit: Duration) -> Vec<&'static str> {
        self.threads.join_within(limit, |_| true)
    }
}
