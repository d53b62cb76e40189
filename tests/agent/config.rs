//! Bad settings: all of them named in one output, no secret among it, and exit code 78.

use std::time::Duration;

use crate::common::agent::Setup;
use crate::common::cluster::Cluster;
use sandbox::backend::{Backend, Options};

const BAD_CONFIG: i32 = 78;

/// Starts an agent that must refuse its settings; returns what it said.
fn refused(change: impl FnOnce(Setup) -> Setup) -> String {
    let cluster = Cluster::with(1, 1);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = change(Setup::new(cluster.kubeconfig(), &backend));
    let mut agent = setup.start();
    let (status, took) = agent.wait();
    assert_eq!(status.code(), Some(BAD_CONFIG), "{}", agent.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(
        backend.requests().is_empty(),
        "nothing was asked of the backend"
    );
    agent.log()
}

/// Without any variable that [`Setup::new`] sets.
fn emptied(setup: Setup) -> Setup {
    let set = [
        "KUBECONFIG",
        "BACKEND_URL",
        "BACKEND_WS_URL",
        "API_KEY",
        "SECRET_KEY",
        "CLUSTER_ID",
        "AGENT_ID",
        "COLLECTION_INTERVAL",
        "HEARTBEAT_INTERVAL",
        "ACTION_POLL_INTERVAL",
        "HTTP_PORT",
        "LOG_LEVEL",
        "STATE_DIR",
    ];
    set.into_iter().fold(setup, Setup::without)
}

#[test]
fn an_empty_environment_names_all_that_is_missing() {
    let said = refused(emptied);
    for name in [
        "BACKEND_URL",
        "BACKEND_WS_URL",
        "API_KEY",
        "SECRET_KEY",
        "CLUSTER_ID",
    ] {
        let named =
            |line: &&str| line.contains(&format!("{name}:")) || line.contains(&format!("{name} "));
        assert!(said.lines().any(|line| named(&line)), "{name} in:\n{said}");
    }
}

#[test]
fn each_bad_value_is_named_and_no_secret_shown() {
    let said = refused(|setup| {
        setup
            .with("SECRET_KEY", "hunter22")
            .with("COLLECTION_INTERVAL", "5m")
            .with("BACKEND_URL", "backend.example")
    });
    let line = |name: &str| {
        let found = said.lines().find(|it| it.contains(name));
        found
            .unwrap_or_else(|| panic!("{name} in:\n{said}"))
            .to_owned()
    };
    line("SECRET_KEY");
    assert!(line("COLLECTION_INTERVAL").contains("5m"), "{said}");
    assert!(line("BACKEND_URL").contains("backend.example"), "{said}");
    assert!(!said.contains("hunter22"), "{said}");
    assert!(!said.contains(&Options::default().api_key), "{said}");
}

#[test]
fn faults_beside_missing_variables_are_named_too() {
    let said = refused(|setup| {
        setup
            .without("CLUSTER_ID")
            .with("LOG_LEVEL", "loud")
            .with("HTTP_PORT", "65536")
    });
    for part in ["CLUSTER_ID", "LOG_LEVEL", "loud", "HTTP_PORT", "65536"] {
        assert!(said.contains(part), "{part} in:\n{said}");
    }
}
