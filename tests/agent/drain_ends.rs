//! How a drain ends: that nothing was missed, and in which state its node is left. On the simulated cluster alone,
//! which fails on demand.

use sandbox::apiserver::{Effect, Fault};
use serde_json::{Value, json};

use crate::common::drain::SHORT;
use crate::common::eventually;
use crate::drain_faults::{World, count, pod};

/// No eviction is decided upon, for as long as it is asked for.
fn throttle(world: &World) {
    let effect = Effect::Text {
        code: 429,
        retry_after: Some("1".to_owned()),
        text: "Too many requests, please try again later.".to_owned(),
    };
    world
        .server
        .set_fault(Fault::on("create", "pods/eviction", effect));
}

fn is_cordoned(world: &World) -> bool {
    world.server.get("nodes", "", "n-1").unwrap()["spec"]["unschedulable"] == true
}

fn assert_ended(result: &Value, status: &str, reason: &str) {
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!(status), &json!(reason)),
        "{result:#}"
    );
}

fn says(text: &Value, part: &str) -> bool {
    text.as_str().is_some_and(|it| it.contains(part))
}

#[test]
fn a_node_is_restored_in_a_time_of_its_own() {
    let world = World::new(1);
    throttle(&world);
    // The cordon goes well; what takes it back fails at first, when the drain's time is over, and more often than a
    // single write is tried.
    let fails = Fault::status("patch", "nodes", 503).skip(1).times(4);
    world.server.set_fault(fails);
    let agent = world.setup.start();
    let result = world.drain(&[("timeout_seconds", json!(SHORT))]);
    assert_ended(&result, "failed", "timed_out");
    assert_eq!(result["details"]["restored"], true, "{result:#}");
    assert_eq!(result["details"]["restore_failed"], Value::Null);
    assert_eq!(result["details"]["after"]["unschedulable"], false);
    assert!(!is_cordoned(&world));
    world.finish(agent);
}

#[test]
fn a_node_that_cannot_be_restored_is_said_to_be_cordoned_and_why() {
    let world = World::new(1);
    throttle(&world);
    world
        .server
        .set_fault(Fault::status("patch", "nodes", 403).skip(1));
    let agent = world.setup.start();
    let result = world.drain(&[("timeout_seconds", json!(SHORT))]);
    assert_ended(&result, "failed", "timed_out");
    assert_eq!(result["details"]["restored"], false, "{result:#}");
    assert!(
        says(&result["details"]["restore_failed"], "403"),
        "{result:#}"
    );
    assert_eq!(result["details"]["after"]["unschedulable"], true);
    assert!(says(&result["message"], "left cordoned"), "{result:#}");
    assert!(
        says(&result["message"], "could not be restored"),
        "{result:#}"
    );
    assert!(is_cordoned(&world));
    world.finish(agent);
}

#[test]
fn a_node_that_cannot_even_be_read_is_in_an_unknown_state() {
    let world = World::new(1);
    throttle(&world);
    let agent = world.setup.start();
    // Twice to begin with, once to see the cordon.
    world
        .server
        .set_fault(Fault::status("get", "nodes", 403).skip(3));
    let result = world.drain(&[("timeout_seconds", json!(SHORT))]);
    assert_ended(&result, "failed", "timed_out");
    assert_eq!(result["details"]["after"], Value::Null, "{result:#}");
    assert!(says(&result["message"], "unknown state"), "{result:#}");
    assert!(says(&result["details"]["restore_failed"], "403"));
    world.finish(agent);
}

#[test]
fn a_cordon_that_was_set_and_not_seen_is_undone() {
    let world = World::new(1);
    let agent = world.setup.start();
    world
        .server
        .set_fault(Fault::status("get", "nodes", 403).skip(2).times(1));
    let result = world.drain(&[]);
    assert_ended(&result, "failed", "forbidden");
    assert_eq!(result["details"]["restored"], true, "{result:#}");
    assert_eq!(world.evictions(), 0);
    assert!(!is_cordoned(&world));
    world.finish(agent);
}

#[test]
fn a_pod_that_the_watch_tells_too_late_is_not_missed() {
    let world = World::new(0);
    let agent = world.setup.start();
    // The drain stands still behind its cordon until the pod is there, which its watch then tells much later.
    world
        .server
        .set_fault(Fault::status("get", "nodes", 503).skip(2));
    world
        .server
        .set_fault(Fault::on("watch", "pods", Effect::Delay(8000)));
    let result = std::thread::scope(|scope| {
        let drain = scope.spawn(|| world.drain(&[("timeout_seconds", json!(60))]));
        eventually("the node is cordoned", || is_cordoned(&world));
        world.server.create(pod("late"));
        world.server.clear_faults();
        world
            .server
            .set_fault(Fault::on("watch", "pods", Effect::Delay(8000)));
        drain.join().unwrap()
    });
    assert_eq!(result["status"], "succeeded", "{result:#}");
    assert_eq!(count(&result, "evicted"), 1, "{result:#}");
    assert!(world.server.get("pods", "default", "late").is_none());
    world.finish(agent);
}

#[test]
fn a_last_list_that_fails_is_asked_for_again_and_its_lack_is_said() {
    let world = World::new(1);
    let agent = world.setup.start();
    eventually("the agent has read the pods", || {
        let entries = world.server.audit().entries();
        entries
            .iter()
            .any(|it| it.verb == "watch" && it.resource == "pods")
    });
    // The drain's first list goes well, and the last one not at first.
    let fails = Fault::status("list", "pods", 503).skip(1);
    world.server.set_fault(fails.clone().times(2));
    let result = world.drain(&[]);
    assert_eq!(result["status"], "succeeded", "{result:#}");

    world.server.patch(
        "nodes",
        "",
        "n-1",
        &json!({"spec": {"unschedulable": null}}),
    );
    world.server.create(pod("web-1"));
    world.server.set_fault(fails);
    let result = world.drain(&[("timeout_seconds", json!(SHORT))]);
    assert_ended(&result, "partial", "timed_out");
    assert!(says(&result["message"], "503"), "{result:#}");
    world.finish(agent);
}

#[test]
fn the_agents_own_pod_keeps_its_time_to_end() {
    let mut world = World::new(2);
    world.setup = world
        .setup
        .with("POD_NAMESPACE", "default")
        .with("POD_NAME", "web-0");
    let agent = world.setup.start();
    let result = world.drain(&[("grace_period_seconds", json!(0))]);
    assert_eq!(result["status"], "succeeded", "{result:#}");
    let entries = world.server.audit().entries();
    let grace = |name: &str| {
        let sent = (entries.iter()).find(|it| it.resource == "pods/eviction" && it.name == name);
        let body: Value = serde_json::from_str(&sent.unwrap().body).unwrap();
        body["deleteOptions"]["gracePeriodSeconds"].clone()
    };
    assert_eq!((grace("web-1"), grace("web-0")), (json!(0), Value::Null));
    world.finish(agent);
}

#[test]
fn a_token_that_is_rotated_in_the_middle_ends_no_action() {
    let world = World::new(2);
    let agent = world.setup.start();
    for (verb, resource) in [
        ("get", "nodes"),
        ("patch", "nodes"),
        ("create", "pods/eviction"),
    ] {
        // Each is sent twice, the second time with the token read anew.
        let fault = Fault::status(verb, resource, 401).times(2);
        world.server.set_fault(fault);
    }
    let result = world.drain(&[("timeout_seconds", json!(60))]);
    assert_eq!(result["status"], "succeeded", "{result:#}");
    assert_eq!(count(&result, "evicted"), 2);
    world.finish(agent);
}

#[test]
fn a_500_that_passes_is_no_verdict_on_the_budgets() {
    let world = World::new(1);
    let overlap = Effect::Json {
        code: 500,
        body: json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500,
            "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}),
    };
    let fails = |effect| Fault::on("create", "pods/eviction", effect).times(2);
    world.server.set_fault(fails(overlap));
    let internal = Effect::Status {
        code: 500,
        retry_after: None,
    };
    world.server.set_fault(fails(internal));
    let agent = world.setup.start();
    let result = world.drain(&[]);
    assert_eq!(result["status"], "succeeded", "{result:#}");
    assert_eq!(count(&result, "evicted"), 1);
    assert_eq!(world.evictions(), 5);
    world.finish(agent);
}
