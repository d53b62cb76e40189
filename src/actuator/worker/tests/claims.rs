//! Which orders are claimed, and when.

use std::time::Instant;

use super::*;
use crate::backend::retry::Failure;

/// Nobody answers for a write.
struct Shut;

impl Fence for Shut {
    fn admits(&self) -> Option<Duration> {
        None
    }
}

/// A worker with these orders in its queue, taken and not claimed.
fn with_orders(folder: &TempDir, orders: &[Verified], stop: &Stop) -> Worker {
    let (mut journal, _) = open(folder.path());
    for order in orders {
        journal.received(order).unwrap();
    }
    drop(journal);
    let (journal, recovered) = open(folder.path());
    let worker = worker(journal, stop);
    worker.recover(recovered);
    worker
}

/// Does the next job that is due, and says which; none if none is.
fn next(worker: &Worker, stop: &Stop) -> Option<String> {
    let component = Health::new(worker.metrics.clone()).component("actuator", LOOK);
    let is_due = |job: &Job| worker.is_due(job);
    let taken = worker.inbox.queue.take(is_due, Duration::ZERO, stop)?;
    let id = taken.job.verified.id().as_str().to_owned();
    worker.job(taken, &component, stop);
    Some(id)
}

fn trouble(worker: &Worker) -> Option<String> {
    let claims = worker.claims.lock().unwrap();
    claims.trouble().map(str::to_owned)
}

#[test]
fn a_claim_that_fails_holds_no_worker_and_no_other_order() {
    let folder = TempDir::new().unwrap();
    let (_guard, stop) = stop::pair();
    let on = |node: &str| serde_json::json!({"node": node});
    let orders = [
        order("first", &on("n")),
        order("behind_it", &on("n")),
        order("other", &on("m")),
    ];
    let worker = with_orders(&folder, &orders, &stop);
    assert_eq!(next(&worker, &stop).as_deref(), Some("first"));
    assert!(trouble(&worker).is_some());
    // What is about the same object does not pass it.
    assert_eq!(next(&worker, &stop).as_deref(), Some("other"));
    assert_eq!(next(&worker, &stop), None);
    assert!(worker.inbox.queue.has_room());
    // None of them is given up.
    drop(worker);
    let (_, recovered) = open(folder.path());
    assert_eq!(recovered.unfinished.len(), orders.len());
}

#[test]
fn what_could_not_be_carried_out_is_not_claimed() {
    let folder = TempDir::new().unwrap();
    let (_guard, stop) = stop::pair();
    let order = order("act_1", &serde_json::json!({"node": "n"}));
    let mut worker = with_orders(&folder, std::slice::from_ref(&order), &stop);
    worker.fence = Arc::new(Shut);
    assert_eq!(next(&worker, &stop).as_deref(), Some("act_1"));
    assert_eq!((next(&worker, &stop), trouble(&worker)), (None, None));

    // The next term, with claims of its own: the backend is asked.
    worker.fence = Arc::new(kube::fence::Open);
    worker.claims = Mutex::default();
    assert_eq!(next(&worker, &stop).as_deref(), Some("act_1"));
    assert!(trouble(&worker).is_some());
}

/// The result that the journal holds.
fn result(worker: &Worker) -> Value {
    let journal = worker.inbox.journal();
    let mut unsent = journal.unsent();
    let (_, body) = unsent.next().unwrap();
    serde_json::from_str(body.as_str()).unwrap()
}

#[test]
fn what_is_claimed_and_past_its_time_gets_its_result_whoever_answers() {
    let folder = TempDir::new().unwrap();
    let long_ago = timestamp::unix_seconds() - 3600;
    let order = order_at("act_1", &serde_json::json!({"node": "n"}), long_ago);
    let (mut journal, _) = open(folder.path());
    journal.received(&order).unwrap();
    journal.claimed(order.id()).unwrap();
    drop(journal);

    let (journal, recovered) = open(folder.path());
    let (_guard, stop) = stop::pair();
    let mut worker = worker(journal, &stop);
    worker.fence = Arc::new(Shut);
    worker.recover(recovered);
    // It was asked for while there was time, and a pause until the next try is under way.
    let failure = Failure::from_status(401, String::new(), None, 0);
    worker.claims().failed(order.id(), &failure, Instant::now());
    assert_eq!(next(&worker, &stop).as_deref(), Some("act_1"));
    assert_eq!(result(&worker)["status"], "expired");
    assert_eq!(trouble(&worker), None);
}

#[test]
fn what_was_begun_and_is_not_proven_any_more_says_what_was_done() {
    let folder = TempDir::new().unwrap();
    let order = order("act_1", &serde_json::json!({"node": "n"}));
    let (mut journal, _) = open(folder.path());
    journal.received(&order).unwrap();
    journal.claimed(order.id()).unwrap();
    let began = OffsetDateTime::now_utc();
    journal.started(order.id(), began).unwrap();
    journal.step(order.id(), r#"{"pod":"a"}"#).unwrap();
    drop(journal);

    let (journal, recovered) = open(folder.path());
    let (_guard, stop) = stop::pair();
    let worker = worker_of("another", journal, &stop);
    worker.recover(recovered);
    let result = result(&worker);
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&"interrupted".into(), &"restarted".into()),
        "{result:#}"
    );
    assert_eq!(
        result["details"]["steps"],
        serde_json::json!([{"pod": "a"}])
    );
    assert!(result["started_at"].is_string(), "{result:#}");
}
