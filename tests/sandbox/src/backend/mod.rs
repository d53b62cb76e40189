//! The reference backend: the other side of the agent's protocol.
//!
//! It implements the contract (`src/backend/openapi.yaml`) and refuses what breaks it: every member of every
//! message is looked at, what is wrong is answered with 400 or 422, and written down, so that any test can end
//! with [`Core::assert_no_violations`]. It goes wrong on demand ([`Fault`]), because that is what an agent has to
//! survive.
//!
//! ```
//! use sandbox::backend::{Backend, Endpoint, Fault, NewAction, Options};
//! use std::time::Duration;
//!
//! let backend = Backend::start(Options { cluster_id: Some("c".into()), ..Options::default() })?;
//! println!("BACKEND_URL={} API_KEY={}", backend.url(), Options::default().api_key);
//! backend.set_fault(Endpoint::Metrics, Fault::retry_after(503, "30").times(2));
//! let action = backend.create_action(&NewAction::new("cordon_node", serde_json::json!({"node": "n-1"})))?;
//! let done = backend.wait_for(Duration::ZERO, |backend| backend.result(&action.id).is_some());
//! assert!(!done); // there is no agent
//! backend.assert_no_violations();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The parts: `rules`, `check`, `messages` and [`samples`](Sample) say what a message is; `agents`, `metrics`,
//! `actions` and `settings` hold what came; `envelope` signs; `routes` is the agent's side over HTTP, `admin` the
//! tests' side; `fault` and `faults` spoil answers; `journal` writes everything down; [`Core`] holds all of it
//! together, and `reading` and `doing` are what tests ask of it and do to it.

mod action;
mod actions;
mod admin;
mod agents;
mod answer;
mod body;
mod calls;
mod check;
mod clock;
mod doing;

mod envelope;
mod fault;
mod faults;
mod journal;
mod messages;
mod metrics;
mod quantities;
mod reading;
mod routes;
mod rules;
mod samples;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod websocket;

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crate::http::{Plain, Server, Wrap};
use crate::tls::Acceptor;

pub use action::{Action, ActionState};
pub use agents::{Heartbeat, Registration};
pub use clock::{Clock, parse_rfc3339, rfc3339};
pub use envelope::{Envelope, Key, NewAction, NewSettings, sha256_hex};
pub use fault::{Endpoint, Fault, FaultKind};
pub use journal::{RequestRecord, Violation};
pub use metrics::{Batch, Cycle, KeepSamples};
pub use reading::Summary;
pub use samples::{Kind, Sample};
pub use settings::Settings;
pub use state::Core;
pub use websocket::{Attack, ChannelMode, ChannelRecord, Closed, ClosedBy, Cut, Frame};

/// How a backend is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The key that agents show.
    pub api_key: String,
    /// The key that envelopes are signed with.
    pub secret_key: String,
    /// The only cluster that the API key covers; any, if not said.
    pub cluster_id: Option<String>,
    /// Stands before `/v1`, as where a backend shares its host.
    pub base_path: String,
    /// The most samples in a batch that are within the protocol (`BATCH_SIZE` of the agent).
    pub batch_size: usize,
    /// How long a claim holds without being renewed. Agents are told 300 s at least, as the protocol wants it.
    pub lease: Duration,
    /// How much of the samples is kept.
    pub keep_samples: KeepSamples,
    /// How many heartbeats are kept.
    pub keep_heartbeats: usize,
    /// How far the clock is ahead of the system's.
    pub clock_offset_ms: i64,
    /// Speaks TLS, for a certificate of `127.0.0.1` or `localhost`.
    pub tls: Option<Acceptor>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            api_key: "sandbox-api-key-0123456789".to_owned(),
            secret_key: "sandbox-secret-key-0123456789abcdef".to_owned(),
            cluster_id: None,
            base_path: String::new(),
            batch_size: 1000,
            lease: Duration::from_mins(5),
            keep_samples: KeepSamples::Whole,
            keep_heartbeats: 100_000,
            clock_offset_ms: 0,
            tls: None,
        }
    }
}

/// Why the backend does not do what a test asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A backend that listens, until it is dropped. It is a [`Core`] otherwise.
pub struct Backend {
    core: Arc<Core>,
    server: Server,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

impl Deref for Backend {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Backend {
    /// Starts one.
    pub fn start(options: Options) -> io::Result<Backend> {
        let listen = options.listen;
        let wrap: Box<dyn Wrap> = match &options.tls {
            Some(acceptor) => Box::new(acceptor.clone()),
            None => Box::new(Plain),
        };
        let core = Arc::new(Core::new(options).map_err(io::Error::other)?);
        let handler = routes::Handler::new(Arc::clone(&core));
        let control = handler.control();
        let server = Server::start_wrapped(listen, wrap, handler)?;
        // The handler cannot know the server that it is given to any earlier.
        let _ = control.set(server.control());
        Ok(Backend { core, server })
    }

    /// `BACKEND_URL` of an agent.
    pub fn url(&self) -> String {
        self.address("http", "")
    }

    /// `BACKEND_WS_URL` of an agent.
    pub fn ws_url(&self) -> String {
        self.address("ws", routes::WEBSOCKET_PATH)
    }

    fn address(&self, scheme: &str, path: &str) -> String {
        let options = &self.core.options;
        let secure = if options.tls.is_some() { "s" } else { "" };
        format!(
            "{scheme}{secure}://{}{}{path}",
            self.server.addr(),
            options.base_path
        )
    }

    /// The listener, for its address and traffic.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Goes down: connections are cut, and refused from now on.
    pub fn down(&self) {
        self.server.stop();
    }

    /// Comes up again on the same port.
    pub fn up(&self) -> io::Result<()> {
        self.server.restart()
    }
}
