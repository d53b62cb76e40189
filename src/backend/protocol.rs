//! The messages of the REST contract (protocol, section 2), apart from samples and actions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::health::Report;

/// The version of the protocol that is spoken.
pub const PROTOCOL: &str = "1";

/// Who is speaking: part of nearly every message.
#[derive(Debug, Clone)]
pub struct Identity {
    /// CLUSTER_ID.
    pub cluster_id: String,
    /// AGENT_ID.
    pub agent_id: String,
    /// Names the journal: it lives as long as STATE_DIR does.
    pub instance_id: String,
    /// Names this run of the process.
    pub run_id: String,
}

/// `POST /v1/agents/register`
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Register<'a> {
    pub cluster_id: &'a str,
    pub agent_id: &'a str,
    pub instance_id: &'a str,
    pub run_id: &'a str,
    pub agent_version: &'a str,
    pub protocols: [&'a str; 1],
    pub capabilities: &'a [&'a str],
    pub kubernetes_version: &'a str,
    pub started_at: &'a str,
}

/// The answer to it.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Registered {
    pub protocol: String,
    pub server_time: String,
}

/// `POST /v1/agents/{agent_id}/heartbeat`
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Heartbeat<'a> {
    pub cluster_id: &'a str,
    pub instance_id: &'a str,
    pub run_id: &'a str,
    pub seq: u64,
    pub status: &'static str,
    pub components: BTreeMap<&'static str, Report>,
    pub resources: ResourceUsage,
    pub in_progress: Vec<String>,
    pub outbox_depth: usize,
    pub metrics_buffered: u64,
    pub metrics_dropped: u64,
    pub rejected: Vec<Rejected>,
    pub config_version: u64,
    pub clock_offset_ms: Option<i64>,
    pub ws_connected: bool,
}

/// What the agent itself uses.
#[derive(Debug, Default, Clone, Copy, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct ResourceUsage {
    pub cpu_percent: f64,
    pub memory_bytes: u64,
    pub disk_free_bytes: u64,
    pub disk_total_bytes: u64,
    pub network_sent_bytes: u64,
    pub network_received_bytes: u64,
}

/// An envelope that was not proven, or settings that were refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Rejected {
    pub id: String,
    pub reason: String,
    pub count: u64,
}

/// The answer to a heartbeat.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Beaten {
    pub server_time: String,
    #[serde(default)]
    pub pending_actions: u64,
}

/// What a batch of samples says besides them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct BatchHead {
    pub cluster_id: String,
    pub agent_id: String,
    pub instance_id: String,
    pub run_id: String,
    pub batch_id: String,
    pub seq: u64,
    pub collected_at: String,
}

/// An error's body, RFC 9457.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// A short summary.
    pub title: Option<String>,
    /// What happened this time.
    pub detail: Option<String>,
}
