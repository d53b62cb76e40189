mod claims;

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::super::queue::Queue;
use super::*;
use crate::actions::envelope::RawEnvelope;
use crate::actions::keys::{Key, Keys};
use crate::actions::verify::{self, Verified};
use crate::config::{key_file, url::BackendUrl};
use crate::health::Health;
use crate::journal::{Disk, Journal};
use crate::kube::kubeconfig::{Access, User};
use crate::net::proxy::ProxySettings;
use crate::secret::Secret;
use crate::settings;
use crate::thread::stop;

const KEY: &str = "test-secret-key-0123456789abcdef";
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

fn identity(cluster: &str) -> verify::Identity {
    verify::Identity {
        cluster_id: cluster.into(),
        agent_id: "a".into(),
    }
}

/// An order with these params, as a run before this one has taken it.
fn order(id: &str, params: &Value) -> Verified {
    order_at(id, params, timestamp::unix_seconds())
}

/// The same, signed at `now`.
fn order_at(id: &str, params: &Value, now: i64) -> Verified {
    let payload = serde_json::json!({
        "type": "action.v1", "id": id, "cluster_id": "c", "expires_at": now + 600,
        "action": "cordon_node", "params": params,
    });
    let keys = Keys {
        current: Key::parse(&Secret::new(KEY)).unwrap(),
        previous: None,
    };
    let envelope = RawEnvelope::signed(&keys, id, now, &payload.to_string());
    verify::verify(&keys, &identity("c"), now, envelope).unwrap()
}

fn open(folder: &Path) -> (Journal, Recovered) {
    Journal::open(folder, Disk, timestamp::unix_seconds()).unwrap()
}

fn worker(journal: Journal, stop: &Stop) -> Worker {
    worker_of("c", journal, stop)
}

fn worker_of(cluster: &str, journal: Journal, stop: &Stop) -> Worker {
    let metrics = Arc::new(Metrics::new().unwrap());
    let key = || Arc::new(key_file::Key::new(Secret::new(KEY), None, |_| Ok(())));
    let access = Access {
        server: NOWHERE.to_owned(),
        ca: None,
        insecure: false,
        user: User::Anonymous,
    };
    let kube = Arc::new(kube::Client::new(access, stop.clone(), metrics.clone()));
    let url = BackendUrl::parse(NOWHERE).unwrap();
    let backend =
        backend::Client::new(url, key(), None, &ProxySettings::default(), metrics.clone());
    let queue = Queue::new(WORKERS, 1);
    let local = settings::Local {
        collection_interval: LOOK,
        action_poll_interval: LOOK,
        batch_size: 1,
        log_level: log::LevelFilter::Off,
    };
    let live = Live::new(local, Vec::new());
    let inbox = Inbox::new(
        journal,
        queue,
        identity(cluster),
        key(),
        None,
        live.clone(),
        metrics.clone(),
    );
    Worker {
        inbox: Arc::new(inbox),
        events: Recorder::new(kube.clone()),
        kube,
        fence: Arc::new(kube::fence::Open),
        backend: Arc::new(backend.unwrap()),
        identity: protocol::Identity {
            cluster_id: "c".into(),
            agent_id: "a".into(),
            instance_id: "i".into(),
            run_id: "r".into(),
        },
        policy: Policy::default(),
        capabilities: Arc::new(Capabilities::new(
            &Policy::default(),
            Arc::default(),
            Health::new(metrics.clone()),
            metrics.clone(),
        )),
        limiter: Arc::new(Mutex::new(EvictionLimiter::new(None))),
        own_pod: None,
        live,
        channel: Channel::new(metrics.clone()).unwrap(),
        metrics,
        results: crossbeam_channel::bounded(1).0,
        claims: Mutex::default(),
    }
}

#[test]
fn an_order_begun_by_a_version_that_knew_it_gets_its_result() {
    let folder = TempDir::new().unwrap();
    let order = order(
        "act_1",
        &serde_json::json!({"node": "n", "of_another_version": 1}),
    );
    let (mut journal, _) = open(folder.path());
    journal.received(&order).unwrap();
    journal.claimed(order.id()).unwrap();
    journal
        .started(order.id(), OffsetDateTime::now_utc())
        .unwrap();
    drop(journal);

    let (journal, recovered) = open(folder.path());
    let (_guard, stop) = stop::pair();
    let worker = worker(journal, &stop);
    worker.recover(recovered);
    let component = Health::new(worker.metrics.clone()).component("actuator", LOOK);
    let taken = worker
        .inbox
        .queue
        .take(|_| true, Duration::ZERO, &stop)
        .unwrap();
    worker.job(taken, &component, &stop);

    let journal = worker.inbox.journal();
    let bodies = journal.unsent().map(|(_, body)| body.as_str().to_owned());
    let bodies: Vec<Value> = bodies
        .map(|it| serde_json::from_str(&it).unwrap())
        .collect();
    assert_eq!(bodies.len(), 1);
    assert_eq!(
        (&bodies[0]["status"], &bodies[0]["reason"]),
        (&"interrupted".into(), &"restarted".into())
    );
}

/// Else it would be known, and never taken again.
#[test]
fn an_order_whose_claim_the_stop_broke_off_waits_for_the_next_term() {
    let folder = TempDir::new().unwrap();
    let order = order("act_1", &serde_json::json!({"node": "n"}));
    let (mut journal, _) = open(folder.path());
    journal.received(&order).unwrap();
    drop(journal);

    let (journal, recovered) = open(folder.path());
    let (guard, stop) = stop::pair();
    let worker = worker(journal, &stop);
    worker.recover(recovered);
    let component = Health::new(worker.metrics.clone()).component("actuator", LOOK);
    let taken = worker
        .inbox
        .queue
        .take(|_| true, Duration::ZERO, &stop)
        .unwrap();
    // The backend is not there, so that the claim is tried until the stop.
    drop(guard);
    worker.job(taken, &component, &stop);

    let (_guard, next_term) = stop::pair();
    let taken = worker
        .inbox
        .queue
        .take(|_| true, Duration::ZERO, &next_term);
    assert_eq!(taken.unwrap().job.verified.id(), order.id());
}

#[test]
fn a_standby_does_what_nobody_else_can_and_nothing_more() {
    let folder = TempDir::new().unwrap();
    let params = serde_json::json!({"node": "n"});
    let (waiting, begun) = (order("act_1", &params), order("act_2", &params));
    let (mut journal, _) = open(folder.path());
    for order in [&waiting, &begun] {
        journal.received(order).unwrap();
        journal.claimed(order.id()).unwrap();
    }
    journal
        .started(begun.id(), OffsetDateTime::now_utc())
        .unwrap();
    drop(journal);

    let (journal, recovered) = open(folder.path());
    let (_guard, stop) = stop::pair();
    let worker = worker(journal, &stop);
    worker.recover(recovered);
    let queue = &worker.inbox.queue;
    let take = |now| {
        queue
            .take_for_a_standby(now)
            .map(|it| it.job.verified.id().clone())
    };
    let now = timestamp::unix_seconds();
    assert_eq!(take(now).as_ref(), Some(begun.id()));
    assert_eq!(take(now), None);
    assert_eq!(take(waiting.expires_at()).as_ref(), Some(waiting.id()));
}

/// Its time is over, which is no reason not to look what came of it.
#[test]
fn an_order_that_was_begun_is_understood_past_its_time() {
    let folder = TempDir::new().unwrap();
    let (hour, params) = (3600, serde_json::json!({"node": "n"}));
    let order = order_at("act_1", &params, timestamp::unix_seconds() - hour);
    let (mut journal, _) = open(folder.path());
    journal.received(&order).unwrap();
    journal.claimed(order.id()).unwrap();
    let began = OffsetDateTime::now_utc() - Duration::from_hours(1);
    journal.started(order.id(), began).unwrap();
    drop(journal);

    let (journal, recovered) = open(folder.path());
    let (_guard, stop) = stop::pair();
    let worker = worker(journal, &stop);
    worker.recover(recovered);
    let taken = worker.inbox.queue.take(|_| true, Duration::ZERO, &stop);
    let taken = taken.unwrap();
    assert!(matches!(taken.job.task, Task::Observe { .. }));
    let order = taken.job.verified.order();
    assert!(
        matches!(order, Order::Action(it) if it.action.is_ok()),
        "{order:?}"
    );
}
