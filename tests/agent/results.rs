//! Results: none is lost and none holds up another, whatever the backend answers, and whenever the agent stops.

use crate::common::eventually;
use crate::common::world::World;
use sandbox::backend::{Endpoint, Fault};

/// How often a result was sent and what was answered.
fn answers(world: &World) -> Vec<u16> {
    let requests = world.backend.requests().into_iter();
    let results = requests.filter(|it| it.endpoint == Some(Endpoint::Result));
    results.map(|it| it.status).collect()
}

#[test]
fn a_result_that_the_backend_refuses_holds_up_no_other() {
    let world = World::new(3, 0);
    let refused = Fault::status(422).times(1);
    world.backend.set_fault(Endpoint::Result, refused);
    let mut agent = world.start();
    let ids = world.label_nodes(3, 0);
    let open = || {
        let open = ids.iter().filter(|it| world.backend.result(it).is_none());
        open.count()
    };
    eventually("the others are delivered", || open() == 1);
    eventually("the heartbeat says what is wrong", || {
        world.backend.last_heartbeat().is_some_and(|it| {
            let reason = it.component("reporter", "reason").to_string();
            it.body["outbox_depth"] == 1 && reason.contains("422")
        })
    });
    // It waits for ten minutes, or for the stop.
    agent.stop();
    assert_eq!(open(), 0, "{:?}", answers(&world));
    world.assert_none_twice();
    world.backend.assert_no_violations();
}

#[test]
fn a_stop_does_not_wait_for_what_a_busy_backend_asked_for() {
    let world = World::new(1, 0);
    let busy = Fault::retry_after(503, "3600").times(1);
    world.backend.set_fault(Endpoint::Result, busy);
    let mut agent = world.start();
    let id = world.cordon("node-1");
    eventually("it was told to wait", || answers(&world) == [503]);
    eventually("it waits", || {
        world
            .backend
            .last_heartbeat()
            .is_some_and(|it| it.component("reporter", "state") == "degraded")
    });
    assert!(world.backend.result(&id).is_none());
    agent.stop();
    let result = world.backend.result(&id).expect("delivered at the stop");
    assert_eq!(result["status"], "succeeded", "{result:#}");
    world.backend.assert_no_violations();
}

#[test]
fn what_the_stop_could_not_deliver_the_next_start_does() {
    let world = World::new(3, 0);
    world
        .backend
        .set_fault(Endpoint::Result, Fault::status(500));
    let mut agent = world.start();
    let ids = world.label_nodes(3, 0);
    eventually("each was tried", || answers(&world).len() >= 3);
    agent.stop();
    assert!(ids.iter().all(|it| world.backend.result(it).is_none()));
    world.backend.clear_faults();
    let mut agent = world.start();
    for id in &ids {
        assert_eq!(world.result(id)["status"], "succeeded");
    }
    agent.stop();
    world.assert_none_twice();
    world.backend.assert_no_violations();
}
