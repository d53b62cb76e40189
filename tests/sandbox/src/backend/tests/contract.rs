//! The contract beside the agent's client (`src/backend/openapi.yaml`) says what this backend does.

use serde_json::Value;

use super::super::actions::Answer;
use super::super::envelope::{Envelope, Key};
use super::super::routes;
use super::super::{Backend, Options};
use super::{Call, claim};

const SECRET: &str = "test-secret-key-0123456789abcdef";

fn contract() -> Value {
    let text = include_str!("../../../../../src/backend/openapi.yaml");
    serde_saphyr::from_str(text).unwrap()
}

/// The examples of an operation's request.
fn requests<'a>(contract: &'a Value, path: &str, method: &str) -> impl Iterator<Item = &'a Value> {
    let content = &contract["paths"][path][method]["requestBody"]["content"]["application/json"];
    content["examples"]
        .as_object()
        .unwrap()
        .values()
        .map(|example| &example["value"])
}

#[test]
fn has_the_calls_that_there_are() {
    let contract = contract();
    let mut calls = 0;
    for (path, operations) in contract["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let path = format!("/v1{path}").replace(['{', '}'], "");
            assert!(
                routes::route(&method.to_uppercase(), &path).is_ok(),
                "{method} {path}"
            );
            calls += 1;
        }
    }
    assert_eq!(calls, 7);
}

#[test]
fn has_examples_that_are_taken() {
    let contract = contract();
    let options = Options {
        secret_key: SECRET.into(),
        ..Options::default()
    };
    let backend = Backend::start(options).unwrap();
    for body in requests(&contract, "/agents/register", "post") {
        Call::json("POST", "/v1/agents/register", body).expect(&backend, 200);
    }
    for body in requests(&contract, "/metrics", "post") {
        Call::batch(body).expect(&backend, 202);
    }
    assert_eq!(backend.samples().len(), 5);

    // Its envelope is signed correctly, and its claim and results are of that envelope.
    let envelope = &contract["components"]["schemas"]["Envelope"]["examples"][0];
    let envelope: Envelope = serde_json::from_value(envelope.clone()).unwrap();
    let key = Key::parse(SECRET).unwrap();
    let signed = Envelope::sign(
        &[key],
        &envelope.id,
        envelope.timestamp,
        envelope.payload.clone(),
    );
    assert_eq!(signed, envelope);
    let expires_at = i64::MAX;
    for results in 1.. {
        let Some(result) = requests(&contract, "/actions/{id}/result", "put").nth(results - 1)
        else {
            break;
        };
        let mut one = envelope.clone();
        one.id = format!("{}-{results}", envelope.id);
        let at = String::new();
        backend
            .state()
            .actions
            .add(
                one.clone(),
                "cordon_node",
                "prod-eu-1",
                None,
                expires_at,
                at,
            )
            .unwrap();
        for body in requests(&contract, "/actions/{id}/claim", "post") {
            Call::json("POST", &format!("/v1/actions/{}/claim", one.id), body)
                .expect(&backend, 200);
        }
        Call::json("PUT", &format!("/v1/actions/{}/result", one.id), result).expect(&backend, 204);
    }
    assert_eq!(backend.results().len(), 2);

    for body in requests(&contract, "/agents/{agent_id}/heartbeat", "post") {
        let agent_id = "kubernetes-agent-7d4b9c";
        let by = claim("3f6c1b0e9a", &envelope.payload_sha256());
        let by = super::super::messages::ClaimMessage {
            agent_id: agent_id.into(),
            ..super::super::messages::claim(&by).unwrap()
        };
        let mut state = backend.state();
        let lease = std::time::Duration::MAX / 4;
        let at = String::new();
        state
            .actions
            .add(
                envelope.clone(),
                "cordon_node",
                "prod-eu-1",
                None,
                expires_at,
                at.clone(),
            )
            .unwrap();
        assert_eq!(
            state.actions.claim(&envelope.id, &by, lease, at),
            Answer::Granted
        );
        drop(state);
        Call::json("POST", &format!("/v1/agents/{agent_id}/heartbeat"), body).expect(&backend, 200);
    }
    backend.assert_no_violations();
}
