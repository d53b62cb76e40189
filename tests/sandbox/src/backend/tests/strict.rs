//! What breaks the protocol is refused, and written down.

use serde_json::{Value, json};

use super::super::{Backend, Options};
use super::{Call, backend, batch, heartbeat, pod, registration};

/// Sends it, and expects this refusal with this among the violations.
#[track_caller]
pub(super) fn refused(backend: &Backend, call: &Call, status: u16, expected: &str) {
    let before = backend.violations().len();
    let answer = call.expect(backend, status);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.json()["status"], status);
    let violations = backend.violations();
    let found = violations[before..]
        .iter()
        .any(|violation| violation.detail.contains(expected));
    assert!(
        found,
        "expected {expected:?} among {:?}",
        &violations[before..]
    );
}

/// The message with the member at this path set, or taken out.
pub(super) fn changed(message: &Value, pointer: &str, value: Option<Value>) -> Value {
    let mut message = message.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match (message.pointer_mut(parent).unwrap(), value) {
        (Value::Object(members), Some(value)) => drop(members.insert(name.to_owned(), value)),
        (Value::Object(members), None) => drop(members.remove(name).unwrap()),
        (Value::Array(items), value) => items[name.parse::<usize>().unwrap()] = value.unwrap(),
        (other, _) => panic!("{pointer}: {other}"),
    }
    message
}

#[test]
fn every_header_counts() {
    let backend = backend();
    let register = || Call::json("POST", "/v1/agents/register", &registration());
    refused(
        &backend,
        &register().with("user-agent", "curl/8"),
        400,
        "User-Agent",
    );
    refused(
        &backend,
        &register().with("authorization", ""),
        401,
        "Authorization",
    );
    refused(
        &backend,
        &register().with("authorization", "Basic x"),
        401,
        "Authorization",
    );
    refused(
        &backend,
        &register().with("content-type", "text/plain"),
        415,
        "Content-Type",
    );
    refused(
        &backend,
        &register().with("content-encoding", "gzip"),
        415,
        "Content-Encoding",
    );
    let key = Options::default().api_key;
    refused(
        &backend,
        &Call::new("GET", &format!("/v1/clusters/c/actions?agent_id=a&k={key}")),
        400,
        "in the URL",
    );
    refused(
        &backend,
        &Call::new("GET", "/v1/agents/register"),
        405,
        "expected POST",
    );
    refused(&backend, &Call::new("GET", "/v1/none"), 404, "no such path");
    let batch = || Call::batch(&batch(1, &[pod("p")]));
    refused(
        &backend,
        &batch().with("content-encoding", ""),
        415,
        "Content-Encoding",
    );
    refused(
        &backend,
        &batch().with("idempotency-key", ""),
        400,
        "Idempotency-Key",
    );
    let mut two = batch();
    two.body = [two.body.clone(), two.body].concat();
    refused(&backend, &two, 400, "more than one gzip stream");
    let mut plain = batch();
    plain.body = b"{}".to_vec();
    refused(&backend, &plain, 400, "body");
    let mut broken = register();
    broken.body.truncate(20);
    refused(&backend, &broken, 400, "body");
    for target in [
        "/v1/clusters/c/actions",
        "/v1/clusters/c/actions?agent_id=a%20b",
        "/v1/clusters/c/actions?agent_id=a&limit=0",
        "/v1/clusters/c/actions?agent_id=a&limit=101",
    ] {
        refused(&backend, &Call::new("GET", target), 400, "expected");
    }
    refused(
        &backend,
        &Call::new("DELETE", "/v1/agents/a?instance_id=i"),
        400,
        "run_id",
    );
    assert!(backend.registrations().is_empty() && backend.batches().is_empty());
}

#[test]
fn every_member_of_a_registration_counts() {
    let backend = backend();
    let long = "x".repeat(129);
    for (pointer, value, expected) in [
        ("/cluster_id", json!("other"), "not the cluster"),
        ("/agent_id", json!("a b"), "agent_id"),
        ("/instance_id", json!(long), "instance_id"),
        ("/run_id", json!(7), "run_id"),
        ("/protocols", json!(["2"]), "protocols"),
        ("/capabilities", json!(["reboot"]), "capabilities[0]"),
        (
            "/capabilities",
            json!(["cordon_node", "cordon_node"]),
            "named twice",
        ),
        ("/started_at", json!("2026-01-01T00:00:00Z"), "started_at"),
        ("/kubernetes_version", Value::Null, "kubernetes_version"),
    ] {
        let body = changed(&registration(), pointer, Some(value));
        let status = if pointer == "/cluster_id" { 403 } else { 422 };
        refused(
            &backend,
            &Call::json("POST", "/v1/agents/register", &body),
            status,
            expected,
        );
    }
    refused(
        &backend,
        &Call::json("POST", "/v1/agents/register", &json!([])),
        422,
        "expected an object",
    );
    assert!(backend.registrations().is_empty());
}

#[test]
fn every_member_of_a_heartbeat_counts() {
    let backend = backend();
    Call::json("POST", "/v1/agents/register", &registration()).expect(&backend, 200);
    let rejected = json!({"id": "x", "reason": "malformed", "count": 1});
    for (pointer, value, expected) in [
        ("/seq", json!(0), "seq"),
        ("/status", json!("fine"), "status"),
        (
            "/components/collector/state",
            json!("dead"),
            "components.collector.state",
        ),
        (
            "/components/collector/restarts",
            json!(-1),
            "components.collector.restarts",
        ),
        (
            "/resources/cpu_percent",
            Value::Null,
            "resources.cpu_percent",
        ),
        (
            "/resources/memory_bytes",
            json!(1.5),
            "resources.memory_bytes",
        ),
        ("/in_progress", json!(["a.b"]), "in_progress[0]"),
        ("/rejected", json!(vec![rejected; 21]), "rejected"),
        (
            "/rejected",
            json!([{"id": "x", "reason": "dislike", "count": 1}]),
            "rejected[0].reason",
        ),
        (
            "/rejected",
            json!([{"id": "x", "reason": "expired", "count": 0}]),
            "rejected[0].count",
        ),
        ("/config_version", Value::Null, "config_version"),
        ("/clock_offset_ms", json!("0"), "clock_offset_ms"),
        ("/ws_connected", json!(0), "ws_connected"),
    ] {
        let body = changed(&heartbeat(1), pointer, Some(value));
        refused(
            &backend,
            &Call::json("POST", "/v1/agents/a/heartbeat", &body),
            422,
            expected,
        );
    }
    for pointer in [
        "/clock_offset_ms",
        "/rejected",
        "/resources/disk_free_bytes",
        "/components/collector/since",
    ] {
        let body = changed(&heartbeat(1), pointer, None);
        refused(
            &backend,
            &Call::json("POST", "/v1/agents/a/heartbeat", &body),
            422,
            "missing",
        );
    }
    Call::json("POST", "/v1/agents/a/heartbeat", &heartbeat(2)).expect(&backend, 200);
    refused(
        &backend,
        &Call::json("POST", "/v1/agents/a/heartbeat", &heartbeat(2)),
        422,
        "takes a new one",
    );
    assert_eq!(backend.heartbeats().len(), 1);
}
