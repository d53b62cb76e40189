//! A simulated cluster, a backend, and how an agent between them is started: for what only the simulation can do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sandbox::backend::{Backend, NewAction, Options};
use serde_json::{Value, json};

use super::actions::CLUSTER_ID;
use super::agent::{Agent, Setup};
use super::cluster::Cluster;
use super::disk::Disk;
use super::eventually;

/// The three of them.
pub struct World {
    /// The cluster.
    pub cluster: Cluster,
    /// The backend.
    pub backend: Backend,
    /// What an agent is started with.
    pub setup: Setup,
}

impl World {
    /// With so many nodes and pods.
    pub fn new(nodes: usize, pods: usize) -> Self {
        Self::of(nodes, pods, Options::default())
    }

    /// The same with a backend that is so.
    pub fn of(nodes: usize, pods: usize, options: Options) -> Self {
        let cluster = Cluster::with(nodes, pods);
        // Orders are signed whether the agent has registered yet or not.
        let options = Options {
            cluster_id: Some(CLUSTER_ID.to_owned()),
            ..options
        };
        let backend = Backend::start(options).expect("the backend starts");
        let setup = Setup::new(cluster.kubeconfig(), &backend);
        Self {
            cluster,
            backend,
            setup,
        }
    }

    /// With one more variable for the agent.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.setup = self.setup.with(name, value);
        self
    }

    /// A hundredth of each pause before a connection, so that a test of many ends.
    #[must_use]
    pub fn hasty(self) -> Self {
        self.with("KUBERNETES_AGENT_TEST_HASTE", "100")
    }

    /// Polls so seldom that what happens came by the WebSocket.
    #[must_use]
    pub fn pushed_only(self) -> Self {
        self.with("ACTION_POLL_INTERVAL", "3600")
            .with("HEARTBEAT_INTERVAL", "3600")
    }

    /// Starts an agent and waits until it is connected.
    pub fn start(&self) -> Agent {
        let agent = self.setup.start();
        self.connected();
        agent
    }

    /// Waits until an agent is connected.
    pub fn connected(&self) {
        eventually("connected", || self.backend.connected() == 1);
    }

    /// With a small disk for the agent's state; none where nothing can be mounted.
    pub fn with_disk(mut self) -> Option<(Self, Disk)> {
        let disk = Disk::mount(&self.state_dir())?;
        self.setup = self.setup.within(disk.enter());
        Some((self, disk))
    }

    /// Where the agent keeps its state.
    pub fn state_dir(&self) -> PathBuf {
        self.setup.folder().join("state")
    }

    /// The names of the nodes.
    pub fn nodes(&self) -> Vec<String> {
        let nodes = self.cluster.server.list("nodes", "");
        let name = |it: &Value| it["metadata"]["name"].as_str().expect("a name").to_owned();
        nodes.iter().map(name).collect()
    }

    /// Makes a node with so many bare pods on it, which are gone as soon as they are evicted.
    pub fn node_with_pods(&self, node: &str, pods: usize) {
        let server = &self.cluster.server;
        server.create(
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "spec": {}}),
        );
        for number in 0..pods {
            server.create(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"namespace": "default", "name": format!("{node}-{number}")},
                "spec": {
                    "nodeName": node, "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": "registry.invalid/app:1"}],
                },
                "status": {"phase": "Running"},
            }));
        }
    }

    /// Issues an action; its id.
    pub fn issue(&self, action: &str, params: Value) -> String {
        let new = NewAction::new(action, params);
        self.backend.create_action(&new).expect("an action").id
    }

    /// Issues the cordon of a node.
    pub fn cordon(&self, node: &str) -> String {
        self.issue("cordon_node", json!({"node": node}))
    }

    /// Issues one label for each of the first nodes, told from those of other rounds by its value.
    pub fn label_nodes(&self, count: usize, round: usize) -> Vec<String> {
        let label = |node: usize| {
            let labels = json!({"example.org/round": format!("r{round}")});
            let name = format!("node-{}", node + 1);
            self.issue(
                "label_resource",
                json!({"kind": "node", "name": name, "labels": labels}),
            )
        };
        (0..count).map(label).collect()
    }

    /// Waits for the result of an action.
    pub fn result(&self, id: &str) -> Value {
        eventually(&format!("the result of {id}"), || {
            self.backend.result(id).is_some()
        });
        self.backend.result(id).expect("a result")
    }

    /// How often each object was written how: resource, name and body. Events are left out.
    pub fn writes(&self) -> BTreeMap<(String, String, String), usize> {
        let mut writes = BTreeMap::new();
        for it in self.cluster.server.audit().entries() {
            if it.has_written() && it.resource != "events" {
                *writes.entry((it.resource, it.name, it.body)).or_default() += 1;
            }
        }
        writes
    }

    /// Nothing was written a second time.
    #[track_caller]
    pub fn assert_none_twice(&self) {
        let writes = self.writes().into_iter();
        let twice: Vec<_> = writes.filter(|(_, count)| *count > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
