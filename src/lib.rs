//! x
pub mod agent;
pub mod backend;
pub mod cluster;
pub mod collector;
pub mod config;
pub mod health;
pub mod heartbeat;
pub mod http;
pub mod ids;
pub mod kube;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod resources;
pub mod secret;
mod signals;
#[cfg(feature = "test-hooks")]
mod test_hooks;
pub mod thread;
pub mod timestamp;

#[cfg(not(no_actions))]
pub mod actions;
#[cfg(not(no_actions))]
pub mod actuator;
#[cfg(not(no_actions))]
pub mod journal;
#[cfg(not(no_actions))]
pub mod poller;

/// The agent's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How the agent names itself to the API server and the backend.
pub const USER_AGENT: &str = concat!("kubernetes-agent/", env!("CARGO_PKG_VERSION"));
