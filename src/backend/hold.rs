//! An endpoint that is left alone for a while, whatever waits for it (protocol, section 2), without clock or socket.

use std::time::{Duration, Instant};

use super::retry::Failure;

/// While an API key is not accepted, whether there is another one is looked at this often.
pub const KEY_LOOK: Duration = Duration::from_secs(2);

/// Until when nothing is sent to an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    until: Instant,
    /// How often the API key had changed when it was refused, if that is the reason.
    key_version: Option<u64>,
}

impl Hold {
    /// For so long, whatever happens.
    pub fn until(until: Instant) -> Self {
        Self {
            until,
            key_version: None,
        }
    }

    /// What `failure` says of the whole endpoint rather than of the one call; none where another may well succeed.
    pub fn after(failure: &Failure, pause: Duration, now: Instant) -> Option<Self> {
        let key_version = match failure {
            Failure::Unauthorized { key_version, .. } => Some(*key_version),
            Failure::Transient {
                retry_after: Some(_),
                ..
            } => None,
            _ => return None,
        };
        Some(Self {
            until: now + pause,
            key_version,
        })
    }

    /// How long until this is to be asked again; none once it is over. A changed key ends that of a refused one.
    pub fn left(&self, now: Instant, key_version: u64) -> Option<Duration> {
        let left = self.until.saturating_duration_since(now);
        match self.key_version {
            _ if left.is_zero() => None,
            None => Some(left),
            Some(refused) => (refused == key_version).then(|| left.min(KEY_LOOK)),
        }
    }
}
