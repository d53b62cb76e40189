//! Each event of the cluster reaches the backend once, whatever happens to the API server and to the agent.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::common::agent::Setup;
use crate::common::any_cluster::AnyCluster;
use crate::common::{eventually, settles};
use sandbox::backend::{Backend, Kind, Options};
use serde_json::{Value, json};

/// The events of a test, and what arrived of them.
struct Events<'a> {
    cluster: &'a AnyCluster,
    backend: &'a Backend,
    /// The uids that the API server gave them.
    uids: Mutex<Vec<String>>,
}

impl<'a> Events<'a> {
    fn new(cluster: &'a AnyCluster, backend: &'a Backend) -> Self {
        Self {
            cluster,
            backend,
            uids: Mutex::default(),
        }
    }

    fn path(&self) -> String {
        self.cluster.path("/api/v1", "events")
    }

    /// Creates them one after the other; what the server refuses while it is down is tried again.
    fn create(&self, numbers: Range<usize>, created: &AtomicUsize) {
        let namespace = self.cluster.namespace();
        for number in numbers {
            let event = json!({
                "apiVersion": "v1", "kind": "Event",
                "metadata": {"name": format!("e-{number}"), "namespace": namespace},
                "type": "Normal", "reason": "Tested", "message": format!("event {number}"),
                "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "p", "uid": "u"},
                "source": {"component": "test"},
                "count": 1,
                "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:01Z",
            });
            let made = self.cluster.api().create(&self.path(), &event);
            let uid = made["metadata"]["uid"].as_str().expect("a uid").to_owned();
            self.uids.lock().unwrap().push(uid);
            created.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One occurred again.
    fn repeat(&self, number: usize, count: u64) {
        let again =
            json!({"count": count, "lastTimestamp": format!("2026-01-01T00:00:{count:02}Z")});
        let path = format!("{}/e-{number}", self.path());
        self.cluster.api().patch(&path, &again);
    }

    /// How often each arrived, by uid and count.
    fn arrived(&self) -> HashMap<(String, u64), usize> {
        let mut arrived = HashMap::new();
        for sample in self.backend.samples_of(Kind::Event) {
            if sample.get("reason") == "Tested"
                && sample.get("namespace") == self.cluster.namespace()
            {
                let count = sample.get("count").as_u64().expect("a count");
                *arrived.entry((sample.uid.clone(), count)).or_default() += 1;
            }
        }
        arrived
    }

    /// All that were created arrived with this count, and nothing twice.
    fn each_once(&self, count: u64) {
        let uids = self.uids.lock().unwrap().clone();
        settles("every event arrives", || {
            let arrived = self.arrived();
            let missing = uids
                .iter()
                .filter(|it| !arrived.contains_key(&((*it).clone(), count)));
            match missing.count() {
                0 => Ok(()),
                missing => Err(format!("{missing} of {} are missing", uids.len())),
            }
        });
        // A second copy would come with a later cycle.
        let cycles = self.backend.cycles().len();
        eventually("two more cycles", || {
            self.backend.cycles().len() >= cycles + 2
        });
        let twice: Vec<_> = self
            .arrived()
            .into_iter()
            .filter(|(_, times)| *times > 1)
            .collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

#[test]
fn restarts_and_a_compaction_of_the_api_server_lose_and_repeat_nothing() {
    let cluster = AnyCluster::start();
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    eventually("the first cycle", || backend.sample_count(Kind::Node) >= 3);
    let events = Events::new(&cluster, &backend);
    let created = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| events.create(0..500, &created));
        for number in [100, 300] {
            eventually("events are created", || {
                created.load(Ordering::Relaxed) >= number
            });
            cluster.stop_server();
            cluster.start_server();
            cluster.compact();
        }
    });
    events.each_once(1);
    assert_eq!(events.arrived().len(), 500);
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn a_collector_that_panics_gives_back_what_was_not_delivered() {
    let cluster = AnyCluster::start();
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let hook = setup.folder().join("panic");
    let setup = setup.with("KUBERNETES_AGENT_TEST_PANIC", &hook.display().to_string());
    let mut agent = setup.start();
    eventually("the first cycle", || backend.sample_count(Kind::Node) >= 3);
    let events = Events::new(&cluster, &backend);
    for round in 0..3 {
        // They are in the batch that the next cycle takes, at which it panics.
        let of_round = round * 20..(round + 1) * 20;
        events.create(of_round, &AtomicUsize::default());
        let draft = setup.folder().join("panic.new");
        fs::write(&draft, "collector").unwrap();
        fs::rename(draft, &hook).unwrap();
        eventually("it panicked", || {
            let name = "kubernetes_agent_component_restarts_total{component=\"collector\"}";
            agent.metric(name) == Some(f64::from(u16::try_from(round).unwrap()) + 1.0)
        });
    }
    events.each_once(1);
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn an_event_that_occurs_again_is_sent_again() {
    let cluster = AnyCluster::start();
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    let events = Events::new(&cluster, &backend);
    events.create(0..1, &AtomicUsize::default());
    events.each_once(1);
    events.repeat(0, 2);
    events.each_once(2);
    agent.stop();
    backend.assert_no_violations();
}

#[test]
fn what_was_delivered_is_remembered_over_the_agents_restart() {
    let cluster = AnyCluster::start();
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    let events = Events::new(&cluster, &backend);
    let create = |numbers| events.create(numbers, &AtomicUsize::default());
    create(0..200);
    events.each_once(1);
    agent.stop();
    create(200..300);
    let mut agent = setup.start();
    events.each_once(1);
    // Killed: what was delivered two cycles ago is on disk.
    agent.signal("KILL");
    agent.wait();
    let mut agent = setup.start();
    create(300..301);
    events.each_once(1);
    agent.stop();
    backend.assert_no_violations();
}

/// The form in which the Events API of today (events.k8s.io/v1) says how often: a series, and no count.
#[test]
fn a_series_counts_as_the_count() {
    let cluster = AnyCluster::start();
    let backend = Backend::start(Options::default()).unwrap();
    let path = format!(
        "/apis/events.k8s.io/v1/namespaces/{}/events",
        cluster.namespace()
    );
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": "series", "namespace": cluster.namespace()},
        "type": "Warning", "reason": "Tested", "note": "again and again", "action": "Testing",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "series": {"count": 7, "lastObservedTime": "2026-01-01T00:01:00.000000Z"},
        "reportingController": "example.org/test", "reportingInstance": "test-1",
        "regarding": {"kind": "Pod", "namespace": cluster.namespace(), "name": "p", "uid": "u"},
    });
    let Some((200..=299, _)) =
        cluster
            .api()
            .try_request(&ureq::http::Method::POST, &path, Some(&event))
    else {
        // The simulation serves core/v1 alone.
        assert!(!cluster.is_real(), "the real one takes it");
        return;
    };
    let setup = Setup::new(cluster.kubeconfig(), &backend);
    let mut agent = setup.start();
    let found = || {
        backend
            .samples_of(Kind::Event)
            .into_iter()
            .find(|it| it.get("message") == "again and again")
    };
    eventually("it arrives", || found().is_some());
    let sample = found().unwrap();
    let seen: Vec<&Value> = ["count", "source", "first_seen", "last_seen"]
        .map(|it| sample.get(it))
        .to_vec();
    assert_eq!(
        seen,
        [
            &json!(7),
            &json!("example.org/test"),
            &json!("2026-01-01T00:00:00.000Z"),
            &json!("2026-01-01T00:01:00.000Z")
        ]
    );
    agent.stop();
    backend.assert_no_violations();
}
