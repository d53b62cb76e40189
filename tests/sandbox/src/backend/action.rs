//! One action, and what is known of it.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::envelope::Envelope;

/// Where an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionState {
    /// Offered.
    Pending,
    /// An instance holds it.
    Claimed,
    /// The lease ran out. A late result is still taken.
    Lost,
    /// It has its result.
    Done,
    /// Withdrawn before anybody claimed it.
    Cancelled,
    /// Nobody claimed it in time.
    Expired,
}

/// An action with all that happened to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Action {
    /// Its id.
    pub id: String,
    /// Its name.
    pub action: String,
    /// The cluster it is for.
    pub cluster_id: String,
    /// The only agent it is for, if there is one.
    pub agent_id: Option<String>,
    /// As it was signed.
    pub envelope: Envelope,
    /// What a claim names the payload by.
    pub payload_sha256: String,
    /// In unix seconds.
    pub expires_at: i64,
    /// Where it stands.
    pub state: ActionState,
    /// When it was made, by the backend's clock.
    pub created_at: String,
    /// In how many lists it stood.
    pub listed: u32,
    /// How often it was pushed over a WebSocket.
    pub pushed: u32,
    /// Who holds it, or held it: agent and instance.
    pub claimed_by: Option<(String, String)>,
    /// When it was claimed first.
    pub claimed_at: Option<String>,
    /// How many claims were granted: more than one where an answer was lost.
    pub claims_granted: u32,
    /// How many claims were refused.
    pub claims_refused: u32,
    /// Whether the lease ever ran out.
    pub was_lost: bool,
    /// The result, as it came first.
    pub result: Option<Value>,
    /// When it came.
    pub finished_at: Option<String>,
    /// How often the same result came again.
    pub result_repeats: u32,
    /// How many results were refused.
    pub results_refused: u32,
    /// The answers to pushes of it, and how far it is, as they came over a WebSocket.
    pub frames: Vec<Value>,
    #[serde(skip)]
    pub(super) lease_until: Option<Instant>,
}
