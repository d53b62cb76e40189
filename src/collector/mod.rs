//! Reads the usage of pods and nodes on a timer, joins it with what the watches know, and hands batches of
//! samples to the uplink.
//!
//! A cycle reads the Metrics API once, as a stream: each object that comes is joined with its record and written
//! into the batch at once. What has no usage follows from the records alone. [`round`] is that cycle and the wait for
//! the next one, [`receipt`] what is done once a batch has arrived.

pub mod backlog;
pub mod event;
pub mod events;
pub mod ledger;
mod receipt;
mod round;
pub mod sample;
pub mod usage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::backend::batch::Batcher;
use crate::backend::uplink::Uplink;
use crate::cluster::Store;
use crate::health::Component;
use crate::kube::Client;
use crate::metrics::Metrics;
use crate::settings::Live;
use crate::thread::stop::{Never, Stop};
use backlog::Backlog;
use ledger::Ledger;
use round::{Round, Wait};

/// The first collection waits so long for the first lists; after that it says what is missing and waits on.
const SYNC: Duration = Duration::from_secs(30);
/// Progress is expected no more often than this: one question to the Metrics API may wait longer than the shortest
/// interval.
const QUIET: Duration = Duration::from_mins(1);

/// What the collector works with.
pub struct Collector {
    /// The API server, for the Metrics API.
    pub kube: Arc<Client>,
    /// Pods and nodes.
    pub store: Arc<Store>,
    /// New events.
    pub backlog: Arc<Backlog>,
    /// Which events were delivered.
    pub ledger: Arc<Ledger>,
    /// Where batches go.
    pub uplink: Arc<Uplink>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// COLLECTION_INTERVAL and BATCH_SIZE, unless the backend has set others.
    pub live: Arc<Live>,
    /// Fires when it has.
    pub changed: Receiver<()>,
}

impl Collector {
    /// Runs until the stop. A cycle that fails in part is logged, shown in health, and the next one tried.
    pub fn run(
        &self,
        batcher: &mut Batcher,
        component: &Component,
        stop: &Stop,
    ) -> Result<(), Never> {
        component.period(self.live.collection_interval().max(QUIET));
        while !self.store.wait_synced(SYNC, stop) {
            if stop.requested() {
                return Ok(());
            }
            component.degraded("the first list of pods and nodes is not complete");
        }
        let mut round = Round::new(self, batcher, component, stop);
        let mut next = Instant::now();
        loop {
            round.batcher.resize(self.live.batch_size());
            round.collect();
            let began = next;
            loop {
                let interval = self.live.collection_interval();
                component.period(interval.max(QUIET));
                next = next_tick(began, interval, Instant::now());
                match round.wait_until(next) {
                    Wait::Tick => break,
                    // The next tick may have come nearer.
                    Wait::Changed => (),
                    Wait::Stop => {
                        round.finish();
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// The next tick after `now` on the beat that began with `last`: a slow cycle skips ticks, it never piles them up.
fn next_tick(last: Instant, interval: Duration, now: Instant) -> Instant {
    let next = last + interval;
    if next > now { next } else { now + interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_keep_their_beat_and_never_pile_up() {
        let start = Instant::now();
        let minute = Duration::from_mins(1);
        assert_eq!(
            next_tick(start, minute, start + Duration::from_secs(5)),
            start + minute
        );
        let late = start + Duration::from_secs(200);
        assert_eq!(next_tick(start, minute, late), late + minute);
    }
}
