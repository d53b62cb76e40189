//! The WebSocket as an agent sees it.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::handshake::client::Request;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message, WebSocket};

use crate::backend::{
    Attack, Backend, ChannelMode, ClosedBy, Cut, Endpoint, Fault, FaultKind, NewAction,
    NewSettings, Options,
};

const DEADLINE: Duration = Duration::from_secs(5);

type Socket = WebSocket<TcpStream>;

fn backend() -> Backend {
    let options = Options {
        cluster_id: Some("c".into()),
        ..Options::default()
    };
    Backend::start(options).unwrap()
}

fn request(backend: &Backend, protocol: &'static str, key: &str) -> Request {
    let mut request = backend.ws_url().into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
    headers.insert(
        "authorization",
        HeaderValue::from_str(&format!("Bearer {key}")).unwrap(),
    );
    request
}

fn try_connect(backend: &Backend, request: Request) -> Result<Socket, u16> {
    let stream = TcpStream::connect(backend.server().addr()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) => {
            Err(answer.status().as_u16())
        }
        Err(_) => Err(0),
    }
}

/// Connects without a hello.
fn connect(backend: &Backend) -> Socket {
    let key = Options::default().api_key;
    try_connect(backend, request(backend, "mlopt.agent.v1", &key)).unwrap()
}

fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).unwrap();
}

/// The next message, pings left out.
fn hear(socket: &mut Socket) -> Value {
    loop {
        match socket.read().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The code of the close frame that comes, whatever comes before it; 0 if none comes.
fn close_code(socket: &mut Socket) -> u16 {
    loop {
        match socket.read() {
            Ok(Message::Close(Some(frame))) => return frame.code.into(),
            Ok(Message::Close(None)) | Err(_) => return 0,
            Ok(_) => {}
        }
    }
}

fn hello(next_seq: u64) -> Value {
    json!({
        "type": "hello", "protocol": "1", "cluster_id": "c", "agent_id": "a", "instance_id": "i",
        "run_id": "r", "agent_version": "0.1.0", "next_seq": next_seq,
    })
}

fn event(seq: u64) -> Value {
    json!({"type": "event", "seq": seq, "name": "ready"})
}

/// Connects, and gives back the last number that the server says it has.
fn welcomed(backend: &Backend, next_seq: u64) -> (Socket, u64) {
    let mut socket = connect(backend);
    say(&mut socket, &hello(next_seq));
    let welcome = hear(&mut socket);
    assert_eq!(welcome["type"], "welcome");
    (socket, welcome["last_seq"].as_u64().unwrap())
}

/// How the newest connection ended.
#[track_caller]
fn ended(backend: &Backend) -> (ClosedBy, Option<u16>) {
    let last = |backend: &crate::backend::Core| backend.connections().last()?.closed.clone();
    assert!(backend.wait_for(DEADLINE, |backend| last(backend).is_some()));
    let closed = last(backend).unwrap();
    (closed.by, closed.code)
}

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
    drop(connect(&backend));
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
fn what_breaks_the_protocol_closes_the_connection() {
    let backend = backend();
    let close_of = |message: Message| {
        let (mut socket, _) = welcomed(&backend, 1);
        socket.send(message).unwrap();
        close_code(&mut socket)
    };
    assert_eq!(close_of(Message::binary(vec![1])), 1003);
    assert_eq!(close_of(Message::text("{")), 1008);
    assert_eq!(close_of(Message::text("[]")), 1008);
    assert_eq!(close_of(Message::text(r#"{"type":"event","seq":1}"#)), 1008);
    assert_eq!(close_of(Message::text("x".repeat((256 << 10) + 1))), 1009);
    // A client's library sends nothing of this kind.
    let raw = |bytes: &[u8]| {
        let (mut socket, _) = welcomed(&backend, 1);
        socket.get_mut().write_all(bytes).unwrap();
        close_code(&mut socket)
    };
    assert_eq!(raw(b"\x81\x02{}"), 1002);
    assert_eq!(raw(b"\x81\x82\0\0\0\0\xc3\x28"), 1007);
    assert_eq!(backend.violations().len(), 7);
    assert_eq!(ended(&backend), (ClosedBy::Server, Some(1007)));
}

#[test]
fn hello_comes_first_and_in_time() {
    let backend = backend();
    let mut socket = connect(&backend);
    say(&mut socket, &event(1));
    assert_eq!(close_code(&mut socket), 4400);
    let mut socket = connect(&backend);
    let mut foreign = hello(1);
    foreign["cluster_id"] = json!("d");
    say(&mut socket, &foreign);
    assert_eq!(close_code(&mut socket), 4403);
    backend.set_channel_mode(ChannelMode {
        hello_within_ms: 1,
        ..ChannelMode::default()
    });
    assert_eq!(close_code(&mut connect(&backend)), 4400);
    backend.set_channel_mode(ChannelMode {
        close_at_once: Some(4401),
        ..ChannelMode::default()
    });
    assert_eq!(close_code(&mut connect(&backend)), 4401);
    assert_eq!(backend.connected(), 0);
}

#[test]
fn connections_end_in_every_way() {
    let backend = backend();
    let cut = |cut: Cut| {
        let (socket, _) = welcomed(&backend, 1);
        assert!(backend.wait_for(DEADLINE, |backend| backend.connected() == 1));
        assert_eq!(backend.cut_websockets(&cut), 1);
        socket
    };
    let mut socket = cut(Cut::Close {
        code: 1011,
        reason: "oops".into(),
    });
    assert_eq!(close_code(&mut socket), 1011);
    assert_eq!(ended(&backend), (ClosedBy::Server, Some(1011)));

    let mut socket = cut(Cut::Reset);
    let err = socket.read().unwrap_err();
    let reset = matches!(&err, Error::Io(err) if err.kind() == std::io::ErrorKind::ConnectionReset);
    assert!(reset, "{err}");
    assert_eq!(ended(&backend), (ClosedBy::Nobody, None));

    let mut socket = cut(Cut::HangUp);
    assert!(matches!(socket.read(), Err(Error::Protocol(_))));

    let mut socket = cut(Cut::Goaway {
        reconnect_after_ms: 7,
        reason: "restart".into(),
    });
    let goaway = json!({"type": "goaway", "reconnect_after_ms": 7, "reason": "restart"});
    assert_eq!(hear(&mut socket), goaway);
    socket.close(None).unwrap();
    assert_eq!(close_code(&mut socket), 0);
    assert_eq!(ended(&backend), (ClosedBy::Agent, None));

    let mut socket = cut(Cut::Silence);
    socket
        .get_mut()
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    socket.send(Message::Ping(Vec::new().into())).unwrap();
    let err = socket.read().unwrap_err();
    assert!(matches!(err, Error::Io(_)), "{err}");
    drop(socket);
    assert_eq!(ended(&backend), (ClosedBy::Nobody, None));
    backend.assert_no_violations();
}

#[test]
fn pings_are_answered_and_counted() {
    let backend = backend();
    let (mut socket, _) = welcomed(&backend, 1);
    socket.send(Message::Ping(vec![7].into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(vec![7].into()));
    assert_eq!(backend.connections()[0].pings.len(), 1);
}

#[test]
fn a_newer_connection_takes_the_place_of_an_older_one() {
    let backend = backend();
    let (mut old, _) = welcomed(&backend, 1);
    assert!(backend.wait_for(DEADLINE, |backend| backend.connected() == 1));
    let (new, _) = welcomed(&backend, 1);
    assert!(old.read().is_err());
    assert!(backend.wait_for(DEADLINE, |backend| backend.connected() == 1));
    drop(new);
}

#[test]
fn attacks_are_what_they_say() {
    let backend = backend();
    let after = |attack: Attack| {
        backend.set_channel_mode(ChannelMode {
            attack: Some(attack),
            ..ChannelMode::default()
        });
        let (mut socket, _) = welcomed(&backend, 1);
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline);
            match socket.read() {
                Ok(Message::Ping(_)) => {}
                other => return other,
            }
        }
    };
    for attack in [
        Attack::HugeHeader,
        Attack::Fragments { bytes: 1 << 30 },
        Attack::Masked,
        Attack::ReservedBit,
        Attack::InvalidUtf8,
        Attack::LongPing,
        Attack::LoneContinuation,
    ] {
        let outcome = after(attack.clone());
        let expected = matches!(
            &outcome,
            Err(Error::Protocol(_) | Error::Capacity(_) | Error::Utf8(_))
        );
        assert!(expected, "{attack:?}: {outcome:?}");
    }
    assert!(matches!(after(Attack::Binary), Ok(Message::Binary(_))));
    let deep = after(Attack::Nesting { depth: 100_000 })
        .unwrap()
        .into_text()
        .unwrap();
    assert!(deep.len() > 200_000 && serde_json::from_str::<Value>(&deep).is_err());
    let large = after(Attack::Large { bytes: 300 << 10 })
        .unwrap()
        .into_text()
        .unwrap();
    assert!(large.len() > 256 << 10);
    assert!(
        after(Attack::UnknownType)
            .unwrap()
            .into_text()
            .unwrap()
            .contains("unknown")
    );
    assert!(
        after(Attack::BadJson).unwrap().is_text() && after(Attack::NoObject).unwrap().is_text()
    );

    backend.set_channel_mode(ChannelMode::default());
    let (mut socket, _) = welcomed(&backend, 1);
    assert!(backend.wait_for(DEADLINE, |backend| backend.connected() == 1));
    backend.attack(&Attack::PingFlood {
        per_second: 10_000,
        seconds: 1,
    });
    let started = Instant::now();
    for _ in 0..5_000 {
        assert!(socket.read().unwrap().is_ping());
    }
    let took = started.elapsed();
    assert!(
        (Duration::from_millis(300)..Duration::from_secs(2)).contains(&took),
        "{took:?}"
    );
}
