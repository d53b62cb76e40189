//! `kill -9` at any moment while actions run, and after it the same STATE_DIR or a new one.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use sandbox::backend::ActionState;

use crate::common::dice::Dice;
use crate::common::world::World;
use crate::common::{eventually, settles};

/// Actions at once; each on a node of its own, so that its writes can be counted.
const ACTIONS: usize = 20;

/// KUBERNETES_AGENT_TEST_KILLS asks for more of them than an ordinary run takes.
fn kills() -> usize {
    let asked = std::env::var("KUBERNETES_AGENT_TEST_KILLS");
    asked.ok().and_then(|it| it.parse().ok()).unwrap_or(10)
}

#[test]
fn a_killed_agent_repeats_nothing_and_loses_no_result() {
    let world = World::new(ACTIONS, 0);
    let mut dice = Dice(7);
    for round in 0..kills() {
        let ids = world.label_nodes(ACTIONS, round);
        let mut agent = world.setup.start();
        eventually("some are under way", || {
            let claimed = |id: &String| world.backend.action(id).unwrap().claimed_at.is_some();
            ids.iter().any(claimed)
        });
        // The moment itself is what the test is about, so this once it is a pause.
        sleep(Duration::from_millis(dice.below(120)));
        agent.kill();
        let mut agent = world.setup.start();
        settles(&format!("the results of round {round}"), || {
            let open = ids
                .iter()
                .filter(|id| world.backend.result(id).is_none())
                .count();
            if open == 0 {
                Ok(())
            } else {
                Err(format!("{open} have none"))
            }
        });
        agent.kill();
        for id in &ids {
            let action = world.backend.action(id).unwrap();
            let status = action.result.as_ref().unwrap()["status"].as_str().unwrap();
            assert!(
                matches!(status, "succeeded" | "interrupted"),
                "{id} {status}"
            );
            assert_eq!(
                (action.claims_refused, action.results_refused),
                (0, 0),
                "{id}"
            );
        }
        world.assert_none_twice();
    }
    world.backend.assert_no_violations();
}

#[test]
fn a_new_state_folder_is_a_new_instance_that_runs_nothing_again() {
    let world = World::new(ACTIONS, 0);
    let mut dice = Dice(11);
    for round in 0..kills() / 2 {
        let ids = world.label_nodes(ACTIONS, round);
        let mut agent = world.setup.start();
        eventually("some are under way", || {
            let claimed = |id: &String| world.backend.action(id).unwrap().claimed_at.is_some();
            ids.iter().any(claimed)
        });
        sleep(Duration::from_millis(dice.below(120)));
        agent.kill();
        // As a pod that was rescheduled has it.
        let state = world.setup.folder().join("state");
        fs::remove_dir_all(&state).unwrap();
        fs::create_dir(&state).unwrap();
        let mut agent = world.setup.start();
        eventually("what nobody had claimed is done", || {
            let actions = ids.iter().map(|id| world.backend.action(id).unwrap());
            let mut open = actions.filter(|it| it.result.is_none());
            // The others belong to an instance that is gone: lost when their leases run out, and never run again.
            let instance = world.backend.registrations().pop().map(|it| it.instance_id);
            open.all(|it| {
                it.state != ActionState::Pending && it.claimed_by.map(|it| it.1) != instance
            })
        });
        agent.kill();
        world.assert_none_twice();
    }
    world.backend.assert_no_violations();
}
