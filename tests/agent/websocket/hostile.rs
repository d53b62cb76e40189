//! What a hostile server sends ends the connection with the right code, costs next to no memory, and leaves the rest
//! of the agent alone.

use std::time::{Duration, Instant};

use sandbox::backend::{Attack, ClosedBy, Endpoint, Fault, FaultKind};

use crate::common::eventually;
use crate::common::world::World;

/// Resident memory may grow by so much over all attacks.
const GROWTH: u64 = 2 << 20;

#[test]
fn each_attack_ends_with_its_code() {
    let world = World::new(2, 4).hasty().with("COLLECTION_INTERVAL", "3600");
    let mut agent = world.start();
    let large = || Attack::Large { bytes: 300 << 10 };
    let attack = |attack: Attack, code: u16| {
        world.connected();
        let before = world.backend.connections().len();
        world.backend.attack(&attack);
        eventually("a new connection", || {
            world.backend.connections().len() > before
        });
        eventually("the end of the old one", || {
            world.backend.connections()[before - 1].closed.is_some()
        });
        let closed = world.backend.connections()[before - 1]
            .closed
            .clone()
            .unwrap();
        assert_eq!(
            (closed.by, closed.code),
            (ClosedBy::Agent, Some(code)),
            "{attack:?}: {closed:?}"
        );
    };
    // The largest message once, so that what is measured is growth and not first use.
    attack(large(), 1009);
    let before = agent.resident_bytes();
    for (kind, code) in [
        (Attack::HugeHeader, 1009),
        (Attack::Fragments { bytes: 1 << 30 }, 1009),
        (Attack::EmptyFragments, 1008),
        (large(), 1009),
        (Attack::Large { bytes: 16 << 20 }, 1009),
        (Attack::Binary, 1003),
        (Attack::InvalidUtf8, 1007),
        (Attack::Masked, 1002),
        (Attack::ReservedBit, 1002),
        (Attack::LongPing, 1002),
        (Attack::LoneContinuation, 1002),
        (Attack::Nesting { depth: 100_000 }, 1008),
        (Attack::BadJson, 1008),
        (Attack::NoObject, 1008),
    ] {
        attack(kind, code);
    }
    let flood = Attack::PingFlood {
        per_second: 10_000,
        // It ends with the connection, and lasts longer where a pause gives the agent a window without pings.
        seconds: 120,
    };
    let began = Instant::now();
    attack(flood, 1008);
    assert!(
        began.elapsed() > Duration::from_secs(9),
        "ten seconds of it are borne"
    );
    world.connected();
    let grown = agent.resident_bytes().saturating_sub(before);
    println!("resident memory grew by {} KiB", grown >> 10);
    assert!(grown < GROWTH, "{grown}");
    // A type that is not known is no attack, and all the rest still works.
    world.backend.attack(&Attack::UnknownType);
    let id = world.cordon(&world.nodes()[0]);
    assert_eq!(world.result(&id)["status"], "succeeded");
    agent.stop();
}

#[test]
fn a_hostile_handshake_is_given_up() {
    let world = World::new(1, 2).hasty();
    let cases: [(Fault, &str); 5] = [
        (FaultKind::LargeHeaders.into(), "over 64 KiB"),
        (FaultKind::EndlessHeaders.into(), "reconnecting"),
        (FaultKind::NotHttp.into(), "reconnecting"),
        (
            FaultKind::Redirect {
                status: 302,
                location: "http://127.0.0.1:1/elsewhere".to_owned(),
            }
            .into(),
            "answered 302",
        ),
        (FaultKind::Garbage.into(), "answered 200"),
    ];
    world
        .backend
        .set_fault(Endpoint::WebSocket, Fault::status(500));
    let mut agent = world.setup.start();
    agent.logged("answered 500");
    let resident = agent.resident_bytes();
    for (fault, logged) in cases {
        let before = agent.log().len();
        world.backend.set_fault(Endpoint::WebSocket, fault.clone());
        eventually(logged, || {
            // The first line after the change may still be of the fault before.
            let log = agent.log();
            let lines = log[before..]
                .lines()
                .filter(|it| it.contains("connection lost"));
            lines.skip(1).any(|it| it.contains(logged))
        });
        assert_eq!(world.backend.connected(), 0, "{fault:?}");
    }
    let began = Instant::now();
    let slow = FaultKind::Slow { interval_ms: 1000 };
    world.backend.set_fault(Endpoint::WebSocket, slow);
    agent.logged("no answer to the upgrade in time");
    assert!(
        began.elapsed() > Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let grown = agent.resident_bytes().saturating_sub(resident);
    println!("resident memory grew by {} KiB", grown >> 10);
    assert!(grown < GROWTH, "{grown}");
    world.backend.clear_faults();
    world.connected();
    agent.stop();
}
