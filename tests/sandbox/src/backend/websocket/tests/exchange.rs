//! What is said and answered.

use serde_json::json;
use tungstenite::http::HeaderValue;

use crate::backend::{
    ChannelMode, ClosedBy, Endpoint, Fault, FaultKind, NewAction, NewSettings, Options,
};

use crate::tls::Authority;

use super::*;

#[test]
fn an_upgrade_needs_its_headers_and_key() {
    let backend = backend();
    let key = Options::default().api_key;
    let refused = |request| try_connect(&backend, request).unwrap_err();
    assert_eq!(refused(request(&backend, "mlopt.agent.v1", "other")), 401);
    assert!(backend.violations().is_empty());
    assert_eq!(refused(request(&backend, "chat", &key)), 400);
    let mut extended = request(&backend, "mlopt.agent.v1", &key);
    let deflate = HeaderValue::from_static("permessage-deflate");
    extended
        .headers_mut()
        .insert("sec-websocket-extensions", deflate);
    assert_eq!(refused(extended), 400);
    assert_eq!(backend.violations().len(), 2);
    for status in [401, 403, 404, 429, 503] {
        backend.set_fault(Endpoint::WebSocket, Fault::status(status).times(1));
        assert_eq!(refused(request(&backend, "mlopt.agent.v1", &key)), status);
    }
    let elsewhere = FaultKind::Redirect {
        status: 302,
        location: "ws://127.0.0.1:1/".into(),
    };
    backend.set_fault(Endpoint::WebSocket, Fault::from(elsewhere).times(1));
    assert_eq!(refused(request(&backend, "mlopt.agent.v1", &key)), 302);
    backend.set_fault(
        Endpoint::WebSocket,
        Fault::from(FaultKind::EndlessHeaders).times(1),
    );
    assert_eq!(refused(request(&backend, "mlopt.agent.v1", &key)), 0);
    backend.set_fault(
        Endpoint::WebSocket,
        Fault::from(FaultKind::Slow { interval_ms: 1 }).times(1),
    );
    // The library takes an answer in such small pieces for an attack.
    assert_eq!(refused(request(&backend, "mlopt.agent.v1", &key)), 0);
    assert_eq!(
        backend.request_counts()[&(Some(Endpoint::WebSocket), 101)],
        1
    );
}

#[test]
fn frames_are_stored_once_acknowledged_and_taken_up_again() {
    let backend = backend();
    let (mut socket, last) = welcomed(&backend, 1);
    assert_eq!(last, 0);
    for seq in 1..=3 {
        say(&mut socket, &event(seq));
        assert_eq!(
            hear(&mut socket),
            json!({"type": "ack", "seq": seq, "cumulative": true})
        );
    }
    say(&mut socket, &json!({"type": "gap", "seq": 9, "dropped": 6}));
    assert_eq!(hear(&mut socket)["seq"], 9);
    socket.close(None).unwrap();
    assert_eq!(ended(&backend), (ClosedBy::Agent, None));

    backend.set_channel_mode(ChannelMode {
        acks: false,
        ..ChannelMode::default()
    });
    let (mut socket, last) = welcomed(&backend, 10);
    assert_eq!(last, 9);
    say(&mut socket, &event(10));
    assert!(backend.wait_for(DEADLINE, |backend| backend.frames().len() == 5));
    backend.set_channel_mode(ChannelMode::default());
    assert_eq!(hear(&mut socket)["seq"], 10);
    backend.assert_no_violations();

    // A number again, one left out without a word, and a new connection that begins too low.
    for seq in [10, 12] {
        say(&mut socket, &event(seq));
    }
    assert!(backend.wait_for(DEADLINE, |backend| backend.violations().len() == 2));
    drop(welcomed(&backend, 12));
    let violations = backend.violations();
    assert_eq!(violations.len(), 3, "{violations:?}");
    assert_eq!(backend.frames_of("event").len(), 5);
}

#[test]
fn envelopes_are_pushed_until_they_are_received() {
    let backend = backend();
    let early = backend
        .create_action(&NewAction::new("cordon_node", json!({"node": "n"})))
        .unwrap();
    let (mut socket, _) = welcomed(&backend, 1);
    assert_eq!(
        hear(&mut socket),
        json!({"type": "action", "envelope": early})
    );
    let late = backend
        .create_action(&NewAction::new("cordon_node", json!({"node": "m"})))
        .unwrap();
    assert_eq!(hear(&mut socket)["envelope"]["id"], late.id);
    let other = NewAction {
        agent_id: Some("b".into()),
        ..NewAction::new("cordon_node", json!({}))
    };
    backend.create_action(&other).unwrap();
    let settings = backend
        .create_settings(&NewSettings::new(json!({"batch_size": 5})))
        .unwrap();
    assert_eq!(
        hear(&mut socket),
        json!({"type": "config", "envelope": settings})
    );
    say(
        &mut socket,
        &json!({"type": "received", "seq": 1, "id": early.id, "outcome": "accepted"}),
    );
    assert_eq!(hear(&mut socket)["type"], "ack");
    drop(socket);

    let (mut socket, _) = welcomed(&backend, 2);
    let mut again =
        [hear(&mut socket), hear(&mut socket)].map(|pushed| pushed["envelope"]["id"].clone());
    again.sort_by_key(|id| *id != late.id);
    assert_eq!(again, [json!(late.id), json!(settings.id)]);
    let action = backend.action(&late.id).unwrap();
    assert_eq!(
        (
            action.pushed,
            backend.action(&early.id).unwrap().frames.len()
        ),
        (2, 1)
    );
    backend.push_frame(&json!({"type": "action", "envelope": {"id": "raw"}}));
    assert_eq!(hear(&mut socket)["envelope"]["id"], "raw");
    let refused = json!({"type": "received", "seq": 2, "id": "raw", "outcome": "rejected", "reason": "malformed"});
    say(&mut socket, &refused);
    assert_eq!(hear(&mut socket)["seq"], 2);
    backend.assert_no_violations();

    say(
        &mut socket,
        &json!({"type": "received", "seq": 3, "id": "never", "outcome": "duplicate"}),
    );
    let progress =
        json!({"type": "progress", "seq": 4, "id": late.id, "message": "", "done": 0, "total": 1});
    say(&mut socket, &progress);
    assert!(backend.wait_for(DEADLINE, |backend| backend.violations().len() == 2));
}

#[test]
fn speaks_over_tls_in_both_directions_at_once() {
    let authority = Authority::new();
    let tls = Some(authority.acceptor(&["127.0.0.1"]));
    let cluster_id = Some("c".into());
    let options = Options {
        cluster_id,
        tls,
        ..Options::default()
    };
    let backend = Backend::start(options).unwrap();
    assert!(backend.url().starts_with("https://") && backend.ws_url().starts_with("wss://"));
    let stream = authority
        .connect(backend.server().addr(), "127.0.0.1")
        .unwrap();
    let request = request(&backend, "mlopt.agent.v1", &Options::default().api_key);
    let (mut socket, _) = tungstenite::client(request, stream).unwrap();
    say(&mut socket, &hello(1));
    assert_eq!(hear(&mut socket)["type"], "welcome");
    // The server's reader waits for the next frame while its writer pushes.
    let new = NewAction::new("cordon_node", json!({"node": "n"}));
    let action = backend.create_action(&new).unwrap();
    assert_eq!(
        hear(&mut socket),
        json!({"type": "action", "envelope": action})
    );
    say(&mut socket, &event(1));
    assert_eq!(hear(&mut socket)["type"], "ack");
    socket.close(None).unwrap();
    assert_eq!(ended(&backend), (ClosedBy::Agent, None));
    backend.assert_no_violations();
}
