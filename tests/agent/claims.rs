//! Claims: what may pass is tried again, nothing is done without one, and what was begun is observed.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::common::eventually;
use crate::common::world::World;
use sandbox::apiserver::{Effect, Fault as ApiFault};
use sandbox::backend::{Endpoint, Fault, FaultKind, NewAction};
use serde_json::json;

#[test]
fn an_answer_that_is_none_ends_no_order_and_is_no_claim() {
    let world = World::new(6, 0);
    let redirect = FaultKind::Redirect {
        status: 302,
        location: "http://127.0.0.1:1/".to_owned(),
    };
    let faults = [
        Fault::status(400),
        Fault::status(413),
        Fault::from(redirect),
        Fault::from(FaultKind::Garbage),
        Fault::from(FaultKind::WrongShape),
        Fault::status(500),
    ];
    let faults = faults.map(|it| it.times(1));
    world.backend.set_faults(Endpoint::Claim, faults);
    let mut agent = world.start();
    let ids = world.label_nodes(6, 0);
    for id in &ids {
        assert_eq!(world.result(id)["status"], "succeeded");
        assert_eq!(world.backend.action(id).unwrap().claims_granted, 1);
    }
    let met = world.backend.requests();
    let met = met.iter().filter(|it| it.endpoint == Some(Endpoint::Claim));
    assert_eq!(met.filter(|it| it.faulted).count(), 6);
    agent.stop();
    world.assert_none_twice();
    world.backend.assert_no_violations();
}

#[test]
fn a_claim_that_the_backend_refuses_for_good_ends_the_order() {
    let world = World::new(3, 0);
    let faults = [404, 409, 410].map(|it| Fault::status(it).times(1));
    world.backend.set_faults(Endpoint::Claim, faults);
    let mut agent = world.start();
    world.label_nodes(3, 0);
    eventually("each is refused", || {
        agent.log().matches("is not ours to execute").count() == 3
    });
    agent.stop();
    assert!(world.writes().is_empty());
    world.backend.assert_no_violations();
}

#[test]
fn what_was_begun_is_observed_though_its_time_is_over() {
    let world = World::new(1, 0);
    let hang = ApiFault::on("patch", "nodes", Effect::Hang);
    world.cluster.server.set_fault(hang);
    let mut agent = world.start();
    let new = NewAction {
        ttl_seconds: Some(15),
        ..NewAction::new("cordon_node", json!({"node": "node-1"}))
    };
    let id = world.backend.create_action(&new).unwrap().id;
    eventually("the write", || {
        world.cluster.server.audit().count("patch", "nodes") > 0
    });
    agent.kill();
    world.cluster.server.clear_faults();
    let expires_at = world.backend.action(&id).unwrap().expires_at;
    eventually("its time is over", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(now.as_secs()).unwrap() > expires_at
    });
    let mut agent = world.start();
    let result = world.result(&id);
    assert_eq!(result["status"], "succeeded", "{result:#}");
    agent.stop();
    world.assert_none_twice();
    world.backend.assert_no_violations();
}
