//! One named OS thread a component, supervised: a failed or panicking one is started again after a pause.
//!
//! No word of the agent's domain stands in here. Every thread supervises itself, so no registry has to be kept in
//! step, and all of them end the same way: their [`Stop`] fires.

pub mod backoff;
pub mod stop;
pub mod waker;

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use crossbeam_channel::{Receiver, Sender, bounded};

use backoff::Backoff;
use stop::Stop;

/// More restarts than this of one thread within [`RESTART_WINDOW`], and the process gives up: a fresh one may do
/// better, and whoever runs it sees it restart.
const MAX_RESTARTS: usize = 10;
const RESTART_WINDOW: Duration = Duration::from_mins(10);

/// All threads of an agent fit: the bound of the channel on which they report their end.
const MAX_THREADS: usize = 64;

/// Who is told of a component's failures; the supervisor calls it from the component's own thread.
pub trait Observer: Send + Sync + 'static {
    /// The component `name` failed for `reason` and will start again after `pause`.
    fn failed(&self, name: &'static str, reason: &str, pause: Duration);
    /// The component `name` starts again.
    fn restarted(&self, name: &'static str);
    /// The component `name` failed too often for a restart to help; it does not start again.
    fn hopeless(&self, name: &'static str);
}

/// The threads of one agent.
pub struct Threads {
    stop: Stop,
    observer: Arc<dyn Observer>,
    running: Vec<&'static str>,
    ended: (Sender<&'static str>, Receiver<&'static str>),
}

impl Threads {
    /// No threads yet; those to come end when `stop` fires and tell `observer` of their failures.
    pub fn new(stop: Stop, observer: Arc<dyn Observer>) -> Self {
        Self {
            stop,
            observer,
            running: Vec::new(),
            ended: bounded(MAX_THREADS),
        }
    }

    /// Starts the thread `name` on `run`, which returns `Ok` only when told to stop.
    ///
    /// Whatever else ends it, an error or a panic, `run` is called again after a back-off.
    pub fn spawn<E: Display>(
        &mut self,
        name: &'static str,
        run: impl Fn() -> Result<(), E> + Send + 'static,
    ) -> io::Result<()> {
        let (stop, observer) = (self.stop.clone(), Arc::clone(&self.observer));
        let ended = self.ended.0.clone();
        thread::Builder::new()
            .name(name.into())
            .stack_size(STACK)
            .spawn(move || {
                supervise(name, &run, &stop, &*observer);
                // The channel holds every thread's one message; nobody listening is fine.
                let _ = ended.try_send(name);
            })?;
        self.running.push(name);
        Ok(())
    }

    /// Waits at most `limit` for the threads for which `which` holds, and names those that are still running.
    pub fn join_within(
        &mut self,
        limit: Duration,
        which: impl Fn(&str) -> bool,
    ) -> Vec<&'static str> {
        let deadline = Instant::now() + limit;
        while self.running.iter().any(|name| which(name)) {
            match self.ended.1.recv_deadline(deadline) {
                Ok(name) => self.running.retain(|it| *it != name),
                Err(_) => break,
            }
        }
        self.running
            .iter()
            .copied()
            .filter(|name| which(name))
            .collect()
    }
}

/// Deep enough for serde's recursion limit of 128 on the largest of our types, and for TLS; the default of 2 MiB
/// would count against strict limits on virtual memory.
pub const STACK: usize = 1 << 20;

fn supervise<E: Display>(
    name: &'static str,
    run: &impl Fn() -> Result<(), E>,
    stop: &Stop,
    observer: &dyn Observer,
) {
    let mut backoff = Backoff::new(RESTART_FIRST, RESTART_MOST);
    let mut failures = VecDeque::with_capacity(MAX_RESTARTS);
    loop {
        let began = Instant::now();
        // Unwind safety: what a component shares sits behind mutexes whose poisoning is survived on purpose.
        let reason = match panic::catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => return,
            Ok(Err(err)) => err.to_string(),
            Err(panic) => format!("panicked: {}", panic_text(&*panic)),
        };
        let now = Instant::now();
        failures.push_back(now);
        while failures
            .front()
            .is_some_and(|it| now.duration_since(*it) > RESTART_WINDOW)
        {
            failures.pop_front();
        }
        if failures.len() > MAX_RESTARTS {
            observer.failed(name, &reason, Duration::ZERO);
            observer.hopeless(name);
            return;
        }
        if now.duration_since(began) > STABLE {
            backoff.reset();
        }
        let pause = backoff.next_pause();
        observer.failed(name, &reason, pause);
        if stop.wait(pause) {
            return;
        }
        observer.restarted(name);
    }
}

const RESTART_FIRST: Duration = Duration::from_millis(500);
const RESTART_MOST: Duration = Duration::from_secs(30);
/// A run this long before a failure was healthy: the next pause is short again.
const STABLE: Duration = Duration::from_mins(1);

/// What a panic said, if it said it in text.
pub fn panic_text(panic: &dyn Any) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);
    impl Observer for Seen {
        fn failed(&self, name: &'static str, reason: &str, _pause: Duration) {
            self.0
                .lock()
                .unwrap()
                .push(format!("{name} failed: {reason}"));
        }
        fn restarted(&self, name: &'static str) {
            self.0.lock().unwrap().push(format!("{name} restarted"));
        }
        fn hopeless(&self, name: &'static str) {
            self.0.lock().unwrap().push(format!("{name} is hopeless"));
        }
    }

    #[test]
    fn a_panic_and_an_error_are_both_followed_by_a_restart() {
        let (guard, stop) = stop::pair();
        let seen = Arc::new(Seen::default());
        let mut threads = Threads::new(stop.clone(), seen.clone());
        let runs = AtomicUsize::new(0);
        let (third, reached) = bounded(1);
        threads
            .spawn("worker", move || {
                match runs.fetch_add(1, Ordering::SeqCst) {
                    0 => panic!("first"),
                    1 => Err("second"),
                    _ => {
                        third.send(()).unwrap();
                        stop.wait(Duration::from_mins(1));
                        Ok(())
                    }
                }
            })
            .unwrap();
        reached.recv_timeout(Duration::from_secs(20)).unwrap();
        drop(guard);
        assert!(
            threads
                .join_within(Duration::from_secs(5), |_| true)
                .is_empty()
        );
        assert_eq!(
            *seen.0.lock().unwrap(),
            [
                "worker failed: panicked: first",
                "worker restarted",
                "worker failed: second",
                "worker restarted"
            ]
        );
    }

    #[test]
    fn a_thread_that_does_not_end_is_named() {
        let (_guard, stop) = stop::pair();
        let mut threads = Threads::new(stop.clone(), Arc::new(Seen::default()));
        threads
            .spawn("stuck", move || {
                stop.wait(Duration::from_mins(1));
                Ok::<(), &str>(())
            })
            .unwrap();
        assert_eq!(
            threads.join_within(Duration::from_millis(20), |_| true),
            ["stuck"]
        );
    }
}
