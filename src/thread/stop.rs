//! Shutdown as a value: dropping the [`Guard`] is the request, and every pause ends with it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

/// Uninhabited: nothing can be sent, so the only news on its channel is that the sender is gone.
#[derive(Debug)]
pub enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// Held by whoever decides how long the agent runs; dropping it, on whatever road, stops every thread.
pub struct Guard {
    since: Arc<OnceLock<Instant>>,
    _held: Sender<Never>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Set before the channel closes (fields drop after this), so that whoever sees the stop sees its time.
        let _ = self.since.set(Instant::now());
    }
}

/// Seen by every thread: has shutdown been requested?
#[derive(Clone, Debug)]
pub struct Stop {
    since: Arc<OnceLock<Instant>>,
    channel: Receiver<Never>,
}

/// A guard and the view of it that is cloned into every thread.
pub fn pair() -> (Guard, Stop) {
    let since = Arc::new(OnceLock::new());
    let (sender, channel) = bounded(0);
    (
        Guard {
            since: Arc::clone(&since),
            _held: sender,
        },
        Stop { since, channel },
    )
}

impl Stop {
    /// True once shutdown was requested.
    pub fn requested(&self) -> bool {
        matches!(self.channel.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Pauses for `pause`; true if shutdown came first.
    pub fn wait(&self, pause: Duration) -> bool {
        matches!(
            self.channel.recv_timeout(pause),
            Err(RecvTimeoutError::Disconnected)
        )
    }

    /// For `select_biased!`: always its first arm.
    pub fn signal(&self) -> &Receiver<Never> {
        &self.channel
    }

    /// How long ago shutdown was requested, if it was.
    pub fn elapsed(&self) -> Option<Duration> {
        self.since.get().map(Instant::elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_guard_ends_a_pause_at_once() {
        let (guard, stop) = pair();
        assert!(!stop.requested());
        let waiter = std::thread::spawn({
            let stop = stop.clone();
            move || stop.wait(Duration::from_hours(1))
        });
        drop(guard);
        assert!(waiter.join().unwrap());
        assert!(stop.requested());
        assert!(stop.elapsed().is_some());
    }

    #[test]
    fn a_pause_that_passes_is_no_stop() {
        let (_guard, stop) = pair();
        assert!(!stop.wait(Duration::from_millis(1)));
    }
}
