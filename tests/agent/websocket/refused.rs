//! Refusals and their pauses: stated in the log, kept on a clock that runs a hundred times as fast, while polling
//! carries the actions.

use std::time::{Duration, Instant};

use sandbox::backend::{ChannelMode, Cut, Endpoint, Fault};

use crate::common::eventually;
use crate::common::world::World;

/// The last pause that the log states, in seconds.
fn stated(log: &str, reason: &str) -> Option<f64> {
    let line = log
        .lines()
        .rfind(|it| it.contains("websocket_client - WARN") && it.contains(reason))?;
    let (_, rest) = line.split_once("reconnecting in ")?;
    rest.strip_suffix(" s")?.parse().ok()
}

/// What is done (a close code or a fault), how the log names it, and the pause that it states.
type Case<'a> = (Option<u16>, Option<Fault>, &'a str, f64, f64);

#[test]
fn each_refusal_has_its_pause_while_polling_goes_on() {
    let world = World::new(8, 16).hasty();
    let mut agent = world.start();
    let nodes = world.nodes();
    let closing = |code| ChannelMode {
        close_at_once: Some(code),
        ..ChannelMode::default()
    };
    let cases: [Case<'_>; 8] = [
        (Some(4401), None, "closed it with 4401", 300.0, 300.0),
        (Some(4403), None, "closed it with 4403", 300.0, 300.0),
        (None, Some(Fault::status(401)), "answered 401", 300.0, 300.0),
        (None, Some(Fault::status(403)), "answered 403", 300.0, 300.0),
        (None, Some(Fault::status(404)), "answered 404", 0.1, 60.0),
        (
            None,
            Some(Fault::retry_after(429, "30")),
            "answered 429",
            30.0,
            30.0,
        ),
        (
            None,
            Some(Fault::retry_after(503, "soon")),
            "answered 503",
            0.1,
            60.0,
        ),
        (Some(1001), None, "closed it with 1001", 0.0, 5.0),
    ];
    for ((code, fault, reason, least, most), node) in cases.into_iter().zip(&nodes) {
        match (code, fault) {
            (Some(code), _) => world.backend.set_channel_mode(closing(code)),
            (_, Some(fault)) => world.backend.set_fault(Endpoint::WebSocket, fault),
            _ => unreachable!(),
        }
        world.backend.cut_websockets(&Cut::HangUp);
        eventually(reason, || stated(&agent.log(), reason).is_some());
        let pause = stated(&agent.log(), reason).unwrap();
        assert!((least..=most).contains(&pause), "{reason}: {pause}");
        let id = world.cordon(node);
        assert_eq!(world.result(&id)["status"], "succeeded");
        assert_eq!(world.backend.connected(), 0, "{reason}: polling brought it");
        world.backend.set_channel_mode(ChannelMode::default());
        world.backend.clear_faults();
        world.connected();
    }
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn a_changed_key_is_tried_at_once() {
    let world = World::new(1, 2);
    let file = world.setup.folder().join("api-key");
    std::fs::write(&file, "an-old-key-0123456789\n").unwrap();
    let world = world.with("API_KEY_FILE", &file.display().to_string());
    world.backend.set_api_keys(&["a-new-key-0123456789"]);
    let mut agent = world.setup.start();
    agent.logged(
        "the upgrade was answered 401: the API key was not accepted; reconnecting in 300.0 s",
    );
    agent.logged("Failed to register");
    let began = Instant::now();
    std::fs::write(&file, "a-new-key-0123456789\n").unwrap();
    world.connected();
    eventually("registered", || world.backend.registrations().len() == 1);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert!(!agent.log().contains("-key-0123456789"));
    agent.stop();
}

#[test]
fn no_welcome_is_the_end_after_ten_seconds() {
    let world = World::new(1, 2).hasty();
    world.backend.set_channel_mode(ChannelMode {
        welcomes: false,
        ..ChannelMode::default()
    });
    let mut agent = world.setup.start();
    agent.logged("no welcome in time, closed with 4408");
    let closed = world.backend.connections()[0].closed.clone().unwrap();
    assert_eq!(closed.code, Some(4408));
    world.backend.set_channel_mode(ChannelMode::default());
    world.connected();
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn a_goaway_is_followed_and_returned_from() {
    let world = World::new(1, 2);
    let mut agent = world.start();
    world.backend.cut_websockets(&Cut::Goaway {
        reconnect_after_ms: 1500,
        reason: "a new version".to_owned(),
    });
    agent.logged("the backend asked to come back later: a new version; reconnecting in");
    let pause = stated(&agent.log(), "come back later").unwrap();
    assert!((1.5..=6.5).contains(&pause), "{pause}");
    let closed = world.backend.connections()[0].closed.clone().unwrap();
    assert_eq!(closed.code, Some(1000), "{closed:?}");
    world.connected();
    agent.stop();
    world.backend.assert_no_violations();
}
