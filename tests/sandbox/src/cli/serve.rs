//! The simulated API server alone, for measurements: what it uses shall not count as the agent's, nor stand in its way.

use std::io::Read as _;

use sandbox::apiserver::{self, ApiServer, Population};
use serde_json::json;

use super::options::Options;
use super::print;

/// Serves a cluster until standard input ends. Says in a line of JSON when it is complete, and where.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let server = ApiServer::start(apiserver::Options {
        tls: true,
        // Each collection meets new numbers.
        metrics_resolution: options.interval,
        ..apiserver::Options::default()
    });
    let server = server.map_err(|err| format!("failed to start the API server: {err}"))?;
    server.populate(options.nodes, options.pods, &Population::default());
    let folder =
        tempfile::tempdir().map_err(|err| format!("failed to make a temporary folder: {err}"))?;
    let kubeconfig = server
        .kubeconfig(folder.path())
        .map_err(|err| format!("failed to write into {}: {err}", folder.path().display()))?;
    let counts = json!({"nodes": server.count("nodes"), "pods": server.count("pods")});
    print(&json!({"url": server.url(), "kubeconfig": kubeconfig, "objects": counts}).to_string());
    // Whoever started it holds the other end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
