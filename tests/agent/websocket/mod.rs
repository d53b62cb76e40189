//! The real-time channel: the agent's process against the reference backend, which cuts, refuses and attacks.

mod cuts;
mod hostile;
mod proxy;
mod push;
mod refused;
mod settings;
mod tls;

use crate::common::agent::{Agent, Setup};
use crate::common::cluster::Cluster;
use crate::common::eventually;
use sandbox::backend::{Backend, NewAction, Options};
use serde_json::{Value, json};

/// A cluster, a backend, and how an agent between them is started.
struct World {
    cluster: Cluster,
    backend: Backend,
    setup: Setup,
}

impl World {
    fn new(nodes: usize) -> Self {
        let cluster = Cluster::with(nodes, 2 * nodes);
        // Orders are signed whether the agent has registered yet or not.
        let options = Options {
            cluster_id: Some("test-cluster".to_owned()),
            ..Options::default()
        };
        let backend = Backend::start(options).unwrap();
        let setup = Setup::new(cluster.kubeconfig(), &backend);
        Self {
            cluster,
            backend,
            setup,
        }
    }

    /// With one more variable for the agent.
    fn with(mut self, name: &str, value: &str) -> Self {
        self.setup = self.setup.with(name, value);
        self
    }

    /// A hundredth of each pause before a connection, so that a test of many ends.
    fn hasty(self) -> Self {
        self.with("KUBERNETES_AGENT_TEST_HASTE", "100")
    }

    /// Polls so seldom that what happens came by the WebSocket.
    fn pushed_only(self) -> Self {
        self.with("ACTION_POLL_INTERVAL", "3600")
            .with("HEARTBEAT_INTERVAL", "3600")
    }

    /// Starts an agent and waits until it is connected.
    fn start(&self) -> Agent {
        let agent = self.setup.start();
        self.connected();
        agent
    }

    fn connected(&self) {
        eventually("connected", || self.backend.connected() == 1);
    }

    /// The names of the nodes.
    fn nodes(&self) -> Vec<String> {
        let nodes = self.cluster.server.list("nodes", "");
        nodes
            .iter()
            .map(|it| it["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Resident memory of the agent's process.
    fn resident_bytes(agent: &Agent) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
        let line = status.lines().find(|it| it.starts_with("VmRSS:")).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            << 10
    }

    /// Processor seconds that the agent's process has used.
    fn cpu_seconds(agent: &Agent) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|it| it.parse::<f64>().unwrap());
        // USER_HZ is 100 on every architecture that Linux has with us.
        ticks.sum::<f64>() / 100.0
    }

    fn cordon(&self, node: &str) -> String {
        let action = NewAction::new("cordon_node", json!({"node": node}));
        self.backend.create_action(&action).unwrap().id
    }

    fn result(&self, id: &str) -> Value {
        eventually("the result", || self.backend.result(id).is_some());
        self.backend.result(id).unwrap()
    }
}
