//! How connections end, and what is sent to end them.

use std::io::Write as _;
use std::time::Instant;

use serde_json::{Value, json};

use crate::backend::{Attack, ChannelMode, ClosedBy, Cut};

use super::*;

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
            match read(&mut socket) {
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
    let started = Instant::now();
    // It ends with the connection.
    backend.attack(&Attack::PingFlood {
        per_second: 10_000,
        seconds: 60,
    });
    for _ in 0..5_000 {
        assert!(read(&mut socket).unwrap().is_ping());
    }
    let took = started.elapsed();
    assert!(took > Duration::from_millis(300), "{took:?}");
}
