//! The metrics of the process and its host.

use prometheus::{Counter, CounterVec, Gauge, GaugeVec};

use super::maker::Maker;

/// What sysinfo measures.
pub struct SystemMetrics {
    /// Processor seconds that the process has used.
    pub process_cpu_seconds: Counter,
    /// Bytes of the process' resident memory.
    pub process_memory_bytes: Gauge,
    /// Bytes that the container may have, those of the host where nothing limits it.
    pub memory_limit_bytes: Gauge,
    /// Share of all processors that the host is using, 0 to 1.
    pub host_cpu_ratio: Gauge,
    /// Memory of the host by state.
    pub host_memory_bytes: GaugeVec,
    /// The disk of STATE_DIR by state.
    pub disk_bytes: GaugeVec,
    /// Bytes over the interfaces of the process' network namespace.
    pub network_bytes: CounterVec,
}

impl SystemMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            process_cpu_seconds: make.seconds(
                "process_cpu_seconds_total",
                "Processor seconds used by the process.",
            )?,
            process_memory_bytes: make.gauge(
                "process_resident_memory_bytes",
                "Resident memory of the process.",
            )?,
            memory_limit_bytes: make.gauge(
                "memory_limit_bytes",
                "What the container may have of memory, or what the host has.",
            )?,
            host_cpu_ratio: make.gauge(
                "host_cpu_ratio",
                "Share of the host's processors in use, 0 to 1.",
            )?,
            host_memory_bytes: make.gauges(
                "host_memory_bytes",
                "Memory of the host.",
                &["state"],
            )?,
            disk_bytes: make.gauges("disk_bytes", "The disk that holds STATE_DIR.", &["state"])?,
            network_bytes: make.amounts(
                "network_bytes_total",
                "Bytes over the interfaces of the agent's network namespace, loopback aside.",
                &["direction"],
            )?,
        })
    }
}
