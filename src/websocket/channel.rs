//! What the rest of the agent has of the WebSocket: a place to put frames, connected or not.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frames::Outgoing;
use super::ring::Ring;
use crate::actuator::inbox::Receipt;
use crate::health::Listener;
use crate::metrics::Metrics;
use crate::thread::waker::Waker;

/// The frames of this run, and the bell of the thread that sends them. Outlives every connection, and a restart of
/// the component.
pub struct Channel {
    ring: Mutex<Ring>,
    waker: Waker,
    is_connected: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Channel {
    /// Nothing queued and nobody connected. Fails only where the process has no more descriptors.
    pub fn new(metrics: Arc<Metrics>) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            ring: Mutex::new(Ring::new()),
            waker: Waker::new()?,
            is_connected: AtomicBool::new(false),
            metrics,
        }))
    }

    /// Queues a frame. It leaves at once, or after the next welcome; of too many the oldest go, and are counted.
    pub fn send(&self, frame: &Outgoing<'_>) {
        let is_result = matches!(frame, Outgoing::Result { .. });
        let mut ring = self.ring();
        let dropped = ring.push(is_result, |seq| frame.text(seq));
        self.publish(&ring);
        drop(ring);
        self.metrics.channel.dropped.inc_by(dropped);
        self.waker.wake();
    }

    /// Tells the backend what became of settings, whichever channel brought them.
    pub fn settled(&self, receipt: &Receipt) {
        if let Receipt::Settled {
            version, refused, ..
        } = receipt
        {
            self.send(&Outgoing::ConfigStatus {
                version: *version,
                refused: *refused,
            });
        }
    }

    /// True while the backend has welcomed us: what the heartbeat says.
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Ends a wait for the socket: to be called when the agent stops.
    pub fn wake(&self) {
        self.waker.wake();
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(super) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
        self.metrics.channel.connected.set(is_connected.into());
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.ring().next_seq()
    }

    pub(super) fn next(&self) -> Option<String> {
        self.ring().take_next().map(str::to_owned)
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.ring().has_unsent()
    }

    pub(super) fn welcomed(&self, last_seq: u64) {
        let mut ring = self.ring();
        ring.welcomed(last_seq);
        self.publish(&ring);
    }

    pub(super) fn acked(&self, seq: u64) -> bool {
        let mut ring = self.ring();
        let is_news = ring.acked(seq);
        self.publish(&ring);
        is_news
    }

    fn publish(&self, ring: &Ring) {
        let depth = i64::try_from(ring.len()).unwrap_or(i64::MAX);
        self.metrics.channel.ring_frames.set(depth);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Channel {
    fn component(&self, name: &'static str, down: Option<&str>) {
        self.send(&Outgoing::Event {
            name: if down.is_some() {
                "component_down"
            } else {
                "component_up"
            },
            component: Some(name),
            reason: down,
        });
    }

    fn ready(&self, failing: Option<&str>) {
        self.send(&Outgoing::Event {
            name: if failing.is_some() {
                "not_ready"
            } else {
                "ready"
            },
            component: None,
            reason: failing,
        });
    }
}
