//! A disk that is full, or read-only, when the agent starts or while it runs: no action begins, everything else goes
//! on, and once it can be written again actions do too.
//!
//! Needs the right to mount; skipped elsewhere, and never by `.ci/run`.

use std::fs;

use sandbox::apiserver::Fault as ApiFault;
use sandbox::backend::{ActionState, Endpoint, Fault, Kind, NewAction};
use serde_json::json;

use crate::common::agent::Agent;
use crate::common::disk::{self, Disk};
use crate::common::eventually;
use crate::common::world::World;

/// No action is begun, and the agent says why; nothing else is missing.
fn only_actions_stop(world: &World, agent: &Agent, why: &str) {
    eventually(&format!("/readyz says {why}"), || {
        let (code, body) = agent.get("/readyz");
        code == 503 && body.contains("state_dir") && body.contains(why)
    });
    let before = (
        world.backend.sample_count(Kind::Node),
        world.backend.summary().heartbeats,
    );
    eventually("samples", || {
        world.backend.sample_count(Kind::Node) >= before.0 + 3
    });
    eventually("heartbeats", || {
        world.backend.summary().heartbeats >= before.1 + 2
    });
    eventually("a heartbeat that says so", || {
        world
            .backend
            .last_heartbeat()
            .is_some_and(|it| it.body["status"] == "degraded")
    });
    assert_eq!(agent.get("/healthz").0, 200);
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

/// None of these was claimed, and nothing was written.
fn are_pending(world: &World, ids: &[String]) {
    for id in ids {
        let action = world.backend.action(id).unwrap();
        assert_eq!(
            (action.state, action.claims_granted),
            (ActionState::Pending, 0)
        );
    }
    assert!(world.writes().is_empty());
}

fn all_succeed(world: &World, ids: &[String]) {
    for id in ids {
        assert_eq!(world.result(id)["status"], "succeeded");
    }
    world.assert_none_twice();
}

fn is_ready(agent: &Agent) {
    eventually("ready", || agent.get("/readyz").0 == 200);
}

#[test]
fn full_from_the_start() {
    let Some((world, disk)) = World::new(3, 0).with_disk() else {
        return;
    };
    disk.fill();
    let ids = world.label_nodes(3, 0);
    let mut agent = world.start();
    only_actions_stop(&world, &agent, "No space left on device");
    assert_eq!(agent.metric("kubernetes_agent_journal_writable"), Some(0.0));
    are_pending(&world, &ids);
    disk.free();
    is_ready(&agent);
    all_succeed(&world, &ids);
    assert_eq!(agent.metric("kubernetes_agent_journal_writable"), Some(1.0));
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn read_only_with_a_journal() {
    let Some((world, disk)) = World::new(3, 0).with_disk() else {
        return;
    };
    let mut agent = world.start();
    all_succeed(&world, &world.label_nodes(3, 0));
    agent.stop();
    let before = world.writes().len();
    disk.set_read_only(true);
    let ids = world.label_nodes(3, 1);
    let mut agent = world.start();
    only_actions_stop(&world, &agent, "Read-only file system");
    assert_eq!(world.writes().len(), before);
    disk.set_read_only(false);
    is_ready(&agent);
    all_succeed(&world, &ids);
    agent.stop();
    world.backend.assert_no_violations();
}

/// Without a journal that can be read nothing is known of what was done: a writable disk takes a new start, which
/// the agent asks for by its end.
fn unusable_until_writable(world: &World, disk: &Disk) {
    let before = world.writes().len();
    let ids = world.label_nodes(3, 1);
    let mut agent = world.start();
    only_actions_stop(world, &agent, "Read-only file system");
    assert_eq!(world.writes().len(), before);
    disk.set_read_only(false);
    let (status, _) = agent.wait();
    assert_eq!(status.code(), Some(70));
    assert!(
        agent
            .log()
            .contains("must start again: STATE_DIR can be used now")
    );
    let mut agent = world.start();
    is_ready(&agent);
    all_succeed(world, &ids);
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn read_only_without_a_journal() {
    let Some((world, disk)) = World::new(3, 0).with_disk() else {
        return;
    };
    disk.set_read_only(true);
    unusable_until_writable(&world, &disk);
}

#[test]
fn read_only_with_a_damaged_journal() {
    let Some((world, disk)) = World::new(3, 0).with_disk() else {
        return;
    };
    let mut agent = world.start();
    all_succeed(&world, &world.label_nodes(3, 0));
    agent.stop();
    let journal = disk.file("journal");
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&journal, bytes).unwrap();
    disk.set_read_only(true);
    unusable_until_writable(&world, &disk);
    let names = fs::read_dir(disk.file("")).unwrap();
    let mut names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
    assert!(names.any(|it| it.starts_with("journal.corrupt-")));
}

/// The last record of an action that still fits before the disk is full.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Received,
    Claimed,
}

impl Last {
    /// The action comes no further: what it asks next fails, and is asked again.
    fn hold(self, world: &World) {
        match self {
            Self::Received => {
                let fault = Fault::status(503).after_processing();
                world.backend.set_fault(Endpoint::Claim, fault);
            }
            Self::Claimed => {
                let fault = ApiFault::status("get", "nodes", 503);
                world.cluster.server.set_fault(fault);
            }
        }
    }

    fn let_go(self, world: &World) {
        match self {
            Self::Received => world.backend.clear_faults(),
            Self::Claimed => world.cluster.server.clear_faults(),
        }
    }
}

/// A label for a node, in an envelope of a length that can be chosen.
fn label(world: &World, node: &str, length: u64) -> String {
    let labels = json!({"example.org/a": "b"});
    let params = json!({"kind": "node", "name": node, "labels": labels});
    let action = NewAction {
        reason: Some("x".repeat(usize::try_from(length).unwrap())),
        ..NewAction::new("label_resource", params)
    };
    world.backend.create_action(&action).unwrap().id
}

const PAGE: u64 = disk::PAGE as u64;
/// Less than any record takes.
const SLACK: u64 = 20;

/// The disk gets full between two records of an action that is claimed: it ends, and is not begun.
fn full_after(last: Last) {
    let Some((world, disk)) = World::new(3, 0).with_disk() else {
        return;
    };
    let length = || fs::metadata(disk.file("journal")).map_or(0, |it| it.len());
    let grows = |from: u64| {
        eventually("a longer journal", || length() > from);
        length()
    };
    let mut agent = world.start();

    // How much the records of such an action take.
    let chosen = 2000;
    let begun = length();
    Last::Received.hold(&world);
    let id = label(&world, "node-1", chosen);
    let received = grows(begun);
    Last::Claimed.hold(&world);
    Last::Received.let_go(&world);
    let claimed = grows(received);
    Last::Claimed.let_go(&world);
    assert_eq!(world.result(&id)["status"], "succeeded");
    eventually("the end of it", || {
        let journal = fs::read_to_string(disk.file("journal")).unwrap();
        journal.contains("{\"closed\"")
    });

    // The next one's come so close to the end of a page that no other fits, and the disk has no page more.
    let records = match last {
        Last::Received => received - begun,
        Last::Claimed => claimed - begun,
    };
    let end = (length() + records - chosen) % PAGE;
    last.hold(&world);
    let id = label(&world, "node-2", (2 * PAGE - SLACK - end) % PAGE);
    eventually("the last record that fits", || {
        length() % PAGE >= PAGE - 2 * SLACK
    });
    disk.fill();
    last.let_go(&world);
    let result = world.result(&id);
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("failed"), &json!("journal_unavailable")),
        "{result:#}"
    );
    assert_eq!(world.writes().len(), 1, "the first one's");

    let ids = world.label_nodes(3, 1);
    only_actions_stop(&world, &agent, "No space left on device");
    for id in &ids {
        assert_eq!(world.backend.action(id).unwrap().claims_granted, 0);
    }
    assert_eq!(world.writes().len(), 1);
    disk.free();
    is_ready(&agent);
    all_succeed(&world, &ids);
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn full_after_an_action_is_received() {
    full_after(Last::Received);
}

#[test]
fn full_after_an_action_is_claimed() {
    full_after(Last::Claimed);
}
