//! The agent as a library: its binary, `src/main.rs`, is an exit code around [`agent::run`].
//!
//! Where a line belongs, in reading order:
//!
//! - [`command`] is the command line; [`check`] tries everything that the agent needs, beside one that runs.
//! - [`agent`] puts everything together: every thread and every queue on one screen.
//! - [`config`] turns the environment into ready types; [`secret`] keeps keys out of logs; [`logging`] writes lines.
//! - [`thread`] supervises threads, stops them and paces their retries; it knows no word of the domain.
//! - [`health`] and [`metrics`] are what the agent says of itself; [`http`] serves them; [`resources`] measures.
//! - [`kube`] is the Kubernetes API by hand: requests, lists and watches as streams, credentials, typed errors.
//! - [`leader`] decides by a Lease whether this replica acts, and answers for each write.
//! - [`cluster`] holds what is known of pods, nodes and owners, fed by watches.
//! - [`collector`] joins usage with it and makes samples; [`backend`] batches, buffers and delivers them.
//! - [`heartbeat`] registers the agent and beats; [`net`] is what all connections to the backend share.
//! - [`actions`] proves envelopes and reads actions, without IO; [`journal`] remembers them over a crash;
//!   [`actuator`] claims, executes and reports them; [`poller`] is their polled channel, [`websocket`] the pushed one.
//! - [`settings`] is what the backend may change while the agent runs.
//! - [`rbac`] is the table of what all of them ask of the API server; manifests, chart and README follow it.
//!   [`capabilities`] switches off what is not permitted.
//!
//! Invariants: no secret leaves [`secret::Secret`] but into a header or a MAC. Only [`actions::verify`] makes a
//! `Verified`, only [`actuator::context::Context::begin`] the right to write, and no write leaves [`kube::Client`] but
//! past a [`kube::fence::Fence`]. Every blocking call has a deadline,
//! every queue a bound, and every pause ends when [`thread::stop::Stop`] fires.

pub mod command;
pub mod check;
pub mod agent;
pub mod capabilities;
pub mod config;
pub mod secret;
pub mod logging;
pub mod thread;
pub mod health;
pub mod metrics;
pub mod http;
pub mod resources;
pub mod kube;
pub mod leader;
pub mod cluster;
pub mod collector;
pub mod backend;
pub mod heartbeat;
pub mod net;
pub mod actions;
pub mod journal;
pub mod state_dir;
pub mod actuator;
pub mod poller;
pub mod rbac;
pub mod settings;
pub mod websocket;
pub mod ids;
pub mod timestamp;
mod plain;
mod signals;
#[cfg(feature = "test-hooks")]
pub mod test_hooks;

/// The agent's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How the agent names itself to the API server and the backend.
pub const USER_AGENT: &str = concat!("kubernetes-agent/", env!("CARGO_PKG_VERSION"));
