//! What a simulated API server is started with.

use std::path::PathBuf;
use std::time::Duration;

/// How a server is to be. The default is one that a test of ordinary things wants.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub address: String,
    /// Whether it speaks TLS, with a certificate of a CA of its own for 127.0.0.1 and localhost. A service account's pod
    /// reaches its API server in no other way.
    pub tls: bool,
    /// The version it says it is, and whose resources it serves.
    pub version: String,
    /// The bearer token it demands; none lets everybody in.
    pub token: Option<String>,
    /// How many changes of each resource a watch can go back.
    pub history: usize,
    /// How often a watch that wants bookmarks gets one. The real server: about once a minute.
    pub bookmark_interval: Duration,
    /// How a watch learns that its version is too old.
    pub expired_watch: ExpiredWatch,
    /// How often the Metrics API has new numbers. The real Metrics Server: every 15 s.
    pub metrics_resolution: Duration,
    /// Where each successful write is appended before it is answered, as one line of JSON.
    pub mutation_log: Option<PathBuf>,
    /// How many requests the audit log holds before the oldest go.
    pub audit_size: usize,
    /// Whether it answers in protobuf what the real server does: lists of pods, of metadata and of usage. Something between agent
    /// and server may know JSON alone.
    pub protobuf: bool,
    /// Whether a pod that is deleted goes at once, as if its node's kubelet had no work with it. Otherwise it stays
    /// terminating until the controllers' kubelet, or a deletion without grace, removes it.
    pub delete_pods_at_once: bool,
}

/// The two ways in which servers say that a watch's version is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiredWatch {
    /// As an ERROR event in a stream that began well: the way of the watch cache, and so the usual one.
    InStream,
    /// As HTTP status 410.
    Http,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            address: "127.0.0.1:0".to_owned(),
            tls: false,
            version: "v1.20.2".to_owned(),
            token: Some("sandbox-token".to_owned()),
            history: 20_000,
            bookmark_interval: Duration::from_mins(1),
            expired_watch: ExpiredWatch::InStream,
            metrics_resolution: Duration::from_secs(15),
            mutation_log: None,
            audit_size: 100_000,
            protobuf: true,
            delete_pods_at_once: false,
        }
    }
}

impl Options {
    /// The minor version: 20 of `v1.20.2`.
    pub fn minor(&self) -> u32 {
        self.version
            .split('.')
            .nth(1)
            .and_then(|minor| minor.parse().ok())
            .unwrap_or(20)
    }
}
