//! A component that panics runs again within its back-off, and everybody who looks sees the restart.

use std::fs;

use crate::common::agent::{Agent, Setup};
use crate::common::cluster::Cluster;
use crate::common::eventually;
use sandbox::backend::{Backend, Kind, Options};

/// Makes `component` panic once.
fn panic_in(setup: &Setup, component: &str) {
    // The hook must see a whole name.
    let draft = setup.folder().join("panic.new");
    fs::write(&draft, component).unwrap();
    fs::rename(draft, setup.folder().join("panic")).unwrap();
}

fn restarts(agent: &Agent, component: &str) -> Option<f64> {
    agent.metric(&format!(
        "kubernetes_agent_component_restarts_total{{component=\"{component}\"}}"
    ))
}

fn running(agent: &Agent, component: &str) -> bool {
    let name =
        format!("kubernetes_agent_component_state{{component=\"{component}\",state=\"running\"}}");
    agent.metric(&name) == Some(1.0)
}

/// Each of these panics in turn, is seen to, and runs again.
fn survive(components: &[&str]) {
    let cluster = Cluster::with(3, 50);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let hook = setup.folder().join("panic").display().to_string();
    let setup = setup.with("KUBERNETES_AGENT_TEST_PANIC", &hook);
    let mut agent = setup.start();
    eventually("the first cycle", || backend.sample_count(Kind::Pod) >= 50);
    for component in components {
        assert_eq!(restarts(&agent, component), Some(0.0), "{component}");
        panic_in(&setup, component);
        // A watch shows a sign of life when it hears of a change, or begins anew.
        cluster.server.drop_watches();
        agent.logged(&format!(
            "Component {component} failed: panicked: the test asked for it"
        ));
        eventually(&format!("{component} runs again"), || {
            restarts(&agent, component) == Some(1.0) && running(&agent, component)
        });
        eventually(
            &format!("a heartbeat tells of {component}'s restart"),
            || {
                backend
                    .last_heartbeat()
                    .is_some_and(|it| *it.component(component, "restarts") == 1)
            },
        );
        assert_eq!(agent.get("/healthz").0, 200);
    }
    let before = backend.sample_count(Kind::Pod);
    eventually("cycles go on", || {
        backend.sample_count(Kind::Pod) >= before + 100
    });
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn what_collects_and_delivers_survives_a_panic() {
    survive(&["collector", "uplink_1", "uplink_2"]);
}

#[test]
fn what_tells_of_the_agent_survives_a_panic() {
    survive(&["heartbeat", "http"]);
}

#[test]
fn watches_survive_a_panic() {
    survive(&[
        "watch_pods",
        "watch_nodes",
        "watch_replicasets",
        "watch_events",
    ]);
}

#[test]
fn what_acts_survives_a_panic() {
    survive(&["poller", "reporter", "websocket_client"]);
}
