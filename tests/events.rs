//! Each event of the cluster reaches the backend once, whatever happens to the API server and to the agent.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::HashMap;
use std::thread::sleep;
use std::time::Duration;

use common::agent::Setup;
use common::cluster::Cluster;
use common::eventually;
use sandbox::backend::{Backend, Kind, Options};
use serde_json::{Value, json};

fn event(number: usize, count: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("e-{number}"), "namespace": "default", "uid": uid(number)},
        "type": "Normal", "reason": "Tested", "message": format!("event {number}"),
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u"},
        "source": {"component": "test"},
        "count": count,
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": format!("2026-01-01T00:00:{:02}Z", count % 60),
    })
}

fn uid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// How often each of the test's events arrived, by uid and count.
fn arrived(backend: &Backend) -> HashMap<(String, u64), usize> {
    let mut arrived = HashMap::new();
    for sample in backend.samples_of(Kind::Event) {
        if sample.get("reason") == "Tested" {
            let count = sample.get("count").as_u64().expect("a count");
            *arrived.entry((sample.uid.clone(), count)).or_default() += 1;
        }
    }
    arrived
}

/// All of these arrived, each once.
fn each_once(backend: &Backend, numbers: std::ops::Range<usize>, count: u64) {
    eventually("every event arrives", || {
        let arrived = arrived(backend);
        numbers
            .clone()
            .all(|it| arrived.contains_key(&(uid(it), count)))
    });
    // A second copy would come with a later cycle.
    let cycles = backend.cycles().len();
    eventually("two more cycles", || backend.cycles().len() >= cycles + 2);
    let twice: Vec<_> = arrived(backend)
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn restarts_and_a_compaction_of_the_api_server_lose_and_repeat_nothing() {
    let cluster = Cluster::with(1, 5);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("the first cycle", || backend.sample_count(Kind::Pod) >= 5);
    for number in 0..500 {
        match number {
            100 | 350 => cluster.server.stop(),
            150 | 400 => {
                cluster.server.compact();
                cluster.server.restart().unwrap();
            }
            250 => {
                cluster.server.compact();
                cluster.server.drop_watches();
            }
            _ => (),
        }
        cluster.server.create(event(number, 1));
        sleep(Duration::from_millis(5));
    }
    each_once(&backend, 0..500, 1);
    assert_eq!(arrived(&backend).len(), 500);
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn an_event_that_occurs_again_is_sent_again() {
    let cluster = Cluster::with(1, 5);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    cluster.server.create(event(1, 1));
    each_once(&backend, 1..2, 1);
    cluster.server.create(event(1, 2));
    each_once(&backend, 1..2, 2);
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn what_was_delivered_is_remembered_over_the_agents_restart() {
    let cluster = Cluster::with(1, 5);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    (0..200).for_each(|it| drop(cluster.server.create(event(it, 1))));
    each_once(&backend, 0..200, 1);
    agent.stop();
    (200..300).for_each(|it| drop(cluster.server.create(event(it, 1))));
    let mut agent = setup.start();
    each_once(&backend, 0..300, 1);
    // Killed: what was delivered two cycles ago is on disk.
    agent.signal("KILL");
    agent.wait();
    let mut agent = setup.start();
    cluster.server.create(event(300, 1));
    each_once(&backend, 0..301, 1);
    agent.stop();
    backend.assert_no_violations();
}
