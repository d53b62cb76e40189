//! One active agent among several replicas, chosen by a Lease (coordination.k8s.io) as the control plane's own
//! components do it.
//!
//! ```text
//!  elector (thread): get, create, update, watch the Lease --> leadership --> agent: starts and ends a term
//!                                                                 |
//!                                                  fence: may this client write now?
//! ```
//!
//! [`lease`] is the object, [`election`] the rules, without clock or socket. [`elector`] applies them and keeps
//! [`leadership`], which everything else asks. Clocks are never compared: a Lease has run out for a replica when that
//! replica has not seen it change for as long as it holds, and for its holder much earlier, counted from the moment
//! that its last successful renewal was sent. So the holder has stopped before anybody else begins.

pub mod election;
pub mod elector;
pub mod lease;
pub mod leadership;

use std::time::Duration;

pub use leadership::{Leadership, State};

/// How leadership is won and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The Lease's namespace: the agent's own.
    pub namespace: String,
    /// LEADER_ELECTION_LEASE: the Lease's name.
    pub lease: String,
    /// How long each part of it takes.
    pub timing: Timing,
}

/// How long each part of leading takes. The fields are named as those of every Kubernetes component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// LEADER_ELECTION_LEASE_DURATION: a Lease that did not change for so long is free.
    pub lease_duration: Duration,
    /// LEADER_ELECTION_RENEW_DEADLINE: who could not renew it for so long acts no more.
    pub renew_deadline: Duration,
    /// LEADER_ELECTION_RETRY_PERIOD: between two renewals, and between two tries.
    pub retry_period: Duration,
}

/// What the leaders of a cluster tell each other, in an annotation of the Lease.
pub trait Handover: Send + Sync {
    /// What a successor of ours has to know at this moment.
    fn tell(&self) -> String;
    /// What the one before us told.
    fn heard(&self, told: &str);
}
