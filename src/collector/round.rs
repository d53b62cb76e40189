//! One collection after the other: every node and pod once a cycle, the events as they come, into batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{after, select_biased};
use log::{debug, info, warn};

use super::Collector;
use super::backlog::Taken;
use super::receipt::{BatchReceipt, CycleReport};
use super::sample::{NodeSample, PodSample};
use super::usage::{self, Measured, Measurement};
use crate::backend::batch::Batcher;
use crate::cluster::State;
use crate::health::{CLUSTER, Component, readable};
use crate::kube;
use crate::logging::COLLECTOR;
use crate::thread::stop::Stop;
use crate::timestamp::unix_seconds;

/// What ended a wait for the next tick.
pub(super) enum Wait {
    /// It is time for the next tick.
    Tick,
    /// The backend has set another interval or batch size.
    Changed,
    /// The agent stops.
    Stop,
}

/// The collector at work.
pub(super) struct Round<'a> {
    collector: &'a Collector,
    pub(super) batcher: &'a mut Batcher,
    component: &'a Component,
    stop: &'a Stop,
    /// The events in the batch being filled.
    events: Vec<Taken>,
    report: Option<Arc<CycleReport>>,
    /// Why the last cycle had no usage, or not all.
    unmeasured: Option<String>,
}

/// What a cycle found.
#[derive(Default)]
struct Found {
    pods: u64,
    nodes: u64,
    failures: Vec<String>,
}

impl<'a> Round<'a> {
    /// Before its first cycle.
    pub(super) fn new(
        collector: &'a Collector,
        batcher: &'a mut Batcher,
        component: &'a Component,
        stop: &'a Stop,
    ) -> Self {
        Self {
            collector,
            batcher,
            component,
            stop,
            events: Vec::new(),
            report: None,
            unmeasured: None,
        }
    }

    /// One cycle: every node and every pod once, and the events that have come.
    pub(super) fn collect(&mut self) {
        let began = Instant::now();
        let mut state = self.collector.store.lock();
        state.pods.it_is(unix_seconds());
        state.begin_cycle();
        drop(state);
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

    fn conclude(&mut self, found: &Found, took: Duration) {
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
        let unmeasured = (!found.failures.is_empty()).then(|| found.failures.join("; "));
        match &unmeasured {
            None => self.component.running(),
            Some(reason) => self.component.degraded(reason),
        }
        // Health says it all the time, the log when it changes: a cluster may be without metrics for ever.
        if unmeasured != self.unmeasured {
            match &unmeasured {
                None => info!(target: COLLECTOR, "Usage is collected again"),
                Some(reason) => warn!(target: COLLECTOR, "No usage in this collection: {reason}"),
            }
            self.unmeasured = unmeasured;
        }
        if let Err(err) = self.collector.ledger.save() {
            debug!(target: COLLECTOR, "Failed to remember the delivered events: {err}");
        }
    }

    fn nodes(&mut self, found: &mut Found) {
        let store = Arc::clone(&self.collector.store);
        let failures = &mut found.failures;
        found.nodes += self.read(
            Measured::Nodes,
            "node usage",
            failures,
            |round, measurement| {
                let mut state = store.lock();
                let knows_pods = !state.pods_unknown;
                let Some(node) = state.report_node(&measurement.name) else {
                    return false;
                };
                round.batcher.add(&NodeSample::new(
                    node,
                    measurement.usage.as_ref(),
                    knows_pods,
                ));
                true
            },
        );
        let rest = store.lock().unreported_nodes();
        for name in rest {
            let mut state = store.lock();
            let knows_pods = !state.pods_unknown;
            let Some(node) = state.report_node(&name) else {
                continue;
            };
            self.batcher.add(&NodeSample::new(node, None, knows_pods));
            drop(state);
            found.nodes += 1;
            self.flush_full();
        }
    }

    fn pods(&mut self, found: &mut Found) {
        let store = Arc::clone(&self.collector.store);
        let failures = &mut found.failures;
        found.pods += self.read(
            Measured::Pods,
            "pod usage",
            failures,
            |round, measurement| {
                let mut state = store.lock();
                let State { pods, owners, .. } = &mut *state;
                let Measurement {
                    namespace,
                    name,
                    usage,
                } = measurement;
                let Some((pod, made)) = pods.report(namespace, name) else {
                    return false;
                };
                let own = usage.as_ref().filter(|it| it.is_since(made));
                round.batcher.add(&PodSample::new(pod, owners, own));
                true
            },
        );
        let mut cursor = 0;
        loop {
            let mut state = store.lock();
            let State { pods, owners, .. } = &mut *state;
            let Some(pod) = pods.report_next(&mut cursor) else {
                break;
            };
            self.batcher.add(&PodSample::new(pod, owners, None));
            drop(state);
            found.pods += 1;
            self.flush_full();
        }
    }

    /// Streams what was measured through `each`, which says whether it made a sample. Returns how many it made; a
    /// failure that ends the stream early joins the `failures`.
    fn read(
        &mut self,
        measured: Measured,
        what: &str,
        failures: &mut Vec<String>,
        mut each: impl FnMut(&mut Self, &Measurement<'_>) -> bool,
    ) -> u64 {
        let kube = Arc::clone(&self.collector.kube);
        let component = self.component;
        let progress = || component.beat();
        let mut made = 0;
        let outcome = usage::list(&kube, measured, progress, |measurement| {
            if each(self, measurement) {
                made += 1;
                self.flush_full();
            }
        });
        match outcome {
            Ok(()) => self.collector.store.touch(),
            Err(kube::Error::Stopped) => (),
            Err(err) if err.is_not_found() => {
                failures.push(format!("no {what}: the Metrics API is not installed"));
            }
            Err(err) => failures.push(format!("no {what}: {err}")),
        }
        made
    }

    /// Waits for the next tick, taking in events meanwhile.
    pub(super) fn wait_until(&mut self, next: Instant) -> Wait {
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

    fn event(&mut self, event: Taken) {
        // One at which this panics is not given back: it would do so each time.
        self.batcher.add(&event.sample);
        self.events.push(event);
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
        let receipt = BatchReceipt::new(
            self.report.clone(),
            self.batcher.len(),
            self.events.iter().map(|it| it.key).collect(),
            Arc::clone(&self.collector.ledger),
        );
        if let Some(batch) = self.batcher.take(Some(Arc::new(receipt))) {
            self.component.beat();
            // From here on they are the uplink's.
            self.events.clear();
            self.collector.uplink.push(batch, self.stop);
        }
    }

    /// What is gathered goes out before the agent does.
    pub(super) fn finish(&mut self) {
        self.drain_events();
        self.flush();
    }
}

impl Drop for Round<'_> {
    /// Should the collector panic, the events of the batch that was being filled are taken again by its next run.
    fn drop(&mut self) {
        self.collector.backlog.give_back(self.events.drain(..));
    }
}
