//! Time in which nobody on the machine ran, such as that of a virtual machine whose host had no turn for it. It is not
//! the agent's, and is taken off what was measured against a promise.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// How long the watcher sleeps.
const NAP: Duration = Duration::from_millis(20);
/// Whoever sleeps so much longer was kept from waking.
const NOTICED: Duration = Duration::from_millis(100);

/// A thread that sleeps and notes when it overslept, as long as this lives.
pub struct Stalls(Arc<Mutex<Seen>>);

struct Seen {
    woke: Instant,
    /// From and until.
    stalls: Vec<(Instant, Instant)>,
}

impl Stalls {
    /// Watches from now on.
    pub fn watch() -> Self {
        let (woke, stalls) = (Instant::now(), Vec::new());
        let seen = Arc::new(Mutex::new(Seen { woke, stalls }));
        let watched = Arc::downgrade(&seen);
        thread::spawn(move || {
            while let Some(seen) = watched.upgrade() {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                let overslept = seen.overslept(now);
                seen.stalls.extend(overslept);
                seen.woke = now;
                drop(seen);
                thread::sleep(NAP);
            }
        });
        Self(seen)
    }

    /// For how long nobody ran between these two.
    pub fn within(&self, from: Instant, to: Instant) -> Duration {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who asks may have woken before the watcher.
        let last = seen.overslept(Instant::now());
        let shared = |(began, ended): (Instant, Instant)| {
            ended.min(to).saturating_duration_since(began.max(from))
        };
        seen.stalls.iter().copied().chain(last).map(shared).sum()
    }

    /// How much time has passed since then in which somebody ran.
    pub fn since(&self, from: Instant) -> Duration {
        let now = Instant::now();
        (now - from).saturating_sub(self.within(from, now))
    }

    /// The same between two times of the wall clock.
    pub fn between(&self, from: OffsetDateTime, to: OffsetDateTime) -> Duration {
        let (now, clock) = (Instant::now(), OffsetDateTime::now_utc());
        let at = |it: OffsetDateTime| now.checked_sub((clock - it).unsigned_abs());
        let stalled = at(from).zip(at(to)).map(|(from, to)| self.within(from, to));
        let took = (to - from).unsigned_abs();
        took.saturating_sub(stalled.unwrap_or_default())
    }
}

impl Seen {
    /// From when until when the watcher overslept, if it wakes now.
    fn overslept(&self, now: Instant) -> Option<(Instant, Instant)> {
        let due = self.woke + NAP;
        (now.saturating_duration_since(due) > NOTICED).then_some((due, now))
    }
}

#[test]
fn time_in_which_nobody_ran_is_taken_off() {
    let stalls = Stalls::watch();
    // To the watcher it is the same whether it gets no turn or no lock.
    let held = stalls.0.lock().unwrap_or_else(PoisonError::into_inner);
    let (began, on_the_clock) = (Instant::now(), OffsetDateTime::now_utc());
    thread::sleep(Duration::from_millis(600));
    drop(held);
    let ended = Instant::now();
    let least = Duration::from_millis(500);
    assert!(stalls.within(began, ended) > least);
    assert!(stalls.since(began) + least < began.elapsed());
    let took = OffsetDateTime::now_utc() - on_the_clock;
    assert!(stalls.between(on_the_clock, on_the_clock + took) + least < took);
    // Only what lies between the two counts.
    let (from, to) = (began + least / 2, began + least);
    assert_eq!(stalls.within(from, to), least / 2);
    assert_eq!(stalls.within(from, from), Duration::ZERO);
}
