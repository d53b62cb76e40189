//! Pushed actions begin at once, and whatever comes by both channels is done once.

use std::time::{Duration, Instant};

use sandbox::backend::{ClosedBy, NewAction};
use serde_json::json;

use crate::common::world::World;
use crate::common::{SOON, eventually};

/// From the backend's push to its grant of the claim, the last thing before the first request to the cluster. The
/// quicker quarter counts: a machine that is busy with other things slows most of them down.
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
        "from push to claim: a quarter within {:?}, half within {:?}, all within {:?}",
        took[25], took[50], took[99]
    );
    assert!(took[25] < Duration::from_millis(100), "{took:?}");
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
    let world = World::new(200, 0);
    let mut agent = world.start();
    let came = |channel: &str| {
        let outcome = |outcome: &str| {
            let name = "kubernetes_agent_envelopes_total";
            let metric = format!("{name}{{channel=\"{channel}\",outcome=\"{outcome}\"}}");
            agent.metric(&metric).unwrap_or_default()
        };
        (
            outcome("accepted"),
            outcome("accepted") + outcome("duplicate"),
        )
    };
    let mut done = 0_u32;
    for nodes in world.nodes().chunks(20) {
        // Each is pushed, and stands in every list, whether it is claimed by then or not.
        let offer = |node: &String| {
            let id = world.cordon(node);
            let envelope = world.backend.action(&id).unwrap().envelope;
            let frame = json!({"type": "action", "envelope": envelope});
            world.backend.push_frame(&frame);
            world.backend.offer(json!(envelope))
        };
        let offers: Vec<u64> = nodes.iter().map(offer).collect();
        done += u32::try_from(nodes.len()).unwrap();
        eventually("each by both", || {
            let all = f64::from(done);
            came("pushed").1 >= all && came("polled").1 >= all
        });
        for offer in offers {
            world.backend.withdraw(offer);
        }
    }
    eventually("200 results", || world.backend.results().len() == 200);
    let (pushed, polled) = (came("pushed"), came("polled"));
    println!("(first, all) pushed {pushed:?}, polled {polled:?}");
    assert_eq!(Some(pushed.0 + polled.0), Some(200.0), "each was new once");
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
    assert_eq!(world.writes().len(), 200);
    world.assert_none_twice();
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
