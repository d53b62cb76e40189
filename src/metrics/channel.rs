//! The metrics of the WebSocket.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::maker::Maker;

/// The WebSocket.
pub struct ChannelMetrics {
    /// 1 while the backend has welcomed the agent.
    pub connected: IntGauge,
    /// Ends of connections, and of tries to make one, by reason.
    pub ends: IntCounterVec,
    /// Frames sent, by what they are.
    pub sent: IntCounterVec,
    /// Frames received, by what they are.
    pub received: IntCounterVec,
    /// Frames given up before they were acknowledged.
    pub dropped: IntCounter,
    /// Frames that wait for their acknowledgement.
    pub ring_frames: IntGauge,
}

impl ChannelMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            connected: make.int_gauge(
                "websocket_connected",
                "1 while the backend has welcomed the agent on the WebSocket.",
            )?,
            ends: make.counters(
                "websocket_reconnects_total",
                "Ends of WebSocket connections, and of tries to make one.",
                &["reason"],
            )?,
            sent: make.counters(
                "websocket_sent_frames_total",
                "Frames sent over the WebSocket.",
                &["type"],
            )?,
            received: make.counters(
                "websocket_received_frames_total",
                "Frames received over the WebSocket.",
                &["type"],
            )?,
            dropped: make.counter(
                "websocket_dropped_frames_total",
                "Frames given up before the backend had acknowledged them.",
            )?,
            ring_frames: make.int_gauge(
                "websocket_ring_frames",
                "Frames that wait for the backend's acknowledgement.",
            )?,
        })
    }
}
