//! A backend that is down, busy, narrow or mad: the agent stays live, recovers by itself, and each batch is held once.

use std::collections::HashSet;
use std::time::Duration;

use crate::common::agent::{Agent, Setup};
use crate::common::cluster::Cluster;
use crate::common::eventually;
use sandbox::backend::{Backend, Endpoint, Fault, FaultKind, Kind, Options};

const PODS: usize = 50;

struct World {
    cluster: Cluster,
    backend: Backend,
    setup: Setup,
}

impl World {
    fn new() -> Self {
        let cluster = Cluster::with(3, PODS);
        let backend = Backend::start(Options::default()).expect("the backend starts");
        let setup = Setup::new(cluster.kubeconfig(), &backend).with("BATCH_SIZE", "20");
        Self {
            cluster,
            backend,
            setup,
        }
    }

    /// Waits for `n` more pod samples, while the agent stays live.
    fn receives(&self, agent: &Agent, n: usize) {
        let before = self.backend.sample_count(Kind::Pod);
        eventually(&format!("{n} more samples of pods"), || {
            live(agent);
            self.backend.sample_count(Kind::Pod) >= before + n
        });
    }

    /// Each batch and each sample is held once, and no number of a batch is missing.
    fn is_whole(&self) {
        let batches = self.backend.batches();
        let ids: HashSet<_> = batches.iter().map(|it| &it.batch_id).collect();
        assert_eq!(ids.len(), batches.len());
        assert_eq!(self.backend.summary().duplicates, 0);
        for cycle in self.backend.cycles() {
            assert_eq!(
                cycle.count(Kind::Pod),
                PODS,
                "the cycle of {}",
                cycle.collected_at
            );
            assert_eq!(
                cycle.count(Kind::Node),
                3,
                "the cycle of {}",
                cycle.collected_at
            );
        }
        assert_eq!(self.cluster.server.count("pods"), PODS);
    }
}

fn live(agent: &Agent) {
    let (code, body) = agent.get("/healthz");
    assert_eq!(code, 200, "{body}");
}

#[test]
fn a_backend_that_comes_late_gets_everything() {
    let world = World::new();
    world.backend.down();
    let mut agent = world.setup.start();
    agent.logged("Failed to register with backend: ");
    agent.logged("Failed to send metrics");
    eventually("three cycles without a backend", || {
        live(&agent);
        agent.log().matches("Collected metrics for 50 pods").count() >= 3
    });
    assert_eq!(agent.get("/readyz").0, 503);
    world.backend.up().unwrap();
    world.receives(&agent, 4 * PODS);
    eventually("ready", || agent.get("/readyz").0 == 200);
    agent.stop();
    world.is_whole();
    world.backend.assert_no_violations();
}

#[test]
fn an_outage_amid_the_run_loses_nothing() {
    let world = World::new();
    let mut agent = world.setup.start();
    world.receives(&agent, 2 * PODS);
    world.backend.down();
    let cycles = agent.log().matches("Collected metrics for 50 pods").count();
    eventually("three cycles during the outage", || {
        live(&agent);
        agent.log().matches("Collected metrics for 50 pods").count() >= cycles + 3
    });
    world.backend.up().unwrap();
    world.receives(&agent, 5 * PODS);
    eventually("the whole buffer sent", || {
        agent.metric("kubernetes_agent_buffered_samples") == Some(0.0)
    });
    agent.stop();
    world.is_whole();
    world.backend.assert_no_violations();
}

#[test]
fn a_busy_backend_is_left_alone_for_as_long_as_it_asks() {
    let world = World::new();
    world
        .backend
        .set_fault(Endpoint::Metrics, Fault::retry_after(503, "3").times(1));
    let mut agent = world.setup.start();
    world.receives(&agent, 3 * PODS);
    let uploads: Vec<_> = world
        .backend
        .requests()
        .into_iter()
        .filter(|it| it.endpoint == Some(Endpoint::Metrics))
        .collect();
    let refused = uploads
        .iter()
        .position(|it| it.status == 503)
        .expect("one was refused");
    let after: Vec<_> = uploads[refused + 1..]
        .iter()
        .map(|it| it.at.duration_since(uploads[refused].at))
        .map(Result::unwrap_or_default)
        .collect();
    // The other uplink has one on its way, and may send one more before the refusal is read; then the three batches of
    // the first collection are gone.
    let kept = |it: &Duration| it.as_millis() >= 2900;
    assert!(after.len() > 2 && after[2..].iter().all(kept), "{after:?}");
    agent.stop();
    world.is_whole();
}

#[test]
fn a_batch_that_is_too_large_arrives_in_halves() {
    let world = World::new();
    world
        .backend
        .set_fault(Endpoint::Metrics, FaultKind::MaxSamples { samples: 6 });
    let mut agent = world.setup.start();
    world.receives(&agent, 3 * PODS);
    agent.stop();
    assert!(world.backend.batches().iter().all(|it| it.samples <= 6));
    world.is_whole();
}

#[test]
fn a_backend_that_refuses_metrics_shows_in_health() {
    let world = World::new();
    world
        .backend
        .set_fault(Endpoint::Metrics, Fault::status(400));
    let mut agent = world.setup.start();
    let uplinks = |state: &str| {
        ["uplink_1", "uplink_2"].iter().all(|it| {
            let name =
                format!("kubernetes_agent_component_state{{component=\"{it}\",state=\"{state}\"}}");
            agent.metric(&name) == Some(1.0)
        })
    };
    eventually("both say so", || uplinks("degraded"));
    live(&agent);
    world.backend.clear_faults();
    world.receives(&agent, PODS);
    // Also the one that did not deliver since.
    eventually("both are well", || uplinks("running"));
    agent.stop();
}

#[test]
fn answers_that_make_no_sense_are_survived() {
    let faults = [
        FaultKind::Garbage,
        FaultKind::WrongShape,
        FaultKind::NotHttp,
        FaultKind::Truncated,
        FaultKind::Reset,
        FaultKind::Redirect {
            status: 302,
            location: "http://127.0.0.1:1/".to_owned(),
        },
        FaultKind::LargeHeaders,
        FaultKind::Bomb,
    ];
    let world = World::new();
    let mut agent = world.setup.start();
    world.receives(&agent, PODS);
    for kind in faults {
        world
            .backend
            .set_fault(Endpoint::All, Fault::from(kind.clone()).times(3));
        eventually(&format!("{kind:?} met three times"), || {
            live(&agent);
            world
                .backend
                .requests()
                .iter()
                .rev()
                .take(20)
                .any(|it| it.faulted)
        });
        world.backend.clear_faults();
        world.receives(&agent, PODS);
    }
    agent.stop();
    let ids: HashSet<_> = world
        .backend
        .batches()
        .into_iter()
        .map(|it| it.batch_id)
        .collect();
    assert_eq!(ids.len(), world.backend.batches().len());
    assert_eq!(world.backend.summary().duplicates, 0);
}

#[test]
fn a_batch_whose_answer_was_lost_is_sent_again_under_its_id() {
    let world = World::new();
    let lost = Fault::from(FaultKind::Reset).times(4).after_processing();
    world.backend.set_fault(Endpoint::Metrics, lost);
    let mut agent = world.setup.start();
    eventually("sent again", || {
        live(&agent);
        world.backend.summary().repeats >= 3
    });
    world.receives(&agent, 2 * PODS);
    agent.stop();
    world.is_whole();
}
