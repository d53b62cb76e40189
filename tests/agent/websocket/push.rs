//! Pushed actions begin at once, and whatever comes by both channels is done once.

use std::time::{Duration, Instant};

use sandbox::backend::{ClosedBy, NewAction};
use serde_json::json;

use crate::common::world::World;
use crate::common::{SOON, eventually};

/// From the backend's push to its grant of the claim, the last thing before the first request to the cluster.
#[test]
fn a_pushed_action_begins_within_100_ms() {
    let world = World::new(2, 4).pushed_only();
    let mut agent = world.start();
    agent.logged("websocket_client - INFO - WebSocket connection established");
    let node = &world.nodes()[0];
    let mut took = Vec::new();
    for n in 0..100 {
        let action = ["cordon_node", "uncordon_node"][n % 2];
        let began = Instant::now();
        let action = NewAction::new(action, json!({"node": node}));
        let id = world.backend.create_action(&action).unwrap().id;
        let claimed = world
            .backend
            .wait_for(SOON, |it| it.action(&id).unwrap().claimed_at.is_some());
        assert!(claimed);
        took.push(began.elapsed());
        assert_eq!(world.result(&id)["status"], "succeeded");
    }
    took.sort();
    println!(
        "from push to claim: median {:?}, most {:?}",
        took[50], took[99]
    );
    assert!(took[50] < Duration::from_millis(100), "{:?}", took[50]);
    eventually("answers and courtesy copies", || {
        world.backend.frames_of("received").len() == 100
            && world.backend.frames_of("result").len() == 100
    });
    assert!(
        agent
            .metric("kubernetes_agent_websocket_connected")
            .unwrap()
            > 0.0
    );
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn what_comes_by_both_channels_is_done_once() {
    let world = World::new(200, 400);
    let mut agent = world.start();
    // The list is asked for while the push is under way: each action stands in it until it is claimed.
    let ids: Vec<String> = world.nodes().iter().map(|it| world.cordon(it)).collect();
    eventually("200 results", || world.backend.results().len() == ids.len());
    for action in world.backend.actions() {
        let result = action.result.as_ref().unwrap();
        assert_eq!(result["status"], "succeeded", "{result}");
        assert_eq!(
            (action.claims_granted, action.claims_refused),
            (1, 0),
            "{}",
            action.id
        );
    }
    let writes = world.cluster.server.audit().writes();
    let patches = writes
        .iter()
        .filter(|it| it.has_written() && it.resource == "nodes");
    assert_eq!(patches.count(), ids.len());
    // However the two raced: what a push brought stands in a list once more, and nothing comes of it.
    let done = world.backend.actions().remove(0);
    let offer = world.backend.offer(json!(done.envelope));
    eventually("a duplicate by the other channel", || {
        let (_, metrics) = agent.get("/metrics");
        metrics.contains(r#"envelopes_total{channel="polled",outcome="duplicate"}"#)
    });
    world.backend.withdraw(offer);
    assert_eq!(world.backend.results().len(), ids.len());
    let (_, metrics) = agent.get("/metrics");
    assert!(metrics.contains(r#"envelopes_total{channel="pushed",outcome="accepted"}"#));
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn health_and_heartbeat_know_the_channel_and_the_stop_closes_it() {
    let world = World::new(1, 2);
    let mut agent = world.start();
    eventually("ws_connected", || {
        world
            .backend
            .last_heartbeat()
            .is_some_and(|it| it.body["ws_connected"] == true)
    });
    let components = world.backend.last_heartbeat().unwrap().body["components"].clone();
    assert_eq!(components["websocket_client"]["state"], "running");
    let events = || world.backend.frames_of("event");
    eventually("ready", || {
        events().iter().any(|it| it.body["name"] == "ready")
    });
    assert!(agent.stop() < Duration::from_secs(5));
    let closed = world.backend.connections()[0].closed.clone().unwrap();
    assert_eq!(
        (closed.by, closed.code),
        (ClosedBy::Agent, Some(1000)),
        "{closed:?}"
    );
    world.backend.assert_no_violations();
}

#[test]
fn a_component_that_fails_is_told_at_once() {
    let world = World::new(1, 2);
    let switch = world.setup.folder().join("panic");
    let world = world.with("KUBERNETES_AGENT_TEST_PANIC", &switch.display().to_string());
    let mut agent = world.start();
    let events = |name: &'static str, component: &'static str| {
        eventually(name, || {
            let events = world.backend.frames_of("event");
            events
                .iter()
                .any(|it| it.body["name"] == name && it.body["component"] == component)
        });
    };
    std::fs::write(&switch, "poller").unwrap();
    events("component_down", "poller");
    events("component_up", "poller");
    // Its own failure too: the frames outlive the thread that sends them.
    std::fs::write(&switch, "websocket_client").unwrap();
    world.backend.push_frame(&json!({"type": "wake"}));
    events("component_down", "websocket_client");
    events("component_up", "websocket_client");
    agent.stop();
    world.backend.assert_no_violations();
}

/// Must show 7; a minute long, so it is run by hand.
#[test]
#[ignore = "takes over a minute"]
fn an_idle_agent_uses_next_to_nothing() {
    let world = World::new(10, 20)
        .with("COLLECTION_INTERVAL", "3600")
        .with("HEARTBEAT_INTERVAL", "30")
        .with("ACTION_POLL_INTERVAL", "10")
        .with("LOG_LEVEL", "info");
    let mut agent = world.start();
    // What follows a start is not idleness.
    std::thread::sleep(Duration::from_secs(5));
    let before = agent.cpu_seconds();
    std::thread::sleep(Duration::from_mins(1));
    let used = agent.cpu_seconds() - before;
    println!("idle for 60 s: {used:.3} CPU seconds");
    assert!(used < 0.05, "{used}");
    agent.stop();
}
