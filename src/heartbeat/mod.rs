//! Registers the agent, then tells the backend at an interval that it is there and how it is.

pub mod registration;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use log::{debug, warn};
use ureq::http::Method;

use crate::actuator::inbox::Inbox;
use crate::backend::Client;
use crate::backend::call::segment;
use crate::backend::protocol::{Beaten, Heartbeat as Message, Identity, Rejected};
use crate::backend::retry::{Failure, Retry};
use crate::backend::uplink::Uplink;
use crate::health::{CLUSTER, Component, Health, readable};
use crate::logging::HEARTBEAT;
use crate::metrics::Metrics;
use crate::resources::Resources;
use crate::thread::stop::{Never, Stop};
use crate::websocket::channel::Channel;
use crate::{cluster, kube};
use registration::{Registration, Renewal, key_check};

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
    /// Orders and results; none where STATE_DIR cannot be used.
    pub inbox: Option<Arc<Inbox>>,
    /// Whether it is connected.
    pub channel: Arc<Channel>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// HEARTBEAT_INTERVAL.
    pub interval: Duration,
    /// Numbers the heartbeats of the run.
    pub sequence: AtomicU64,
    /// Told when the backend says that actions wait.
    pub poll_now: Sender<()>,
}

impl Heartbeat {
    /// Runs until the stop.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        component.period(self.interval.max(Duration::from_mins(1)));
        let mut retry = Retry::default();
        let mut renewal = Renewal::default();
        let mut next = Instant::now();
        loop {
            if !self.registration.run(component, stop) {
                return Ok(());
            }
            let renewed = self.registration.renew(&mut renewal);
            self.check_cluster();
            let told = self
                .inbox
                .as_ref()
                .map(|it| it.rejections.told())
                .unwrap_or_default();
            let pause = match self.beat(told.clone()) {
                Ok(answer) => {
                    retry.succeeded();
                    key_check(&self.health, Ok(()));
                    match renewed {
                        Ok(()) => component.running(),
                        Err(why) => component.degraded(&why),
                    }
                    if let Some(inbox) = &self.inbox {
                        inbox.rejections.answered(&told);
                    }
                    self.heard(&answer);
                    next = next_beat(next, self.interval, Instant::now());
                    next.saturating_duration_since(Instant::now())
                }
                Err(failure) => self.failed(&failure, &mut retry, component),
            };
            component.waits(pause);
            if stop.wait(pause) {
                return Ok(());
            }
        }
    }

    fn beat(&self, rejected: Vec<Rejected>) -> Result<Beaten, Failure> {
        let (buffered, dropped) = self.uplink.depth();
        let (in_progress, outbox_depth, config_version) = self.orders();
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
            in_progress,
            outbox_depth,
            metrics_buffered: buffered,
            metrics_dropped: dropped,
            rejected,
            config_version,
            clock_offset_ms: self.backend.clock_offset_ms(),
            ws_connected: self.channel.is_connected(),
        };
        let path = format!("/v1/agents/{}/heartbeat", segment(&self.identity.agent_id));
        self.backend
            .json("heartbeat", Method::POST, &path, &message)
    }

    /// What is claimed, how many results wait, and the version of the settings in force.
    fn orders(&self) -> (Vec<String>, usize, u64) {
        let Some(inbox) = &self.inbox else {
            return (Vec::new(), 0, 0);
        };
        let journal = inbox.journal();
        let in_progress = journal.in_progress().map(ToString::to_string).collect();
        (in_progress, journal.unsent().count(), journal.config().0)
    }

    fn heard(&self, answer: &Beaten) {
        self.metrics
            .heartbeats
            .with_label_values(&["answered"])
            .inc();
        debug!(target: HEARTBEAT, "Heartbeat sent successfully");
        if answer.pending_actions > 0 {
            // A token that waits already serves.
            let _ = self.poll_now.try_send(());
        }
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
        key_check(&self.health, Err(failure));
        if matches!(failure, Failure::Refused { code: 404, .. }) {
            self.registration.expired();
        }
        pause_after(failure, retry, self.interval)
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
            .check(CLUSTER, readable(self.store.last_read(), Instant::now()));
    }
}

/// The pause after a heartbeat that failed so.
fn pause_after(failure: &Failure, retry: &mut Retry, interval: Duration) -> Duration {
    let again = retry.is_failing();
    let pause = retry.after(failure);
    match failure {
        // A backend that forgot the agent gets to know it at once; one that registers it and does not know it then is
        // not asked in a loop.
        Failure::Refused { code: 404, .. } if !again => Duration::ZERO,
        // It goes on at its interval, as the probe that renews leases (protocol, section 2).
        Failure::Unauthorized { .. } => interval,
        _ => pause,
    }
}

/// The next beat after `now`, on the beat that began with `last`.
fn next_beat(last: Instant, interval: Duration, now: Instant) -> Instant {
    let next = last + interval;
    if next > now { next } else { now + interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_forgets_the_agent_again_and_again_is_not_asked_in_a_loop() {
        let mut retry = Retry::default();
        let interval = Duration::from_secs(30);
        let mut after = |code| {
            let failure = Failure::from_status(code, String::new(), None, 0);
            pause_after(&failure, &mut retry, interval)
        };
        assert_eq!(after(404), Duration::ZERO);
        assert!((0..50).all(|_| after(404) >= Duration::from_millis(100)));
        assert_eq!(after(401), interval);
    }
}
