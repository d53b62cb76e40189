//! The agent's life: registered, forgotten, registered again, and a stop that is quick however busy it is.

use std::time::Duration;

use crate::common::agent::Setup;
use crate::common::cluster::Cluster;
use crate::common::eventually;
use crate::common::world::World;
use sandbox::apiserver::{Effect, Fault as ApiFault};
use sandbox::backend::{Backend, Endpoint, FaultKind, Kind, Options};
use serde_json::json;

const STOP: Duration = Duration::from_secs(5);

#[test]
fn a_quiet_agent_stops_at_once_and_deregisters() {
    let cluster = Cluster::with(3, 50);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("a heartbeat", || backend.last_heartbeat().is_some());
    assert_eq!(backend.registrations().len(), 1);
    let took = agent.stop();
    assert!(took < STOP, "{took:?}");
    assert_eq!(
        (
            backend.registrations().len(),
            backend.summary().deregistered
        ),
        (0, 1)
    );
    backend.assert_no_violations();
}

#[test]
fn an_interrupt_is_as_good_as_a_termination() {
    let cluster = Cluster::with(1, 5);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("registered", || backend.registrations().len() == 1);
    agent.signal("INT");
    let (status, took) = agent.wait();
    assert!(status.success() && took < STOP, "{status} {took:?}");
    assert_eq!(backend.summary().deregistered, 1);
    backend.assert_no_violations();
}

#[test]
fn a_stop_amid_a_collection_and_an_upload_is_clean() {
    let cluster = Cluster::with(3, 300);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend).with("BATCH_SIZE", "10");
    let mut agent = setup.start();
    eventually("samples", || backend.sample_count(Kind::Pod) >= 300);
    // From now on a read of the Metrics API takes longer than the agent may, and so does an upload.
    cluster.server.set_fault(ApiFault::on(
        "list",
        "pods.metrics.k8s.io",
        Effect::Delay(8_000),
    ));
    backend.set_fault(Endpoint::Metrics, FaultKind::Delay { ms: 8_000 });
    let before = cluster.server.audit().count("list", "pods.metrics.k8s.io");
    eventually("a collection under way", || {
        cluster.server.audit().count("list", "pods.metrics.k8s.io") > before
    });
    eventually("an upload under way", || {
        agent
            .metric("kubernetes_agent_buffered_samples")
            .is_some_and(|it| it > 0.0)
    });
    let took = agent.stop();
    assert!(took < STOP, "{took:?}\n{}", agent.log());
    assert_eq!(
        (
            backend.registrations().len(),
            backend.summary().deregistered
        ),
        (0, 1)
    );
}

/// Bytes that keep coming must not keep the agent: a read that never times out is broken off all the same.
#[test]
fn a_stop_amid_answers_that_drip_is_clean() {
    let cluster = Cluster::with(3, 50);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("samples", || backend.sample_count(Kind::Pod) >= 50);
    let drip = ApiFault::on("list", "pods.metrics.k8s.io", Effect::Drip(20));
    cluster.server.set_fault(drip);
    backend.set_fault(Endpoint::Metrics, FaultKind::Slow { interval_ms: 200 });
    let before = cluster.server.audit().count("list", "pods.metrics.k8s.io");
    eventually("a collection under way", || {
        cluster.server.audit().count("list", "pods.metrics.k8s.io") > before
    });
    let took = agent.stop();
    assert!(took < STOP, "{took:?}\n{}", agent.log());
    assert_eq!(backend.summary().deregistered, 1);
}

/// A write that gets no answer is given up at the stop, early enough for the action's result to be delivered.
#[test]
fn a_stop_amid_a_write_that_hangs_reports_it() {
    let world = World::new(1, 0);
    let mut agent = world.start();
    let hang = ApiFault::on("patch", "nodes", Effect::Hang);
    world.cluster.server.set_fault(hang);
    let id = world.cordon("node-1");
    eventually("the write", || {
        world.cluster.server.audit().count("patch", "nodes") > 0
    });
    let took = agent.stop();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let result = world.backend.result(&id).expect("a result is delivered");
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("interrupted"), &json!("shutdown")),
        "{result:#}"
    );
    world.backend.assert_no_violations();
}

#[test]
fn a_stop_while_nobody_answers_is_quick() {
    let cluster = Cluster::with(3, 50);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("a heartbeat", || backend.last_heartbeat().is_some());
    backend.set_fault(Endpoint::All, FaultKind::Hang);
    cluster.server.set_fault(ApiFault::on("", "", Effect::Hang));
    let asked = backend.requests().len();
    eventually("a request that hangs", || {
        backend.requests().len() > asked || agent.log().contains("imeout")
    });
    let took = agent.stop();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn an_agent_that_was_forgotten_registers_again() {
    let cluster = Cluster::with(1, 5);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("a heartbeat", || backend.last_heartbeat().is_some());
    let run = backend.registrations().remove(0).run_id;
    backend.forget_registrations();
    eventually("registered again", || backend.registrations().len() == 1);
    assert_eq!(backend.registrations()[0].run_id, run);
    let heard = backend.summary().heartbeats;
    eventually("heartbeats go on", || backend.summary().heartbeats > heard);
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn a_failed_registration_is_logged_and_tried_again() {
    let cluster = Cluster::with(1, 5);
    let backend = Backend::start(Options::default()).unwrap();
    backend.set_fault(
        Endpoint::Register,
        sandbox::backend::Fault::status(500).times(1),
    );
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    agent.logged(" - main - INFO - Agent registered successfully");
    let log = agent.log();
    let failed = log
        .find("Failed to register with backend: ")
        .expect("the failure is logged");
    assert!(
        failed < log.find("Agent registered successfully").unwrap(),
        "{log}"
    );
    agent.stop();
}
