//! Several replicas, of which one acts.

mod events;
mod failover;
mod standing;
mod unfit;
mod upgrade;

use std::path::Path;

use crate::common::agent::{Agent, Setup};
use crate::common::any_cluster::AnyCluster;
use crate::common::eventually;
use sandbox::backend::{Backend, Heartbeat, NewAction, Options};
use serde_json::{Value, json};

/// The name of the Lease.
const LEASE: &str = "kubernetes-agent";

/// A cluster and a backend for replicas.
struct World {
    cluster: AnyCluster,
    backend: Backend,
}

impl World {
    fn start() -> Self {
        let options = Options {
            cluster_id: Some("test-cluster".to_owned()),
            ..Options::default()
        };
        Self {
            cluster: AnyCluster::start(),
            backend: Backend::start(options).unwrap(),
        }
    }

    /// A replica of this name, with the times that are the default.
    fn replica(&self, name: &str) -> Setup {
        self.replica_at(self.cluster.kubeconfig(), name)
    }

    /// The same with quicker ones, for a test of what happens when they are over.
    fn quick_replica(&self, name: &str) -> Setup {
        quick(self.replica(name))
    }

    fn replica_at(&self, kubeconfig: &Path, name: &str) -> Setup {
        Setup::new(kubeconfig, &self.backend)
            .with("AGENT_ID", name)
            .with("LEADER_ELECTION", "true")
            .with("POD_NAMESPACE", self.cluster.namespace())
    }

    fn lease_path(&self) -> String {
        let leases = self.cluster.path("/apis/coordination.k8s.io/v1", "leases");
        format!("{leases}/{LEASE}")
    }

    fn lease(&self) -> Value {
        self.cluster.api().get(&self.lease_path())
    }

    /// An action that is one write: a label on a node.
    fn issue(&self, value: &str) -> String {
        let params = json!({
            "kind": "namespace", "name": self.cluster.namespace(),
            "labels": {"example.org/value": value},
        });
        let action = NewAction::new("label_resource", params);
        self.backend.create_action(&action).unwrap().id
    }

    /// Issues an action and waits until it has succeeded.
    fn acts(&self, value: &str) -> String {
        let id = self.issue(value);
        eventually(&format!("{value} is done"), || {
            self.backend.result(&id).is_some()
        });
        let result = self.backend.result(&id).unwrap();
        assert_eq!(result["status"], "succeeded", "{result:#}");
        id
    }

    /// The agent that claimed an action.
    fn actor(&self, id: &str) -> String {
        let action = self.backend.action(id).unwrap();
        action.claimed_by.expect("claimed").0
    }
}

/// The last heartbeat of an agent.
fn last(world: &World, agent: &str) -> Option<Heartbeat> {
    let heartbeats = world.backend.heartbeats();
    heartbeats.into_iter().rev().find(|it| it.agent_id == agent)
}

/// Starts a replica and waits until it leads.
fn start_leader(setup: &Setup) -> Agent {
    let agent = setup.start();
    eventually("it leads", || leads(&agent));
    agent
}

/// Starts a replica beside a leader and waits until it is ready to take over.
fn start_standby(setup: &Setup) -> Agent {
    let agent = setup.start();
    eventually("it stands by", || {
        readiness(&agent).is_some_and(|it| it["leader"] == false)
    });
    agent
}

/// Times that are over soon, and yet no leader loses its lease on a machine that stands still for some seconds.
fn quick(setup: Setup) -> Setup {
    setup
        .with("LEADER_ELECTION_LEASE_DURATION", "8")
        .with("LEADER_ELECTION_RENEW_DEADLINE", "6")
        .with("LEADER_ELECTION_RETRY_PERIOD", "1")
}

/// What `/readyz` says, once it is well.
fn readiness(agent: &Agent) -> Option<Value> {
    match agent.get("/readyz") {
        (200, body) => serde_json::from_str(&body).ok(),
        _ => None,
    }
}

fn leads(agent: &Agent) -> bool {
    readiness(agent).is_some_and(|it| it["leader"] == true)
}
