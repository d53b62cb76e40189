//! Every metric of `/metrics`: its name, its help and its labels.

mod channel;
mod maker;
mod system;
mod zero;

use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry, TextEncoder,
};

pub use channel::ChannelMetrics;
use maker::Maker;
pub use system::SystemMetrics;

/// Prefix of every name.
const NAMESPACE: &str = "kubernetes_agent";

/// Seconds: from a single write to the longest that an action may take.
const ACTION_SECONDS: [f64; 9] = [0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// The agent's metrics. Cheap to clone parts of; all are counted from any thread.
pub struct Metrics {
    registry: Registry,
    /// Requests to the API server by verb, resource and code (`none`: no answer).
    pub api_requests: IntCounterVec,
    /// Seconds until the head of the API server's answer.
    pub api_seconds: HistogramVec,
    /// Bytes of answers read from the API server, as they came over the wire.
    pub api_received_bytes: IntCounter,
    /// Bytes of request bodies sent to the API server.
    pub api_sent_bytes: IntCounter,
    /// Requests to the backend by endpoint and code.
    pub backend_requests: IntCounterVec,
    /// Seconds of requests to the backend.
    pub backend_seconds: HistogramVec,
    /// Bytes of request bodies sent to the backend, compressed as they are.
    pub backend_sent_bytes: IntCounter,
    /// Bytes of answers read from the backend.
    pub backend_received_bytes: IntCounter,
    /// Samples collected by kind.
    pub samples: IntCounterVec,
    /// Samples that the backend has taken.
    pub samples_delivered: IntCounter,
    /// Samples given up, by reason.
    pub samples_dropped: IntCounterVec,
    /// Batches by outcome.
    pub batches: IntCounterVec,
    /// Uploads that were tried again.
    pub batch_retries: IntCounter,
    /// Samples waiting for the backend.
    pub buffered_samples: IntGauge,
    /// Bytes of the batches waiting for the backend.
    pub buffered_bytes: IntGauge,
    /// Seconds of collection cycles.
    pub cycle_seconds: HistogramVec,
    /// Collection cycles by outcome.
    pub cycles: IntCounterVec,
    /// Objects held in memory by resource.
    pub objects: GaugeVec,
    /// Heartbeats by outcome.
    pub heartbeats: IntCounterVec,
    /// 1 while this replica leads.
    pub leader: IntGauge,
    /// 1 for the state that a component is in.
    pub component_state: GaugeVec,
    /// Restarts of a component.
    pub component_restarts: IntCounterVec,
    /// 1 for what is permitted.
    pub capability: GaugeVec,
    /// Actions by type and outcome.
    pub actions: IntCounterVec,
    /// Seconds of actions by type.
    pub action_seconds: HistogramVec,
    /// Envelopes and actions refused, by reason.
    pub refusals: IntCounterVec,
    /// Evictions that were sent, by what the API server made of them.
    pub evictions: IntCounterVec,
    /// Evictions that a disruption budget held up.
    pub evictions_blocked: IntCounter,
    /// Results by what became of them.
    pub results: IntCounterVec,
    /// Results not yet delivered, by state.
    pub outbox_results: IntGaugeVec,
    /// 1 while the journal can be written and has room.
    pub journal_writable: IntGauge,
    /// Envelopes by the channel that brought them and what became of them.
    pub envelopes: IntCounterVec,
    /// The version of the remote settings in force.
    pub config_version: IntGauge,
    /// The WebSocket.
    pub channel: ChannelMetrics,
    /// The process and its host, read when asked for.
    pub system: SystemMetrics,
    /// The backend's clock less ours, in seconds.
    pub clock_offset: Gauge,
}

impl Metrics {
    #[expect(clippy::too_many_lines, reason = "a list, one entry a metric")]
    /// All metrics, at zero. Fails only if two have the same name, which a test rules out.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some(NAMESPACE.to_owned()), None)?;
        let make = Maker(&registry);
        let build = make.gauges(
            "build_info",
            "Always 1; the labels say what is running.",
            &["version"],
        )?;
        build.with_label_values(&[crate::VERSION]).set(1.0);
        let started = make.gauge(
            "start_time_seconds",
            "When the process started, in seconds since 1970.",
        )?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds since 1970 are far below 2^52"
        )]
        started.set(crate::timestamp::unix_seconds() as f64);
        let metrics = Self {
            api_requests: make.counters(
                "api_requests_total",
                "Requests to the Kubernetes API server.",
                &["verb", "resource", "code"],
            )?,
            api_seconds: make.histograms(
                "api_request_duration_seconds",
                "Seconds until the head of the Kubernetes API server's answer.",
                &["verb", "resource"],
            )?,
            api_received_bytes: make.counter(
                "api_received_bytes_total",
                "Bytes of answers read from the Kubernetes API server.",
            )?,
            api_sent_bytes: make.counter(
                "api_sent_bytes_total",
                "Bytes of request bodies sent to the Kubernetes API server.",
            )?,
            backend_requests: make.counters(
                "backend_requests_total",
                "Requests to the backend.",
                &["endpoint", "code"],
            )?,
            backend_seconds: make.histograms(
                "backend_request_duration_seconds",
                "Seconds of requests to the backend.",
                &["endpoint"],
            )?,
            backend_sent_bytes: make.counter(
                "backend_sent_bytes_total",
                "Bytes of request bodies sent to the backend.",
            )?,
            backend_received_bytes: make.counter(
                "backend_received_bytes_total",
                "Bytes of answers read from the backend.",
            )?,
            samples: make.counters("samples_collected_total", "Samples collected.", &["kind"])?,
            samples_delivered: make.counter(
                "samples_delivered_total",
                "Samples that the backend has taken.",
            )?,
            samples_dropped: make.counters(
                "samples_dropped_total",
                "Samples given up.",
                &["reason"],
            )?,
            batches: make.counters(
                "batches_total",
                "Batches of samples by what became of them.",
                &["outcome"],
            )?,
            batch_retries: make.counter(
                "batch_retries_total",
                "Uploads of batches that were tried again.",
            )?,
            buffered_samples: make
                .int_gauge("buffered_samples", "Samples waiting for the backend.")?,
            buffered_bytes: make.int_gauge(
                "buffered_bytes",
                "Compressed bytes waiting for the backend.",
            )?,
            cycle_seconds: make.histograms(
                "collection_duration_seconds",
                "Seconds of collection cycles.",
                &["component"],
            )?,
            cycles: make.counters("collections_total", "Collection cycles.", &["outcome"])?,
            objects: make.gauges(
                "objects",
                "Objects of the cluster held in memory.",
                &["resource"],
            )?,
            heartbeats: make.counters(
                "heartbeats_total",
                "Heartbeats by outcome.",
                &["outcome"],
            )?,
            leader: make.int_gauge("leader", "1 while this replica leads.")?,
            component_state: make.gauges(
                "component_state",
                "1 for the state that a component is in, 0 for the others.",
                &["component", "state"],
            )?,
            component_restarts: make.counters(
                "component_restarts_total",
                "Restarts of a component after an error or a panic.",
                &["component"],
            )?,
            capability: make.gauges(
                "capability",
                "1 for what the agent's account is permitted to do, 0 for what is switched off.",
                &["capability"],
            )?,
            actions: make.counters(
                "actions_total",
                "Actions by type and outcome.",
                &["type", "outcome"],
            )?,
            action_seconds: make.histograms_of(
                "action_duration_seconds",
                "Seconds of actions from begin to end.",
                &["type"],
                &ACTION_SECONDS,
            )?,
            refusals: make.counters(
                "refusals_total",
                "Envelopes and actions refused.",
                &["reason"],
            )?,
            evictions: make.counters(
                "evictions_total",
                "Evictions sent, by what the API server made of them.",
                &["outcome"],
            )?,
            evictions_blocked: make.counter(
                "evictions_blocked_total",
                "Evictions that a disruption budget held up.",
            )?,
            results: make.counters(
                "results_total",
                "Results by what became of them.",
                &["outcome"],
            )?,
            outbox_results: make.int_gauges(
                "outbox_results",
                "Results not yet delivered.",
                &["state"],
            )?,
            journal_writable: make.int_gauge(
                "journal_writable",
                "1 while the journal can be written and has room.",
            )?,
            envelopes: make.counters(
                "envelopes_total",
                "Envelopes by the channel that brought them and what became of them.",
                &["channel", "outcome"],
            )?,
            config_version: make.int_gauge(
                "config_version",
                "The version of the remote settings in force, 0 for none.",
            )?,
            channel: ChannelMetrics::new(&make)?,
            system: SystemMetrics::new(&make)?,
            clock_offset: make.gauge(
                "clock_offset_seconds",
                "The backend's clock less the agent's.",
            )?,
            registry,
        };
        zero::begin(&metrics);
        Ok(metrics)
    }

    /// All of them in the Prometheus text format, version 0.0.4.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory fails only for a metric without samples, which the registry does not hold.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_help_and_type() {
        let metrics = Metrics::new().unwrap();
        metrics
            .api_requests
            .with_label_values(&["list", "pods", "200"])
            .inc();
        let text = metrics.text();
        assert!(
            text.contains("# HELP kubernetes_agent_api_requests_total Requests to"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE kubernetes_agent_api_requests_total counter"),
            "{text}"
        );
        assert!(
            text.contains("kubernetes_agent_api_requests_total{code=\"200\",resource=\"pods\",verb=\"list\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("kubernetes_agent_build_info{version="),
            "{text}"
        );
    }
}
