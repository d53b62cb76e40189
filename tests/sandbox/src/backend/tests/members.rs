//! Every member of a batch and of a result counts.

use serde_json::{Value, json};

use super::super::{Backend, Options};
use super::strict::{changed, refused};
use super::{Call, backend, batch, pod, result};

#[test]
fn every_member_of_a_sample_counts() {
    let backend = Backend::start(Options {
        batch_size: 2,
        ..Options::default()
    })
    .unwrap();
    let good = batch(1, &[pod("p")]);
    for (pointer, value, expected) in [
        ("/batch_id", json!("x"), "batch_id"),
        ("/samples", json!([]), "1 to 2 items, got 0"),
        (
            "/samples",
            json!([pod("a"), pod("b"), pod("c")]),
            "1 to 2 items, got 3",
        ),
        ("/samples/0/kind", json!("service"), "samples[0].kind"),
        (
            "/samples/0/extra",
            json!(1),
            "samples[0].extra: not a member",
        ),
        ("/samples/0/containers/0/extra", json!(1), "not a member"),
        ("/samples/0/ready", json!("True"), "samples[0].ready"),
        ("/samples/0/phase", json!("Gone"), "samples[0].phase"),
        (
            "/samples/0/timestamp",
            json!("2026-01-01T00:00:00Z"),
            "samples[0].timestamp",
        ),
        (
            "/samples/0/timestamp",
            Value::Null,
            "samples[0].window_seconds",
        ),
        (
            "/samples/0/window_seconds",
            Value::Null,
            "samples[0].window_seconds",
        ),
        ("/samples/0/containers", json!([]), "samples[0].containers"),
        (
            "/samples/0/containers/0/cpu_millicores",
            json!(0.000_000_5),
            "finer than a nanocore",
        ),
        (
            "/samples/0/containers/0/memory_bytes",
            json!(1.5),
            "memory_bytes",
        ),
    ] {
        let body = changed(&good, pointer, Some(value));
        refused(&backend, &Call::batch(&body), 422, expected);
    }
    for member in ["workload", "node", "qos", "window_seconds"] {
        let body = changed(&good, &format!("/samples/0/{member}"), None);
        refused(&backend, &Call::batch(&body), 422, member);
    }
    let mut unmeasured = changed(&good, "/samples/0/timestamp", Some(Value::Null));
    unmeasured["samples"][0]["window_seconds"] = Value::Null;
    refused(
        &backend,
        &Call::batch(&unmeasured),
        422,
        "usage without the time",
    );
    assert!(backend.batches().is_empty());
}

#[test]
fn every_member_of_a_result_counts() {
    let backend = backend();
    let good = result("succeeded", &"0".repeat(64));
    for (pointer, value, expected) in [
        ("/status", json!("done"), "status"),
        ("/status", json!("rejected"), "reason: missing"),
        ("/message", json!("é".repeat(2049)), "message"),
        (
            "/details",
            json!({"x": "y".repeat(65_536)}),
            "more than 65536",
        ),
        ("/details", Value::Null, "details"),
        ("/details_truncated", json!(false), "details_truncated"),
        ("/reason", json!("Not a word"), "reason"),
        ("/finished_at", Value::Null, "finished_at"),
        ("/payload_sha256", json!("0"), "payload_sha256"),
    ] {
        let body = changed(&good, pointer, Some(value));
        refused(
            &backend,
            &Call::json("PUT", "/v1/actions/x/result", &body),
            422,
            expected,
        );
    }
    let mut refusal = result("rejected", &"0".repeat(64));
    refusal["reason"] = json!("because");
    refused(
        &backend,
        &Call::json("PUT", "/v1/actions/x/result", &refusal),
        422,
        "policy_denied",
    );
    refused(
        &backend,
        &Call::json("PUT", "/v1/actions/a.b/result", &good),
        400,
        "id",
    );
}
