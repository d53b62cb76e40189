//! What the agent says of itself over HTTP.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;

use crate::common::agent::Setup;
use crate::common::cluster::Cluster;
use crate::common::eventually;
use sandbox::backend::{Backend, Endpoint, Fault, Kind, Options};
use serde_json::Value;

#[test]
fn probes_answer_and_other_paths_do_not() {
    let cluster = Cluster::with(1, 5);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("ready", || agent.get("/readyz").0 == 200);
    assert_eq!(agent.get("/healthz").0, 200);
    assert_eq!(agent.get("/healthz?verbose").0, 200);
    for path in ["/", "/health", "/healthz/", "/metrics/x", "/..%2fmetrics"] {
        assert_eq!(agent.get(path).0, 404, "{path}");
    }
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn a_new_agent_is_ready_long_before_its_second_heartbeat() {
    let cluster = Cluster::with(1, 5);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend)
        .with("HEARTBEAT_INTERVAL", "600")
        .with("COLLECTION_INTERVAL", "600");
    let mut agent = setup.start();
    eventually("ready", || agent.get("/readyz").0 == 200);
    agent.stop();
}

#[test]
fn readiness_names_the_check_that_fails_and_liveness_stays() {
    let cluster = Cluster::with(1, 5);
    let backend = Backend::start(Options::default()).unwrap();
    backend.set_fault(Endpoint::Register, Fault::status(503));
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("the registration alone fails", || {
        let (code, body) = agent.get("/readyz");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let failing = body["failing"].as_object();
        code == 503
            && failing.is_some_and(|it| {
                it.len() == 1
                    && it["registered"]
                        .as_str()
                        .is_some_and(|it| it.contains("503"))
            })
    });
    assert_eq!(agent.get("/healthz").0, 200);
    backend.clear_faults();
    eventually("ready", || agent.get("/readyz").0 == 200);
    agent.stop();
}

#[test]
fn a_cluster_that_was_never_read_is_not_ready() {
    let cluster = Cluster::with(1, 5);
    cluster.server.stop();
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("registered, and the cluster named", || {
        let (code, body) = agent.get("/readyz");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        code == 503
            && body["failing"]
                .as_object()
                .is_some_and(|it| it.len() == 1 && !it.contains_key("registered"))
    });
    assert_eq!(agent.get("/healthz").0, 200);
    cluster.server.restart().unwrap();
    eventually("ready", || agent.get("/readyz").0 == 200);
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn metrics_are_well_formed_and_all_there() {
    let cluster = Cluster::with(3, 50);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("two cycles", || backend.sample_count(Kind::Pod) >= 100);
    let (code, text) = agent.get("/metrics");
    assert_eq!(code, 200);
    let named = |word: &str| -> HashSet<&str> {
        text.lines()
            .filter_map(|it| it.strip_prefix(word)?.split(' ').next())
            .collect()
    };
    let (help, kinds) = (named("# HELP "), named("# TYPE "));
    assert_eq!(help, kinds);
    for line in text.lines().filter(|it| !it.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        value
            .parse::<f64>()
            .unwrap_or_else(|err| panic!("{err}: {line}"));
        let name = series.split('{').next().unwrap_or_default();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|it| name.strip_suffix(it))
            .unwrap_or(name);
        assert!(
            kinds.contains(name) || kinds.contains(base),
            "no TYPE: {line}"
        );
        assert!(name.starts_with("kubernetes_agent_"), "{line}");
    }
    for part in [
        "api_requests_total{code=\"200\",resource=\"pods\",verb=\"list\"} 1\n",
        "samples_collected_total{kind=\"pod\"} ",
        "batches_total{outcome=\"delivered\"} ",
        "samples_delivered_total ",
        "batch_retries_total 0\n",
        "build_info{",
        "process_cpu_seconds_total ",
        "component_restarts_total{",
        "backend_sent_bytes_total",
        "backend_received_bytes_total",
    ] {
        assert!(
            text.contains(&format!("kubernetes_agent_{part}")),
            "{part:?} in:\n{text}"
        );
    }
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn a_thousand_silent_clients_keep_no_probe_waiting() {
    let cluster = Cluster::with(1, 5);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("ready", || agent.get("/readyz").0 == 200);
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.pid()));
        tasks.unwrap().count()
    };
    let before = threads();
    let port = agent.port();
    let silent: Vec<_> = (0..1000)
        .map(|n| {
            let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            // Every other one has at least begun. Some are gone by then: they made room.
            if n % 2 == 0 {
                let _ = client.write_all(b"GET /healthz HTT");
            }
            client
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(agent.get("/healthz").0, 200);
    }
    assert!(agent.get("/metrics").1.contains("kubernetes_agent_"));
    let after = threads();
    assert!(after <= before + 2, "{before} threads became {after}");
    drop(silent);
    agent.stop();
}
