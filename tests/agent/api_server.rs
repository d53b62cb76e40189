//! What the API server does to its answers and connections costs a pause at most, is said, and passes.

use sandbox::apiserver::{Effect, Fault as ApiFault};
use sandbox::backend::Kind;
use serde_json::Value;

use crate::common::eventually;
use crate::common::world::World;

/// A component as the last heartbeat tells of it.
fn component(world: &World, name: &str) -> Value {
    let heartbeat = world.backend.last_heartbeat();
    heartbeat.map_or(Value::Null, |it| it.body["components"][name].clone())
}

fn is_running(world: &World, name: &str) -> bool {
    component(world, name)["state"] == "running"
}

#[test]
fn a_server_whose_watches_are_always_too_old_is_not_listed_in_a_loop() {
    let world = World::new(1, 3);
    let server = &world.cluster.server;
    server.set_fault(ApiFault::status("watch", "pods", 410));
    let mut agent = world.start();
    eventually("it is said", || {
        let reason = component(&world, "watch_pods")["reason"].clone();
        reason.as_str().is_some_and(|it| it.contains("too old"))
    });
    // A loop would have listed many times between two looks at it; the pauses grow.
    let (lists, watches) = (
        server.audit().count("list", "pods"),
        server.audit().count("watch", "pods"),
    );
    assert!(
        lists < 20 && watches < 20,
        "{lists} lists, {watches} watches"
    );
    server.clear_faults();
    eventually("running again", || is_running(&world, "watch_pods"));
    eventually("samples", || world.backend.sample_count(Kind::Pod) >= 3);
    agent.stop();
}

#[test]
fn a_read_whose_connection_breaks_is_asked_again_at_once() {
    let world = World::new(1, 3);
    for resource in ["pods.metrics.k8s.io", "nodes.metrics.k8s.io"] {
        let broken = ApiFault::on("list", resource, Effect::Garbage).times(1);
        world.cluster.server.set_fault(broken);
    }
    let mut agent = world.start();
    eventually("two cycles", || world.backend.sample_count(Kind::Pod) >= 6);
    assert!(!agent.log().contains("No usage in this collection"));
    agent.stop();
}
