//! What came, and what of it was against the protocol.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::fault::Endpoint;

/// One request to the agent's side of the backend.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// What it was for; nothing if there is no such path.
    pub endpoint: Option<Endpoint>,
    /// Its method.
    pub method: String,
    /// Its path, decoded, without the query.
    pub path: String,
    /// The status it was answered with (or was to be, where the answer was spoilt).
    pub status: u16,
    /// The size of its body on the wire.
    pub bytes: usize,
    /// When it had been read, by the system's clock.
    pub at: SystemTime,
    /// How long it took until it was to be answered.
    pub took: Duration,
    /// Whether a fault spoilt it.
    pub faulted: bool,
}

/// Something that an agent that keeps to the protocol does not do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where: method and path, or the WebSocket.
    pub at: String,
    /// What.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.detail)
    }
}

/// More requests than any test needs to look back at.
const REQUESTS: usize = 200_000;
/// One fault in each of 150,000 samples must not fill the memory.
const VIOLATIONS: usize = 1_000;

/// Both lists, the oldest requests forgotten first.
#[derive(Debug, Default)]
pub(super) struct Journal {
    requests: Mutex<VecDeque<RequestRecord>>,
    counts: Mutex<BTreeMap<(Option<Endpoint>, u16), u64>>,
    violations: Mutex<Vec<Violation>>,
}

impl Journal {
    pub(super) fn request(&self, record: RequestRecord) {
        let key = (record.endpoint, record.status);
        *self
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(key)
            .or_default() += 1;
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == REQUESTS {
            requests.pop_front();
        }
        requests.push_back(record);
    }

    pub(super) fn violation(&self, at: &str, detail: impl Into<String>) {
        let mut violations = self
            .violations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if violations.len() < VIOLATIONS {
            violations.push(Violation {
                at: at.to_owned(),
                detail: detail.into(),
            });
        }
    }

    pub(super) fn requests(&self) -> Vec<RequestRecord> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// How many requests were answered how.
    pub(super) fn counts(&self) -> BTreeMap<(Option<Endpoint>, u16), u64> {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn violations(&self) -> Vec<Violation> {
        self.violations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
