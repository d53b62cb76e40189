//! A replica whose STATE_DIR cannot be used: it can collect and not act.

use std::fs;

use super::{World, last, leads};
use crate::common::agent::{Agent, Setup};
use crate::common::eventually;
use sandbox::backend::Kind;

/// An agent whose state folder is a file.
fn start_unfit(setup: &Setup) -> Agent {
    let state = setup.folder().join("state");
    fs::remove_dir_all(&state).unwrap();
    fs::write(&state, "a file").unwrap();
    setup.start()
}

fn says(world: &World, agent: &str, text: &str) {
    eventually(&format!("{agent} says {text}"), || {
        last(world, agent).is_some_and(|it| {
            let reason = it.component("elector", "reason").to_string();
            it.get("status") == "degraded" && reason.contains(text)
        })
    });
}

fn holder(world: &World) -> String {
    let lease = world.lease();
    lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
}

#[test]
fn it_leaves_the_lease_to_a_fit_one_and_goes_on_where_there_is_none() {
    let world = World::start();
    let (first, second) = (world.quick_replica("first"), world.quick_replica("second"));
    let mut unfit = start_unfit(&first);
    unfit.logged("Standing by: nobody leads, and the lease is left to another: ");
    // Nobody else comes, so it collects at least.
    says(&world, "first", "no other agent leads");
    eventually("samples", || world.backend.sample_count(Kind::Node) > 0);
    assert!(holder(&world).starts_with("first_"));
    let id = world.issue("v1");

    let mut fit = second.start();
    eventually("the fit one leads", || leads(&fit));
    eventually("and acts", || world.backend.result(&id).is_some());
    assert_eq!(world.actor(&id), "second");
    assert!(holder(&world).starts_with("second_"));
    unfit.logged("Lost leadership: another agent has taken the lease");
    assert_eq!(unfit.get("/healthz").0, 200);
    fit.stop();
    unfit.stop();
    world.backend.assert_no_violations();
}
