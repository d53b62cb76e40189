//! Events between the watch and the collector. While this replica leads it is a short queue. While another leads,
//! what that one may not have delivered is held back here, and goes out should this one take over.
//!
//! A leader says in its Lease up to which resource version the backend has every event; all replicas watch the same
//! store, so the version means the same to each. An event of a version that is no number (the API calls them opaque
//! where it does not order them) is never taken for delivered: it may come twice, and is not lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use prometheus::IntCounter;

use super::event::{EventKey, EventSample};
use super::ledger::Ledger;
use crate::leader::Handover;
use crate::thread::stop::Stop;

/// Events that wait for the collector at most: a burst passes, and the watch waits when the collector is behind.
const QUEUE: usize = 256;
/// Events held back at most, some 4 MiB: more than a leader leaves undelivered but in an outage of the backend, in
/// which the oldest are given up as they are in its own buffer.
const HELD_BACK: usize = 4096;
/// The watch looks again this often whether there is room.
const LOOK: Duration = Duration::from_millis(500);

/// An event on its way into a batch.
pub struct Taken {
    /// Its place among those that wait.
    place: (u64, u64),
    /// What it is known by.
    pub key: EventKey,
    /// What is sent of it.
    pub sample: EventSample,
}

/// The events that are not yet in a batch.
pub struct Backlog {
    ledger: Arc<Ledger>,
    state: Mutex<State>,
    /// One token each: whoever waits looks again.
    news: (Sender<()>, Receiver<()>),
    room: (Sender<()>, Receiver<()>),
    dropped: IntCounter,
}

#[derive(Default)]
struct State {
    /// By resource version, so that the oldest goes first; events of the same one in the order of their coming.
    waiting: BTreeMap<(u64, u64), (EventKey, EventSample)>,
    came: u64,
    /// Up to this version the backend has every event from another leader.
    delivered: u64,
    stands_by: bool,
}

impl Backlog {
    /// Empty. `dropped` counts the events given up while they were held back.
    pub fn new(ledger: Arc<Ledger>, dropped: IntCounter) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            state: Mutex::default(),
            news: bounded(1),
            room: bounded(1),
            dropped,
        })
    }

    /// Another replica leads: what comes is held back, the newest of it.
    pub fn stand_by(&self) {
        self.state().stands_by = true;
        let _ = self.room.0.try_send(());
    }

    /// This replica leads: what was held back is for the collector.
    pub fn lead(&self) {
        self.state().stands_by = false;
        let _ = self.news.0.try_send(());
    }

    /// Adds an event that was never seen; waits for room while this replica leads. One that the stop keeps out is not
    /// delivered, so the next start sends it. Calls `waits` as long as there is no room.
    pub fn put(
        &self,
        version: u64,
        (key, sample): (EventKey, EventSample),
        stop: &Stop,
        waits: impl Fn(),
    ) {
        let event = (key, sample);
        loop {
            let mut state = self.state();
            if version != 0 && version <= state.delivered {
                drop(state);
                self.ledger.delivered(&[event.0]);
                return;
            }
            if state.stands_by || state.waiting.len() < QUEUE {
                state.came += 1;
                let at = (version, state.came);
                state.waiting.insert(at, event);
                if state.waiting.len() > HELD_BACK {
                    state.waiting.pop_first();
                    self.dropped.inc();
                }
                drop(state);
                let _ = self.news.0.try_send(());
                return;
            }
            drop(state);
            waits();
            select_biased! {
                recv(stop.signal()) -> _ => return,
                recv(self.room.1) -> _ => (),
                default(LOOK) => (),
            }
        }
    }

    /// Fires when there may be something to take.
    pub fn news(&self) -> &Receiver<()> {
        &self.news.1
    }

    /// The oldest event.
    pub fn take(&self) -> Option<Taken> {
        let (place, (key, sample)) = self.state().waiting.pop_first()?;
        let _ = self.room.0.try_send(());
        Some(Taken { place, key, sample })
    }

    /// Puts back what was taken and is in no batch, at the place where it stood.
    pub fn give_back(&self, events: impl Iterator<Item = Taken>) {
        let back = events.map(|it| (it.place, (it.key, it.sample)));
        self.state().waiting.extend(back);
        let _ = self.news.0.try_send(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handover for Backlog {
    fn tell(&self) -> String {
        let heard = self.state().delivered;
        let ours = self.ledger.delivered_up_to().unwrap_or(0);
        ours.max(heard).to_string()
    }

    fn heard(&self, told: &str) {
        let Ok(version) = told.parse::<u64>() else {
            return;
        };
        let mut state = self.state();
        if version <= state.delivered {
            return;
        }
        state.delivered = version;
        let rest = state.waiting.split_off(&(version, u64::MAX));
        let mut known = std::mem::replace(&mut state.waiting, rest);
        // Of these the version is not known.
        let unknown = known.extract_if(..(1, 0), |_, _| true);
        let unknown: Vec<_> = unknown.collect();
        state.waiting.extend(unknown);
        drop(state);
        let keys: Vec<_> = known.into_values().map(|(key, _)| key).collect();
        self.ledger.delivered(&keys);
        let _ = self.room.0.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::testing;
    use super::*;
    use crate::thread::stop;

    struct World {
        backlog: Arc<Backlog>,
        ledger: Arc<Ledger>,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let ledger = Arc::new(Ledger::open(folder.path()));
            let dropped = IntCounter::new("dropped", "dropped").unwrap();
            Self {
                backlog: Backlog::new(ledger.clone(), dropped),
                ledger,
                _folder: folder,
            }
        }

        /// An event as the watch brings it.
        fn came(&self, version: u64) {
            let (_guard, stop) = stop::pair();
            let key = EventKey {
                uid: version,
                occurrence: 1,
            };
            if self.ledger.is_new(key, version) {
                let event = (key, testing::sample());
                self.backlog.put(version, event, &stop, || ());
            }
        }

        fn taken(&self) -> Vec<u64> {
            std::iter::from_fn(|| self.backlog.take())
                .map(|it| it.key.uid)
                .collect()
        }
    }

    #[test]
    fn a_standby_holds_back_what_the_leader_may_not_have_delivered() {
        let world = World::new();
        world.backlog.stand_by();
        for version in [7, 5, 9] {
            world.came(version);
        }
        world.backlog.heard("7");
        // Late at this replica's watch, and delivered by the leader long since.
        world.came(6);
        world.came(11);
        world.backlog.lead();
        assert_eq!(world.taken(), [9, 11]);
    }

    #[test]
    fn what_is_told_is_below_everything_undelivered() {
        let world = World::new();
        assert_eq!(world.backlog.tell(), "0");
        world.backlog.heard("3");
        assert_eq!(world.backlog.tell(), "3");
        for version in [5, 7, 9] {
            world.came(version);
        }
        assert_eq!(world.backlog.tell(), "4");
        let key = |uid| EventKey { uid, occurrence: 1 };
        world.ledger.delivered(&[key(5), key(9)]);
        assert_eq!(world.backlog.tell(), "6");
        world.ledger.delivered(&[key(7)]);
        assert_eq!(world.backlog.tell(), "9");
    }

    #[test]
    fn what_is_given_back_is_taken_again_before_what_came_later() {
        let world = World::new();
        for version in [5, 7, 9] {
            world.came(version);
        }
        let taken: Vec<_> = (0..2).filter_map(|_| world.backlog.take()).collect();
        while world.backlog.news().try_recv().is_ok() {}
        world.backlog.give_back(taken.into_iter());
        assert!(world.backlog.news().try_recv().is_ok());
        assert_eq!(world.taken(), [5, 7, 9]);
    }

    #[test]
    fn of_too_many_the_oldest_go() {
        let world = World::new();
        world.backlog.stand_by();
        let all = HELD_BACK as u64 + 10;
        for version in 1..=all {
            world.came(version);
        }
        world.backlog.lead();
        assert_eq!(world.taken(), (11..=all).collect::<Vec<_>>());
        assert_eq!(world.backlog.dropped.get(), 10);
    }

    #[test]
    fn a_version_that_is_no_number_is_never_taken_for_delivered() {
        let world = World::new();
        world.backlog.stand_by();
        world.came(0);
        world.backlog.heard("99");
        world.backlog.heard("a leader of another kind");
        world.backlog.lead();
        assert_eq!(world.taken(), [0]);
    }
}
