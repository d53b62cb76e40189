//! The reference backend in a process of its own, for an agent that runs elsewhere.

use std::net::SocketAddr;

use sandbox::backend::{Backend, KeepSamples, Options};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::print;
use super::running::Announced;

/// Serves until a signal comes. The first line says what an agent is to be started with.
pub(crate) fn run(listen: SocketAddr) -> Result<(), String> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|err| format!("failed to listen for signals: {err}"))?;
    let options = Options {
        listen,
        // It may run for days.
        keep_samples: KeepSamples::LastPerObject,
        keep_heartbeats: 100,
        ..Options::default()
    };
    let (api_key, secret_key) = (options.api_key.clone(), options.secret_key.clone());
    let backend =
        Backend::start(options).map_err(|err| format!("failed to start the backend: {err}"))?;
    let variables = json!({
        "BACKEND_URL": backend.url(), "BACKEND_WS_URL": backend.ws_url(),
        "API_KEY": api_key, "SECRET_KEY": secret_key,
    });
    print(&variables.to_string());
    let _announced = Announced::new(backend.url());
    signals.forever().next();
    Ok(())
}
