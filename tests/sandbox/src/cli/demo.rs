//! The agent at work: cluster and backend in this process, the agent in its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sandbox::apiserver::{self, ApiServer, ControllerOptions, Population};
use sandbox::backend::{self, Backend, KeepSamples};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::agent::{self, Agent, Usage};
use super::life::Life;
use super::options::Options;
use super::outcome::Outcome;
use super::running::Announced;
use super::table::Table;
use super::{print, say};

/// CLUSTER_ID.
const CLUSTER: &str = "sandbox";
/// How often it is looked whether something is to be done.
const LOOK: Duration = Duration::from_millis(50);

/// Runs until the time is over or a signal comes; an error says why the run was no success.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let asked_to_stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let flag = Arc::clone(&asked_to_stop);
        signal_hook::flag::register(signal, flag)
            .map_err(|err| format!("failed to listen for signals: {err}"))?;
    }
    let binary = agent::binary()?;
    let server = cluster(options)?;
    let backend = Backend::start(backend::Options {
        // What came is shown and counted; a run of days must not fill the memory with it.
        keep_samples: KeepSamples::LastPerObject,
        keep_heartbeats: 100,
        cluster_id: Some(CLUSTER.to_owned()),
        ..backend::Options::default()
    });
    let backend = backend.map_err(|err| format!("failed to start the backend: {err}"))?;
    let folder =
        tempfile::tempdir().map_err(|err| format!("failed to make a temporary folder: {err}"))?;
    let mut agent = Agent::start(
        &binary,
        &variables(options, &server, &backend, folder.path())?,
    )?;
    say(&format!(
        "API server {}  backend {}  {} nodes, {} pods",
        server.url(),
        backend.url(),
        server.count("nodes"),
        server.count("pods")
    ));

    let _announced = Announced::new(backend.url());
    let usage = watch(options, &server, &backend, &mut agent, &asked_to_stop)?;
    let ready_after = agent.ready_after();
    let ended = agent.stop();
    let outcome = Outcome {
        server: &server,
        backend: &backend,
        usage,
        ready_after,
        ended,
    };
    print(&outcome.to_json().to_string());
    let faults = outcome.faults();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\nerror: "))
    }
}

fn cluster(options: &Options) -> Result<ApiServer, String> {
    let server = ApiServer::start(apiserver::Options {
        // Each collection meets new numbers.
        metrics_resolution: options.interval,
        ..apiserver::Options::default()
    });
    let server = server.map_err(|err| format!("failed to start the API server: {err}"))?;
    server.populate(options.nodes, options.pods, &Population::default());
    // What an action takes away comes back, and budgets count it.
    server
        .controllers(ControllerOptions::default())
        .map_err(|err| format!("failed to start the controllers: {err}"))?;
    Ok(server)
}

fn variables(
    options: &Options,
    server: &ApiServer,
    backend: &Backend,
    folder: &Path,
) -> Result<Vec<(&'static str, String)>, String> {
    let failed = |err| format!("failed to write into {}: {err}", folder.display());
    let kubeconfig = server.kubeconfig(folder).map_err(failed)?;
    let state = folder.join("state");
    std::fs::create_dir(&state).map_err(failed)?;
    let keys = backend::Options::default();
    Ok(vec![
        ("KUBECONFIG", kubeconfig.display().to_string()),
        ("STATE_DIR", state.display().to_string()),
        ("BACKEND_URL", backend.url()),
        ("BACKEND_WS_URL", backend.ws_url()),
        ("API_KEY", keys.api_key),
        ("SECRET_KEY", keys.secret_key),
        ("CLUSTER_ID", CLUSTER.to_owned()),
        ("AGENT_ID", "sandbox-agent".to_owned()),
        (
            "COLLECTION_INTERVAL",
            options.interval.as_secs().to_string(),
        ),
        // The defaults, and sooner where the collections come sooner: what arrives is to be seen.
        (
            "HEARTBEAT_INTERVAL",
            options.interval.as_secs().min(30).to_string(),
        ),
        (
            "ACTION_POLL_INTERVAL",
            options.interval.as_secs().clamp(2, 10).to_string(),
        ),
        ("HTTP_PORT", "0".to_owned()),
    ])
}

/// Shows a row for each interval until the end, and returns what the agent used up to then.
fn watch(
    options: &Options,
    server: &ApiServer,
    backend: &Backend,
    agent: &mut Agent,
    asked_to_stop: &AtomicBool,
) -> Result<Usage, String> {
    let began = Instant::now();
    let mut life = Life::of(server);
    let mut table = Table::default();
    let mut next_row = options.interval;
    loop {
        if let Some(status) = agent.ended() {
            return Err(format!("the agent ended by itself: {status}"));
        }
        let elapsed = began.elapsed();
        let over = options.seconds.is_some_and(|it| elapsed >= it)
            || asked_to_stop.load(Ordering::Relaxed);
        if elapsed >= next_row || over {
            next_row += options.interval;
            table.add(elapsed, backend, agent.usage());
            life.go_on(server);
        }
        if over {
            return agent
                .usage()
                .ok_or_else(|| "the agent ended by itself".to_owned());
        }
        thread::sleep(LOOK);
    }
}
