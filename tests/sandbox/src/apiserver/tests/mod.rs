//! The server as a client sees it.

mod client;
mod controlling;
mod evicting;
mod failing;
mod reading;
mod scale;
mod writing;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ApiServer, Options};
use client::Client;

fn start(options: Options) -> (ApiServer, Client) {
    let server = ApiServer::start(options).unwrap();
    let client = Client::new(server.addr(), server.token());
    (server, client)
}

/// A running, ready pod with one container.
fn pod(namespace: &str, name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "i:1"}], "terminationGracePeriodSeconds": 30},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// Longer than anything here takes, also on a machine that stands still for a while.
const DEADLINE: Duration = Duration::from_mins(1);

/// Polls until something holds; fails at the deadline.
fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
