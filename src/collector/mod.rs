//! Reads the usage of pods and nodes on a timer, joins it with what the watches know, and hands batches of
//! samples to the uplink.
//!
//! A cycle reads the Metrics API once, as a stream: each object that comes is joined with its record and written
//! into the batch at once. What has no usage follows from the records alone.

pub mod backlog;
pub mod event;
pub mod events;
pub mod ledger;
pub mod sample;
pub mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, select_biased};
use log::{debug, info, warn};

use crate::backend::batch::{Batcher, Receipt};
use crate::backend::uplink::Uplink;
use crate::cluster::node::Requested;
use crate::cluster::{State, Store};
use crate::health::{CLUSTER, Component, readable};
use crate::kube::list::{Options, list};
use crate::kube::{self, Client, Resource};
use crate::logging::COLLECTOR;
use crate::metrics::Metrics;
use crate::settings::Live;
use crate::thread::stop::{Never, Stop};
use backlog::Backlog;
use event::{EventKey, EventSample};
use ledger::Ledger;
use sample::{NodeSample, PodSample};
use usage::MetricsObject;

/// The first collection waits so long for the first lists; after that it says what is missing and waits on.
const SYNC: Duration = Duration::from_secs(30);

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
        component.period(self.live.collection_interval().max(SYNC));
        while !self.store.wait_synced(SYNC, stop) {
            if stop.requested() {
                return Ok(());
            }
            component.degraded("the first list of pods and nodes is not complete");
        }
        let mut round = Round {
            collector: self,
            batcher,
            component,
            stop,
            keys: Vec::new(),
            report: None,
            cycle: 0,
        };
        let mut next = Instant::now();
        loop {
            round.batcher.resize(self.live.batch_size());
            round.collect();
            let began = next;
            loop {
                let interval = self.live.collection_interval();
                component.period(interval.max(SYNC));
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

/// What ended a wait for the next tick.
enum Wait {
    Tick,
    Changed,
    Stop,
}

/// The collector at work.
struct Round<'a> {
    collector: &'a Collector,
    batcher: &'a mut Batcher,
    component: &'a Component,
    stop: &'a Stop,
    /// The events in the batch being filled.
    keys: Vec<EventKey>,
    report: Option<Arc<CycleReport>>,
    cycle: u16,
}

/// What a cycle found.
#[derive(Default)]
struct Found {
    pods: u64,
    nodes: u64,
    failures: Vec<String>,
}

impl Round<'_> {
    fn collect(&mut self) {
        let began = Instant::now();
        // Zero is what a new record says.
        self.cycle = self.cycle.checked_add(1).unwrap_or(1);
        let report = Arc::new(CycleReport::default());
        self.report = Some(Arc::clone(&report));
        self.batcher.cycle_began();
        let mut found = Found::default();
        self.nodes(&mut found);
        self.pods(&mut found);
        self.drain_events();
        self.flush();
        self.batcher.cycle_ended();
        self.report = None;
        drop(report);
        self.conclude(&found, began.elapsed());
    }

    fn conclude(&self, found: &Found, took: Duration) {
        let metrics = &self.collector.metrics;
        info!(target: COLLECTOR, "Collected metrics for {} pods", found.pods);
        info!(target: COLLECTOR, "Collected metrics for {} nodes", found.nodes);
        metrics
            .samples
            .with_label_values(&["pod"])
            .inc_by(found.pods);
        metrics
            .samples
            .with_label_values(&["node"])
            .inc_by(found.nodes);
        metrics
            .cycle_seconds
            .with_label_values(&[self.component.name()])
            .observe(took.as_secs_f64());
        let outcome = if found.failures.is_empty() {
            "complete"
        } else {
            "degraded"
        };
        metrics.cycles.with_label_values(&[outcome]).inc();
        // As the heartbeat does, only sooner: the first beat comes before anything was read, the next one half a
        // minute after, and a new pod shall be ready by then.
        let read = readable(self.collector.store.last_read(), Instant::now());
        self.component.health().check(CLUSTER, read);
        if found.failures.is_empty() {
            self.component.running();
        } else {
            let reason = found.failures.join("; ");
            warn!(target: COLLECTOR, "No usage in this collection: {reason}");
            self.component.degraded(&reason);
        }
        if let Err(err) = self.collector.ledger.save() {
            debug!(target: COLLECTOR, "Failed to remember the delivered events: {err}");
        }
    }

    fn nodes(&mut self, found: &mut Found) {
        sum_requests(&mut self.collector.store.lock());
        let store = Arc::clone(&self.collector.store);
        let cycle = self.cycle;
        let outcome = self.read(Resource::NODE_METRICS, "node usage", |round, object| {
            let mut state = store.lock();
            let knows_pods = !state.pods_unknown;
            let Some(node) = state.nodes.get_mut(object.key().1) else {
                return false;
            };
            if std::mem::replace(&mut node.cycle, cycle) == cycle {
                return false;
            }
            round
                .batcher
                .add(&NodeSample::new(node, object.usage().as_ref(), knows_pods));
            true
        });
        found.nodes += self.outcome(outcome, found);
        let rest: Vec<_> = {
            let state = store.lock();
            state
                .nodes
                .values()
                .filter(|it| it.cycle != cycle)
                .map(|it| Arc::clone(&it.name))
                .collect()
        };
        for name in rest {
            let mut state = store.lock();
            let knows_pods = !state.pods_unknown;
            let Some(node) = state.nodes.get_mut(&name) else {
                continue;
            };
            node.cycle = cycle;
            self.batcher.add(&NodeSample::new(node, None, knows_pods));
            drop(state);
            found.nodes += 1;
            self.flush_full();
        }
    }

    fn pods(&mut self, found: &mut Found) {
        let store = Arc::clone(&self.collector.store);
        let cycle = self.cycle;
        let outcome = self.read(Resource::POD_METRICS, "pod usage", |round, object| {
            let mut state = store.lock();
            let State { pods, owners, .. } = &mut *state;
            let (namespace, name) = object.key();
            let Some(pod) = pods.report(namespace, name, cycle) else {
                return false;
            };
            round
                .batcher
                .add(&PodSample::new(pod, owners, object.usage().as_ref()));
            true
        });
        found.pods += self.outcome(outcome, found);
        let mut cursor = 0;
        loop {
            let mut state = store.lock();
            let State { pods, owners, .. } = &mut *state;
            let Some(pod) = pods.report_next(&mut cursor, cycle) else {
                break;
            };
            self.batcher.add(&PodSample::new(pod, owners, None));
            drop(state);
            found.pods += 1;
            self.flush_full();
        }
    }

    /// Streams the objects of a Metrics API resource through `each`, which says whether it made a sample. Returns
    /// how many it made, and the failure that ended the stream early.
    fn read(
        &mut self,
        resource: Resource,
        what: &str,
        mut each: impl FnMut(&mut Self, &MetricsObject<'_>) -> bool,
    ) -> (u64, Option<String>) {
        let kube = Arc::clone(&self.collector.kube);
        let mut made = 0;
        let outcome = list(&kube, resource, METRICS_OPTIONS, |window| {
            MetricsObject::read(window, |object| {
                if each(self, object) {
                    made += 1;
                    self.flush_full();
                }
            })
        });
        match outcome {
            Ok(_) => {
                self.collector.store.touch();
                (made, None)
            }
            Err(kube::Error::Stopped) => (made, None),
            Err(err) if err.is_not_found() => (
                made,
                Some(format!("no {what}: the Metrics API is not installed")),
            ),
            Err(err) => (made, Some(format!("no {what}: {err}"))),
        }
    }

    #[expect(
        clippy::unused_self,
        reason = "reads best beside the calls it concludes"
    )]
    fn outcome(&self, (made, failure): (u64, Option<String>), found: &mut Found) -> u64 {
        found.failures.extend(failure);
        made
    }

    /// Waits for the next tick, taking in events meanwhile.
    fn wait_until(&mut self, next: Instant) -> Wait {
        let tick = after(next.saturating_duration_since(Instant::now()));
        loop {
            select_biased! {
                recv(self.stop.signal()) -> _ => return Wait::Stop,
                recv(tick) -> _ => return Wait::Tick,
                recv(self.collector.changed) -> _ => return Wait::Changed,
                recv(self.collector.backlog.news()) -> _ => self.drain_events(),
            }
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.collector.backlog.take() {
            self.event(event);
        }
    }

    fn event(&mut self, (key, sample): (EventKey, EventSample)) {
        self.batcher.add(&sample);
        self.keys.push(key);
        self.collector
            .metrics
            .samples
            .with_label_values(&["event"])
            .inc();
        self.flush_full();
    }

    fn flush_full(&mut self) {
        if self.batcher.is_full() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let receipt = BatchReceipt {
            report: self.report.clone(),
            left: AtomicU64::new(self.batcher.len()),
            keys: std::mem::take(&mut self.keys),
            ledger: Arc::clone(&self.collector.ledger),
        };
        if let Some(batch) = self.batcher.take(Some(Arc::new(receipt))) {
            self.component.beat();
            self.collector.uplink.push(batch, self.stop);
        }
    }

    /// What is gathered goes out before the agent does.
    fn finish(&mut self) {
        self.drain_events();
        self.flush();
    }
}

/// A failure half-way leaves the rest without usage for one cycle; better than a cycle that takes minutes. The Metrics
/// API knows no pages: metrics-server answers all at once, whatever limit is asked for.
const METRICS_OPTIONS: Options = Options {
    compressed: true,
    tries: 1,
    page: None,
};

/// Sums up what the pods of each node ask for.
fn sum_requests(state: &mut State) {
    for node in state.nodes.values_mut() {
        node.requested = Requested::default();
    }
    for pod in state.pods.iter().filter(|it| !it.phase.is_terminal()) {
        let Some(node) = pod.node.as_ref().and_then(|it| state.nodes.get_mut(it)) else {
            continue;
        };
        let sum = &mut node.requested;
        sum.cpu = sum.cpu.saturating_add(pod.shape.requested_cpu);
        sum.memory = sum.memory.saturating_add(pod.shape.requested_memory);
        sum.pods += 1;
    }
}

/// Hears of the batches of one cycle; when the last one is settled, says how many samples arrived.
#[derive(Debug, Default)]
struct CycleReport {
    delivered: AtomicU64,
}

impl Drop for CycleReport {
    fn drop(&mut self) {
        let delivered = *self.delivered.get_mut();
        if delivered > 0 {
            info!(target: COLLECTOR, "Successfully sent {delivered} metrics to backend");
        }
    }
}

#[derive(Debug)]
struct BatchReceipt {
    report: Option<Arc<CycleReport>>,
    /// Samples not yet delivered: a batch may be cut into halves, and the events may stand in either.
    left: AtomicU64,
    keys: Vec<EventKey>,
    ledger: Arc<Ledger>,
}

impl Receipt for BatchReceipt {
    fn delivered(&self, samples: u64) {
        if let Some(report) = &self.report {
            report.delivered.fetch_add(samples, Ordering::Relaxed);
        }
        if self.left.fetch_sub(samples, Ordering::AcqRel) == samples {
            self.ledger.delivered(&self.keys);
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
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
