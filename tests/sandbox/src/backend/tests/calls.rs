//! Each call in turn, and what it leaves behind.

use serde_json::json;

use super::super::{ActionState, Kind, NewAction, NewSettings};
use super::{Call, DEADLINE, backend, batch, claim, heartbeat, pod, registration, result};

const REGISTER: &str = "/v1/agents/register";
const HEARTBEAT: &str = "/v1/agents/a/heartbeat";
const LIST: &str = "/v1/clusters/c/actions?agent_id=a&limit=20";

#[test]
fn an_agent_registers_beats_and_leaves() {
    let backend = backend();
    Call::json("POST", HEARTBEAT, &heartbeat(1)).expect(&backend, 404);
    let answer = Call::json("POST", REGISTER, &registration()).expect(&backend, 200);
    assert_eq!(answer.json()["protocol"], "1");
    assert!(super::super::parse_rfc3339(answer.json()["server_time"].as_str().unwrap()).is_some());
    assert!(answer.header("date").is_some());
    Call::json("POST", HEARTBEAT, &heartbeat(1)).expect(&backend, 200);

    // A newer run of the same instance takes over, and the old one's farewell does not end it.
    let mut newer = registration();
    newer["run_id"] = json!("r2");
    Call::json("POST", REGISTER, &newer).expect(&backend, 200);
    Call::json("POST", HEARTBEAT, &heartbeat(2)).expect(&backend, 404);
    Call::new("DELETE", "/v1/agents/a?instance_id=i&run_id=r").expect(&backend, 204);
    let mut newest = heartbeat(1);
    newest["run_id"] = json!("r2");
    Call::json("POST", HEARTBEAT, &newest).expect(&backend, 200);
    Call::new("DELETE", "/v1/agents/a?instance_id=i&run_id=none").expect(&backend, 204);
    assert_eq!(backend.registrations().len(), 1);
    assert_eq!(
        (backend.summary().heartbeats, backend.summary().deregistered),
        (2, 1)
    );
    assert_eq!(
        backend
            .last_heartbeat()
            .unwrap()
            .component("collector", "state"),
        "running"
    );
    backend.assert_no_violations();
}

#[test]
fn a_batch_is_stored_once() {
    let backend = backend();
    let first = Call::batch(&batch(1, &[pod("p1"), pod("p2")]));
    first.expect(&backend, 202);
    first.expect(&backend, 202);
    Call::batch(&batch(2, &[pod("p3"), pod("p2")])).expect(&backend, 202);
    let batches = backend.batches();
    assert_eq!(
        (batches.len(), batches[0].repeats, batches[0].samples),
        (2, 1, 2)
    );
    let cycles = backend.cycles();
    assert_eq!(
        (
            cycles.len(),
            cycles[0].count(Kind::Pod),
            cycles[0].duplicates
        ),
        (1, 4, 1)
    );
    assert_eq!(backend.samples_of(Kind::Pod).len(), 4);
    assert_eq!(backend.last_samples(Kind::Pod).len(), 3);
    backend.assert_no_violations();
    // The same id with other bytes, and a number twice.
    let mut other = batch(1, &[pod("p9")]);
    Call::batch(&other).expect(&backend, 422);
    other["batch_id"] = json!("0b6f3f0e-6a7c-4c55-9d3a-ffffffffffff");
    Call::batch(&other).expect(&backend, 422);
    assert_eq!(backend.violations().len(), 2);
}

#[test]
fn an_action_is_listed_claimed_and_answered() {
    let backend = backend();
    Call::json("POST", REGISTER, &registration()).expect(&backend, 200);
    Call::new("GET", LIST).expect(&backend, 204);
    let action = backend
        .create_action(&NewAction::new("cordon_node", json!({"node": "n"})))
        .unwrap();
    let sha256 = action.payload_sha256();
    let pending = Call::json("POST", HEARTBEAT, &heartbeat(1))
        .expect(&backend, 200)
        .json();
    assert_eq!(pending["pending_actions"], 1);
    let list = Call::new("GET", LIST).expect(&backend, 200).json();
    assert_eq!(list, json!({ "actions": [action] }));
    Call::new("GET", "/v1/clusters/d/actions?agent_id=a").expect(&backend, 403);

    let path = format!("/v1/actions/{}", action.id);
    let claimed = Call::json("POST", &format!("{path}/claim"), &claim("i", &sha256));
    assert_eq!(
        claimed.expect(&backend, 200).json(),
        json!({"lease_seconds": 300})
    );
    claimed.expect(&backend, 200);
    Call::json("POST", &format!("{path}/claim"), &claim("j", &sha256)).expect(&backend, 409);
    Call::new("GET", LIST).expect(&backend, 204);
    let mut beat = heartbeat(2);
    beat["in_progress"] = json!([action.id]);
    Call::json("POST", HEARTBEAT, &beat).expect(&backend, 200);

    std::thread::scope(|scope| {
        scope.spawn(|| {
            let put = Call::json(
                "PUT",
                &format!("{path}/result"),
                &result("succeeded", &sha256),
            );
            put.expect(&backend, 204);
            put.expect(&backend, 204);
        });
        assert!(backend.wait_for(DEADLINE, |backend| {
            backend
                .action(&action.id)
                .is_some_and(|action| action.result_repeats == 1)
        }));
    });
    let done = backend.action(&action.id).unwrap();
    assert_eq!(
        (done.state, done.claims_granted, done.listed),
        (ActionState::Done, 2, 1)
    );
    assert_eq!(backend.result(&action.id).unwrap()["status"], "succeeded");
    let violations = backend.violations();
    assert_eq!(
        violations.len(),
        1,
        "only the other cluster's list: {violations:?}"
    );
    Call::json("PUT", &format!("{path}/result"), &result("failed", &sha256)).expect(&backend, 409);
    Call::json("POST", "/v1/actions/none/claim", &claim("i", &sha256)).expect(&backend, 404);
    assert!(backend.cancel(&action.id).is_err());
}

#[test]
fn settings_wait_until_the_heartbeat_reaches_them() {
    let backend = backend();
    Call::json("POST", REGISTER, &registration()).expect(&backend, 200);
    backend
        .create_settings(&NewSettings::new(json!({"batch_size": 10})))
        .unwrap();
    let newest = backend
        .create_settings(&NewSettings::new(json!({"batch_size": 20})))
        .unwrap();
    let offer = backend.offer(json!({"id": "bad", "payload": 7}));
    backend.set_next_poll_seconds(Some(2));
    let list = Call::new("GET", LIST).expect(&backend, 200).json();
    let expected =
        json!({"actions": [newest, {"id": "bad", "payload": 7}], "next_poll_seconds": 2});
    assert_eq!(list, expected);
    // Neither of them has a claim.
    for id in [newest.id.as_str(), "bad"] {
        let path = format!("/v1/actions/{id}/claim");
        Call::json("POST", &path, &claim("i", &newest.payload_sha256())).expect(&backend, 404);
    }
    assert_eq!(backend.violations().len(), 2);
    backend.withdraw(offer);
    let mut beat = heartbeat(1);
    beat["config_version"] = json!(2);
    beat["rejected"] = json!([{"id": "bad", "reason": "malformed", "count": 1}]);
    let answer = Call::json("POST", HEARTBEAT, &beat)
        .expect(&backend, 200)
        .json();
    assert_eq!(answer["pending_actions"], 0);
    Call::new("GET", LIST).expect(&backend, 204);
    assert_eq!(backend.rejected("a")["bad"], ("malformed".to_owned(), 1));
}

#[test]
fn keys_are_replaced_and_the_clock_is_set_wrong() {
    let backend = backend();
    let register = Call::json("POST", REGISTER, &registration());
    backend.set_api_keys(&["new"]);
    register.expect(&backend, 401);
    let register = register.with("authorization", "Bearer new");
    backend.set_clock_offset_ms(-3_600_000);
    let answer = register.expect(&backend, 200);
    let told = super::super::parse_rfc3339(answer.json()["server_time"].as_str().unwrap()).unwrap();
    let behind = time::OffsetDateTime::now_utc() - told;
    assert!((3590..=3610).contains(&behind.whole_seconds()), "{behind}");
    backend
        .set_secret_keys(&[
            "0123456789abcdef",
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        ])
        .unwrap();
    let action = backend
        .create_action(&NewAction::new("cordon_node", json!({})))
        .unwrap();
    assert_eq!(action.signature.split(' ').count(), 2);
    assert!(backend.set_secret_keys(&["whsec_?"]).is_err());
    backend.assert_no_violations();
}

#[test]
fn the_tests_side_does_the_same_over_http() {
    let backend = backend();
    Call::json("POST", REGISTER, &registration()).expect(&backend, 200);
    let made = Call::json(
        "POST",
        "/admin/actions",
        &json!({"action": "cordon_node", "params": {"node": "n"}}),
    )
    .expect(&backend, 201)
    .json();
    let id = made["id"].as_str().unwrap();
    Call::json("POST", "/admin/actions", &json!({"acton": "cordon_node"})).expect(&backend, 422);
    Call::new("DELETE", &format!("/admin/actions/{id}")).expect(&backend, 204);
    let one = Call::new("GET", &format!("/admin/actions/{id}"))
        .expect(&backend, 200)
        .json();
    assert_eq!(one["state"], "cancelled");
    Call::json(
        "POST",
        "/admin/settings",
        &json!({"settings": {"dry_run": true}}),
    )
    .expect(&backend, 201);
    let fault = json!({"fault": "status", "status": 503, "retry_after": "1", "times": 1});
    Call::json("PUT", "/admin/faults/actions", &fault).expect(&backend, 204);
    let set = Call::new("GET", "/admin/faults")
        .expect(&backend, 200)
        .json();
    assert_eq!(set["actions"][0]["status"], 503);
    assert_eq!(
        Call::new("GET", LIST)
            .expect(&backend, 503)
            .header("retry-after"),
        Some("1")
    );
    Call::new("GET", LIST).expect(&backend, 200);
    let summary = Call::new("GET", "/admin/summary")
        .expect(&backend, 200)
        .json();
    assert_eq!(
        (&summary["registrations"], &summary["actions"]),
        (&json!(1), &json!({"cancelled": 1}))
    );
    for path in [
        "agents",
        "heartbeats",
        "batches",
        "cycles",
        "samples/pod",
        "actions",
        "results",
        "settings",
    ] {
        Call::new("GET", &format!("/admin/{path}")).expect(&backend, 200);
    }
    for path in ["violations", "requests", "clock"] {
        Call::new("GET", &format!("/admin/{path}")).expect(&backend, 200);
    }
    Call::new("GET", "/admin/none").expect(&backend, 404);
    Call::new("DELETE", "/admin/agents").expect(&backend, 204);
    assert!(backend.registrations().is_empty());
    backend.assert_no_violations();
}
