//! What the agent sees of a cluster is what arrives at the backend.

mod common;

use common::agent::Setup;
use common::cluster::Cluster;
use common::eventually;
use sandbox::backend::{Backend, Kind, Options};

#[test]
fn every_pod_and_node_arrives_once_a_cycle() {
    let cluster = Cluster::with(3, 50);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("two cycles", || backend.sample_count(Kind::Pod) >= 100);
    agent.stop();
    backend.assert_no_violations();
}
