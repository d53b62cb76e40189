use serde_json::json;

use super::*;
use crate::actions::keys::Key;
use crate::actions::members::Text as _;
use crate::actions::names::{Namespace, Uid};
use crate::secret::Secret;

const K1: &str = "test-secret-key-0123456789abcdef";
const K2: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SIGNED_AT: i64 = 1_767_225_600;
const EXPIRES_AT: i64 = 1_767_226_200;
const PAYLOAD_1: &str = r#"{"type":"action.v1","id":"act_0001","cluster_id":"prod-eu-1","expires_at":1767226200,"action":"cordon_node","params":{"node":"worker-7","node_uid":"5f0c1d4e-0000-4000-8000-000000000007"}}"#;
const PAYLOAD_2: &str = r#"{"type":"action.v1","id":"act_0002","cluster_id":"prod-eu-1","expires_at":1767226200,"action":"scale_deployment","params":{"namespace":"café","name":"web","replicas":3,"expected_replicas":5}}"#;
const SIGNATURE_1_K1: &str = "v1,cZi2few/Hwk3mLAumZ8lhmscGmiXEZxz71RrA5yaRaQ=";
const SIGNATURE_2_K1: &str = "v1,aEMzk55S++Ll4QBPDVmyEpkmavxJ9yZwS2e31ZjhKGI=";
const SIGNATURE_2_K2: &str = "v1,54rEJ68dlyBYy2vEEbJUrZ70mYUAmNKRpxnG7WOYQ1g=";

fn keys(current: &str, previous: Option<&str>) -> Keys {
    let key = |text| Key::parse(&Secret::new(text)).expect("a key");
    Keys {
        current: key(current),
        previous: previous.map(key),
    }
}

fn identity() -> Identity {
    Identity {
        cluster_id: "prod-eu-1".into(),
        agent_id: "agent-1".into(),
    }
}

fn wire(id: &str, timestamp: i64, payload: &str, signature: &str) -> String {
    let wire = json!(
        {"id": id, "timestamp": timestamp, "payload": payload, "signature": signature}
    );
    wire.to_string()
}

/// What becomes of one envelope, from the wire on.
fn judge_at(now: i64, keys: &Keys, wire: &str) -> Result<Verified, NotProven> {
    RawEnvelope::parse(wire)
        .and_then(|envelope| verify(keys, &identity(), now, envelope))
        .map_err(|refusal| refusal.reason)
}

/// What becomes of a payload that the backend has signed well.
fn judge_signed(payload: &str) -> Result<Verified, NotProven> {
    let keys = keys(K1, None);
    let envelope = RawEnvelope::signed(&keys, "act_0001", SIGNED_AT, payload);
    verify(&keys, &identity(), SIGNED_AT, envelope).map_err(|refusal| refusal.reason)
}

fn action_of(verified: &Verified) -> &ActionOrder {
    match verified.order() {
        Order::Action(order) => order,
        Order::Settings(order) => panic!("settings {order:?}"),
    }
}

/// `PAYLOAD_1` with members replaced, added, or removed where the value is null.
fn payload_with(changes: Value) -> String {
    let Ok(Value::Object(mut payload)) = serde_json::from_str(PAYLOAD_1) else {
        panic!("an object")
    };
    let Value::Object(changes) = changes else {
        panic!("an object")
    };
    for (name, value) in changes {
        if value.is_null() {
            payload.remove(&name);
        } else {
            payload.insert(name, value);
        }
    }
    Value::Object(payload).to_string()
}

#[test]
fn the_first_vector() {
    let wire = wire("act_0001", SIGNED_AT, PAYLOAD_1, SIGNATURE_1_K1);
    let verified = judge_at(SIGNED_AT, &keys(K1, None), &wire).unwrap();
    assert_eq!(PAYLOAD_1.len(), 187);
    assert_eq!(
        verified.payload_hash().to_string(),
        "d74e2c712bb826e2123cc96855c491e2a7fbc04b5d3dfdef309538fd2ca8f9d3"
    );
    assert_eq!(verified.id().as_str(), "act_0001");
    assert_eq!(verified.expires_at(), EXPIRES_AT);
    let order = action_of(&verified);
    assert_eq!(order.kind, Some(ActionKind::CordonNode));
    assert!(!order.dry_run);
    let Ok(Action::CordonNode(cordon)) = &order.action else {
        panic!("{order:?}")
    };
    assert_eq!(cordon.node.as_str(), "worker-7");
    let uid = cordon.node_uid.as_ref().map(Uid::as_str);
    assert_eq!(uid, Some("5f0c1d4e-0000-4000-8000-000000000007"));
}

#[test]
fn the_second_vector_under_either_key() {
    assert_eq!(PAYLOAD_2.len(), 192);
    for (key, signature) in [(K1, SIGNATURE_2_K1), (K2, SIGNATURE_2_K2)] {
        let wire = wire("act_0002", SIGNED_AT, PAYLOAD_2, signature);
        let verified = judge_at(SIGNED_AT, &keys(key, None), &wire).unwrap();
        // Proven, and refused all the same: café is no legal namespace.
        let refusal = action_of(&verified).action.as_ref().unwrap_err();
        assert_eq!(refusal.reason(), "invalid_params");
        let expected = format!(
            "params.namespace: expected {}, got \"café\"",
            Namespace::EXPECTED
        );
        assert_eq!(refusal.to_string(), expected);
    }
}

#[test]
fn the_negative_vectors() {
    let good = wire("act_0001", SIGNED_AT, PAYLOAD_1, SIGNATURE_1_K1);
    let k1 = keys(K1, None);
    assert!(judge_at(SIGNED_AT, &k1, &good).is_ok());
    let bytes = RawEnvelope::parse(&good).unwrap().signatures();
    let hex = bytes[0]
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let signature = |text: &str| wire("act_0001", SIGNED_AT, PAYLOAD_1, text);
    let bare = SIGNATURE_1_K1.strip_prefix("v1,").unwrap();

    let cases = [
        (
            "under id act_0002",
            good.replace(r#""act_0001""#, r#""act_0002""#),
            "bad_signature",
        ),
        (
            "one space more",
            good.replace("}}\"", "}} \""),
            "bad_signature",
        ),
        (
            "another timestamp",
            good.replace("1767225600", "1767225601"),
            "bad_signature",
        ),
        ("hex", signature(&format!("v1,{hex}")), "bad_signature"),
        (
            "nine signatures",
            signature(&[SIGNATURE_1_K1; 9].join(" ")),
            "malformed",
        ),
        ("only v2", signature(&format!("v2,{bare}")), "bad_signature"),
        (
            "only v1a",
            signature(&format!("v1a,{bare}")),
            "bad_signature",
        ),
        ("no version", signature(bare), "bad_signature"),
        ("no signature", signature(""), "bad_signature"),
        (
            "half a signature",
            signature(&SIGNATURE_1_K1[..25]),
            "bad_signature",
        ),
        (
            "a signature and a half",
            signature(&format!("{SIGNATURE_1_K1}AAAA")),
            "bad_signature",
        ),
        (
            "no pad",
            signature(SIGNATURE_1_K1.trim_end_matches('=')),
            "bad_signature",
        ),
        (
            "a line end",
            signature(&format!("{SIGNATURE_1_K1}\n")),
            "bad_signature",
        ),
        (
            "a lone surrogate",
            good.replace("worker-7", "\\ud800"),
            "malformed",
        ),
    ];
    for (name, wire, expected) in cases {
        let reason = judge_at(SIGNED_AT, &k1, &wire).expect_err(name);
        assert_eq!(reason.as_str(), expected, "{name}");
    }
    let by_k2 = judge_at(SIGNED_AT, &keys(K2, None), &good);
    assert_eq!(by_k2.unwrap_err(), NotProven::BadSignature);

    let elsewhere = Identity {
        cluster_id: "prod-eu-2".into(),
        ..identity()
    };
    let envelope = RawEnvelope::parse(&good).unwrap();
    let refusal = verify(&k1, &elsewhere, SIGNED_AT, envelope).unwrap_err();
    assert_eq!(refusal.reason, NotProven::WrongCluster);
    assert_eq!(
        refusal.id.as_ref().map(EnvelopeId::as_str),
        Some("act_0001")
    );
    assert_eq!(
        refusal.to_string(),
        "envelope act_0001 refused: wrong_cluster: it is for another cluster"
    );

    // Expired is the one that is proven: it is claimed and gets a result.
    let expired = judge_at(EXPIRES_AT, &k1, &good).unwrap();
    assert_eq!(action_of(&expired).action, Err(ProvenRefusal::Expired));
    assert_eq!(action_of(&expired).kind, Some(ActionKind::CordonNode));
}

#[test]
fn one_good_signature_among_eight_is_enough() {
    let mut eight = ["v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; 8];
    eight[3] = "v9,!!";
    eight[7] = SIGNATURE_1_K1;
    let wire = wire("act_0001", SIGNED_AT, PAYLOAD_1, &eight.join(" "));
    assert!(judge_at(SIGNED_AT, &keys(K1, None), &wire).is_ok());
}

#[test]
fn a_rotation_takes_both_keys() {
    let wire = wire("act_0001", SIGNED_AT, PAYLOAD_1, SIGNATURE_1_K1);
    assert!(judge_at(SIGNED_AT, &keys(K2, Some(K1)), &wire).is_ok());
    assert!(judge_at(SIGNED_AT, &keys(K1, Some(K2)), &wire).is_ok());
    assert!(judge_at(SIGNED_AT, &keys(K2, None), &wire).is_err());
}

#[test]
fn the_payload_is_the_text_after_unescaping() {
    // The same payload, every character of it escaped.
    let escape = |text: String, char| text + &format!("\\u{:04x}", u32::from(char));
    let escaped = PAYLOAD_1.chars().fold(String::new(), escape);
    let wire = format!(
        r#"{{"id":"act_0001","timestamp":{SIGNED_AT},"payload":"{escaped}","signature":"{SIGNATURE_1_K1}"}}"#
    );
    assert!(judge_at(SIGNED_AT, &keys(K1, None), &wire).is_ok());
}

#[test]
fn times() {
    let keys = keys(K1, None);
    let judge = |now: i64, timestamp: i64, expires_at: i64| {
        let payload = payload_with(json!({"expires_at": expires_at}));
        let envelope = RawEnvelope::signed(&keys, "act_0001", timestamp, &payload);
        match verify(&keys, &identity(), now, envelope) {
            Err(refusal) => refusal.reason.as_str(),
            Ok(verified) if action_of(&verified).action.is_ok() => "good",
            Ok(verified) => {
                assert!(verified.is_expired(now));
                "expired"
            }
        }
    };
    let t = 1_767_225_600;
    let cases = [
        (t, t, t + 1, "good"),
        (t, t, t + 86_400, "good"),
        (t, t, t + 86_401, "ttl_too_long"),
        (t, t, t, "malformed"),
        (t, t, t - 1, "malformed"),
        (t, t + 300, t + 900, "good"),
        (t, t + 301, t + 900, "not_yet_valid"),
        (t + 599, t, t + 600, "good"),
        (t + 600, t, t + 600, "expired"),
        (t + 900_000, t, t + 600, "expired"),
        (t, 0, i64::MAX, "ttl_too_long"),
        (t, i64::MAX - 1, i64::MAX, "not_yet_valid"),
        (i64::MAX, i64::MAX - 1, i64::MAX, "expired"),
        (i64::MIN, 0, 1, "not_yet_valid"),
        (t, t, i64::MIN, "malformed"),
    ];
    for (now, timestamp, expires_at, expected) in cases {
        assert_eq!(
            judge(now, timestamp, expires_at),
            expected,
            "{now} {timestamp} {expires_at}"
        );
    }
}

#[test]
fn a_verified_order_can_expire_later() {
    let verified = judge_signed(PAYLOAD_1).unwrap();
    assert!(!verified.is_expired(EXPIRES_AT - 1));
    assert!(verified.is_expired(EXPIRES_AT));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn payloads_that_are_signed_and_not_proven() {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    let twice = |member: &str| format!("{},{member}}}", &PAYLOAD_1[..PAYLOAD_1.len() - 1]);
    let cases = [
        ("no JSON", "cordon".to_owned(), "malformed"),
        ("no object", "[]".to_owned(), "malformed"),
        ("deep", deep, "malformed"),
        (
            "action twice",
            twice(r#""action":"drain_node""#),
            "malformed",
        ),
        (
            "an ignored member twice",
            twice(r#""x":1,"x":1"#),
            "malformed",
        ),
        (
            "a lone surrogate",
            payload_with(json!({"x": "@"})).replace('@', "\\udfff"),
            "malformed",
        ),
        (
            "params with a member twice",
            PAYLOAD_1.replace(
                r#""node":"worker-7""#,
                r#""node":"worker-6","node":"worker-7""#,
            ),
            "malformed",
        ),
        (
            "another id",
            payload_with(json!({"id": "act_0002"})),
            "malformed",
        ),
        ("no id", payload_with(json!({"id": null})), "malformed"),
        (
            "a number as id",
            payload_with(json!({"id": 1})),
            "malformed",
        ),
        (
            "no cluster",
            payload_with(json!({"cluster_id": null})),
            "malformed",
        ),
        (
            "a list of clusters",
            payload_with(json!({"cluster_id": ["prod-eu-1"]})),
            "malformed",
        ),
        (
            "another cluster",
            payload_with(json!({"cluster_id": "prod-eu-2"})),
            "wrong_cluster",
        ),
        (
            "no cluster's name",
            payload_with(json!({"cluster_id": ""})),
            "wrong_cluster",
        ),
        (
            "another case",
            payload_with(json!({"cluster_id": "PROD-EU-1"})),
            "wrong_cluster",
        ),
        (
            "another agent",
            payload_with(json!({"agent_id": "agent-2"})),
            "wrong_agent",
        ),
        (
            "no agent's name",
            payload_with(json!({"agent_id": ""})),
            "wrong_agent",
        ),
        (
            "a number as agent",
            payload_with(json!({"agent_id": 1})),
            "malformed",
        ),
        (
            "no expiry",
            payload_with(json!({"expires_at": null})),
            "malformed",
        ),
        (
            "a text as expiry",
            payload_with(json!({"expires_at": "1767226200"})),
            "malformed",
        ),
        (
            "a float as expiry",
            payload_with(json!({"expires_at": 1_767_226_200.0})),
            "malformed",
        ),
        ("no type", payload_with(json!({"type": null})), "malformed"),
        (
            "a number as type",
            payload_with(json!({"type": 1})),
            "malformed",
        ),
        (
            "another type",
            payload_with(json!({"type": "action.v2"})),
            "unsupported",
        ),
        (
            "no action",
            payload_with(json!({"action": null})),
            "malformed",
        ),
        (
            "a number as action",
            payload_with(json!({"action": 1})),
            "malformed",
        ),
        (
            "no params",
            payload_with(json!({"params": null})),
            "malformed",
        ),
        (
            "a list of params",
            payload_with(json!({"params": []})),
            "malformed",
        ),
        (
            "a text as dry_run",
            payload_with(json!({"dry_run": "true"})),
            "malformed",
        ),
        (
            "a null as dry_run",
            PAYLOAD_1.replace("{\"type", "{\"dry_run\":null,\"type"),
            "malformed",
        ),
        (
            "a null as agent",
            PAYLOAD_1.replace("{\"type", "{\"agent_id\":null,\"type"),
            "malformed",
        ),
        (
            "a number as reason",
            payload_with(json!({"reason": 1})),
            "malformed",
        ),
        // What belongs to another cluster is that before it is anything else.
        (
            "another type for another cluster",
            payload_with(json!({"type": "x", "cluster_id": "x"})),
            "wrong_cluster",
        ),
    ];
    for (name, payload, expected) in cases {
        let reason = judge_signed(&payload).expect_err(name);
        assert_eq!(reason.as_str(), expected, "{name}");
    }
}

#[test]
fn the_payload_is_read_only_after_the_signature() {
    // Each of these would be refused for another reason if its payload were read first.
    for payload in [
        "no JSON",
        "{}",
        &payload_with(json!({"cluster_id": "prod-eu-2"})),
    ] {
        let wire = wire("act_0001", SIGNED_AT, payload, SIGNATURE_1_K1);
        let reason = judge_at(SIGNED_AT, &keys(K1, None), &wire).unwrap_err();
        assert_eq!(reason, NotProven::BadSignature);
    }
}

#[test]
fn optional_members() {
    let verified = judge_signed(&payload_with(json!(
        {"agent_id": "agent-1", "dry_run": true, "reason": "too\nold", "more": {"node": 1}}
    )))
    .unwrap();
    let order = action_of(&verified);
    assert!(order.dry_run);
    assert_eq!(order.reason.as_deref(), Some("too old"));
    assert!(order.action.is_ok());

    let long = judge_signed(&payload_with(json!({"reason": "é".repeat(1000)}))).unwrap();
    assert_eq!(
        action_of(&long).reason.as_deref(),
        Some("é".repeat(128).as_str())
    );
}

#[test]
fn proven_and_not_to_be_carried_out() {
    let cases = [
        (json!({"action": "delete_node"}), None, "unsupported"),
        (json!({"action": "x".repeat(1000)}), None, "unsupported"),
        (
            json!({"params": {"node": "A"}}),
            Some(ActionKind::CordonNode),
            "invalid_params",
        ),
        (
            json!({"params": {"node": "a", "x": 1}}),
            Some(ActionKind::CordonNode),
            "invalid_params",
        ),
        (
            json!({"params": {}}),
            Some(ActionKind::CordonNode),
            "invalid_params",
        ),
    ];
    for (changes, kind, reason) in cases {
        let verified = judge_signed(&payload_with(changes.clone())).unwrap();
        let order = action_of(&verified);
        assert_eq!(order.kind, kind, "{changes}");
        let refusal = order.action.as_ref().unwrap_err();
        assert_eq!(refusal.reason(), reason, "{changes}");
        assert!(refusal.to_string().len() < 400, "{refusal}");
    }
    let verified = judge_signed(&payload_with(json!({"action": "delete_node"}))).unwrap();
    assert_eq!(
        action_of(&verified)
            .action
            .as_ref()
            .unwrap_err()
            .to_string(),
        "action: expected one of evict_pod, cordon_node, uncordon_node, drain_node, \
         scale_deployment, set_image, label_resource, got \"delete_node\""
    );
}

#[test]
fn settings() {
    let judge = |version: Value, settings: Value| {
        let payload = payload_with(json!({
            "type": "config.v1", "action": null, "params": null,
            "config_version": version, "settings": settings,
        }));
        judge_signed(&payload).map(|verified| match verified.into_order() {
            Order::Settings(order) => (order.version, order.settings),
            Order::Action(order) => panic!("an action {order:?}"),
        })
    };
    let (version, settings) = judge(json!(7), json!({"batch_size": 5})).unwrap();
    assert_eq!(version, 7);
    assert_eq!(settings.unwrap().batch_size, Some(5));

    for illegal in [
        json!({"batch_size": 0}),
        json!({"api_key": "x"}),
        json!({"dry_run": false}),
    ] {
        let (_, settings) = judge(json!(7), illegal).unwrap();
        assert_eq!(settings.unwrap_err().reason(), "invalid_params");
    }
    for version in [json!(null), json!("7"), json!(-1), json!(7.0)] {
        assert_eq!(judge(version, json!({})).unwrap_err(), NotProven::Malformed);
    }
    for settings in [json!(null), json!([]), json!("x")] {
        assert_eq!(judge(json!(7), settings).unwrap_err(), NotProven::Malformed);
    }
}

#[test]
fn expired_settings_are_proven_too() {
    let keys = keys(K1, None);
    let payload = payload_with(json!(
        {"type": "config.v1", "config_version": 7, "settings": {"batch_size": 0}}
    ));
    let envelope = RawEnvelope::signed(&keys, "act_0001", SIGNED_AT, &payload);
    let verified = verify(&keys, &identity(), EXPIRES_AT, envelope).unwrap();
    let Order::Settings(order) = verified.order() else {
        panic!("settings")
    };
    assert_eq!(order.settings, Err(ProvenRefusal::Expired));
}

#[test]
fn nothing_shows_a_payload() {
    let refused = judge_signed("{\"secret-text\":1}").unwrap_err();
    assert!(!format!("{refused:?}").contains("secret-text"));
    let envelope = RawEnvelope::signed(&keys(K1, None), "a", 1, "secret-text");
    let refusal = verify(&keys(K2, None), &identity(), 1, envelope).unwrap_err();
    assert!(!format!("{refusal:?} {refusal}").contains("secret-text"));
}
