//! Registers the agent, then tells the backend at an interval that it is there and how it is.

pub mod registration;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use log::{debug, warn};
use ureq::http::Method;

use crate::backend::Client;
use crate::backend::client::segment;
use crate::backend::protocol::{Beaten, Heartbeat as Message, Identity};
use crate::backend::retry::{Failure, Retry};
use crate::backend::uplink::Uplink;
use crate::health::{Component, Health, readable};
use crate::logging::HEARTBEAT;
use crate::metrics::Metrics;
use crate::resources::Resources;
use crate::thread::stop::{Never, Stop};
use crate::{cluster, kube};
use registration::Registration;

/// Offsets of the clocks above this are worth a warning: envelopes are checked against the clock.
const MAX_OFFSET_MS: u64 = 300_000;
/// Watches that have been quiet for this long say nothing of the API server: ask it.
const QUIET: Duration = Duration::from_mins(1);

/// What the heartbeat works with.
pub struct Heartbeat {
    /// The backend.
    pub backend: Arc<Client>,
    /// Who we are.
    pub identity: Identity,
    /// How we announce ourselves.
    pub registration: Arc<Registration>,
    /// How everything is.
    pub health: Arc<Health>,
    /// What waits for the backend.
    pub uplink: Arc<Uplink>,
    /// What we use.
    pub resources: Arc<Resources>,
    /// When the cluster was last read.
    pub store: Arc<cluster::Store>,
    /// The API server, asked when it has been quiet.
    pub kube: Arc<kube::Client>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// HEARTBEAT_INTERVAL.
    pub interval: Duration,
    /// Numbers the heartbeats of the run.
    pub sequence: AtomicU64,
}

impl Heartbeat {
    /// Runs until the stop.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        component.period(self.interval.max(Duration::from_mins(1)));
        let mut retry = Retry::default();
        let mut next = Instant::now();
        loop {
            if !self.registration.run(component, stop) {
                return Ok(());
            }
            self.check_cluster();
            let pause = match self.beat() {
                Ok(_) => {
                    retry.succeeded();
                    component.running();
                    self.heard();
                    next = next_beat(next, self.interval, Instant::now());
                    next.saturating_duration_since(Instant::now())
                }
                Err(failure) => self.failed(&failure, &mut retry, component),
            };
            if stop.wait(pause) {
                return Ok(());
            }
        }
    }

    fn beat(&self) -> Result<Beaten, Failure> {
        let (buffered, dropped) = self.uplink.depth();
        let message = Message {
            cluster_id: &self.identity.cluster_id,
            instance_id: &self.identity.instance_id,
            run_id: &self.identity.run_id,
            seq: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            status: if self.health.all_running() {
                "ok"
            } else {
                "degraded"
            },
            components: self.health.report(),
            resources: self.resources.read(),
            in_progress: Vec::new(),
            outbox_depth: 0,
            metrics_buffered: buffered,
            metrics_dropped: dropped,
            rejected: Vec::new(),
            config_version: 0,
            clock_offset_ms: self.backend.clock_offset_ms(),
            ws_connected: false,
        };
        let path = format!("/v1/agents/{}/heartbeat", segment(&self.identity.agent_id));
        self.backend
            .json("heartbeat", Method::POST, &path, &message)
    }

    fn heard(&self) {
        self.metrics
            .heartbeats
            .with_label_values(&["answered"])
            .inc();
        debug!(target: HEARTBEAT, "Heartbeat sent successfully");
        if let Some(offset) = self
            .backend
            .clock_offset_ms()
            .filter(|it| it.unsigned_abs() > MAX_OFFSET_MS)
        {
            warn!(target: HEARTBEAT, "The clock differs from the backend's by {} s", offset / 1000);
        }
    }

    /// The pause after a heartbeat that was not answered.
    fn failed(&self, failure: &Failure, retry: &mut Retry, component: &Component) -> Duration {
        self.metrics.heartbeats.with_label_values(&["failed"]).inc();
        component.degraded(&format!("failed to send the heartbeat: {failure}"));
        warn!(target: HEARTBEAT, "Failed to send the heartbeat: {failure}");
        let pause = retry.after(failure);
        match failure {
            Failure::Refused { code: 404, .. } => {
                self.registration.expired();
                Duration::ZERO
            }
            // It goes on at its interval, as the probe that renews leases (protocol, section 2).
            Failure::Unauthorized { .. } => self.interval,
            _ => pause,
        }
    }

    /// Says in `/readyz` whether the cluster is readable; asks the API server itself when nobody did for a while.
    fn check_cluster(&self) {
        if self
            .store
            .last_read()
            .is_some_and(|it| it.elapsed() >= QUIET)
            && self.kube.version().is_ok()
        {
            self.store.touch();
        }
        self.health
            .check("cluster", readable(self.store.last_read(), Instant::now()));
    }
}

/// The next beat after `now`, on the beat that began with `last`.
fn next_beat(last: Instant, interval: Duration, now: Instant) -> Instant {
    let next = last + interval;
    if next > now { next } else { now + interval }
}
