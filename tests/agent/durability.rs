//! At most once, and no result lost: over kills at any moment, a lost STATE_DIR, one that cannot be used, and more
//! actions than fit.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::Duration;

use crate::common::agent::{Agent, Setup};
use crate::common::cluster::Cluster;
use crate::common::{eventually, settles};
use sandbox::backend::{ActionState, Backend, Kind, NewAction, Options};
use serde_json::json;

/// Actions at once; each on a node of its own, so that its writes can be counted.
const ACTIONS: usize = 20;

struct World {
    cluster: Cluster,
    backend: Backend,
    setup: Setup,
}

impl World {
    fn new(nodes: usize) -> Self {
        let cluster = Cluster::with(nodes, 0);
        let options = Options {
            cluster_id: Some("test-cluster".to_owned()),
            ..Options::default()
        };
        let backend = Backend::start(options).unwrap();
        let setup = Setup::new(cluster.kubeconfig(), &backend);
        Self {
            cluster,
            backend,
            setup,
        }
    }

    /// One action for each of the first nodes, told from those of other rounds by the label's value.
    fn issue(&self, count: usize, round: usize) -> Vec<String> {
        let label = |node: usize| {
            let params = json!({
                "kind": "node", "name": format!("node-{}", node + 1), "labels": {"example.org/round": format!("r{round}")},
            });
            let action = NewAction::new("label_resource", params);
            self.backend.create_action(&action).unwrap().id
        };
        (0..count).map(label).collect()
    }

    /// How often each node was written with each value.
    fn writes(&self) -> BTreeMap<(String, String), usize> {
        let mut writes = BTreeMap::new();
        for entry in self.cluster.server.audit().entries() {
            if entry.has_written() && entry.resource == "nodes" {
                *writes.entry((entry.name, entry.body)).or_default() += 1;
            }
        }
        writes
    }

    fn assert_none_twice(&self) {
        let twice: Vec<_> = self
            .writes()
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    fn kill(agent: &mut Agent) {
        agent.signal("KILL");
        agent.wait();
    }
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// KUBERNETES_AGENT_TEST_KILLS asks for more of them than an ordinary run takes.
fn kills() -> usize {
    let asked = std::env::var("KUBERNETES_AGENT_TEST_KILLS");
    asked.ok().and_then(|it| it.parse().ok()).unwrap_or(10)
}

#[test]
fn a_killed_agent_repeats_nothing_and_loses_no_result() {
    let world = World::new(ACTIONS);
    let mut dice = Dice(7);
    for round in 0..kills() {
        let ids = world.issue(ACTIONS, round);
        let mut agent = world.setup.start();
        eventually("some are under way", || {
            let claimed = |id: &String| world.backend.action(id).unwrap().claimed_at.is_some();
            ids.iter().any(claimed)
        });
        // The moment itself is what the test is about, so this once it is a pause.
        sleep(Duration::from_millis(dice.below(120)));
        World::kill(&mut agent);
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
        World::kill(&mut agent);
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
    let world = World::new(ACTIONS);
    let mut dice = Dice(11);
    for round in 0..kills() / 2 {
        let ids = world.issue(ACTIONS, round);
        let mut agent = world.setup.start();
        eventually("some are under way", || {
            let claimed = |id: &String| world.backend.action(id).unwrap().claimed_at.is_some();
            ids.iter().any(claimed)
        });
        sleep(Duration::from_millis(dice.below(120)));
        World::kill(&mut agent);
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
        World::kill(&mut agent);
        world.assert_none_twice();
    }
    world.backend.assert_no_violations();
}

#[test]
fn a_state_folder_that_cannot_be_used_stops_actions_and_nothing_else() {
    type Spoil = fn(&std::path::Path);
    let cases: [(&str, Spoil); 2] = [
        // Nobody, not even root, makes a file in a file.
        ("no folder", |state| {
            fs::remove_dir_all(state).unwrap();
            fs::write(state, "a file").unwrap();
        }),
        ("a journal that is a folder", |state| {
            fs::create_dir_all(state.join("journal/of")).unwrap();
        }),
    ];
    for (name, spoil) in cases {
        let world = World::new(3);
        spoil(&world.setup.folder().join("state"));
        let ids = world.issue(3, 0);
        let mut agent = world.setup.start();
        eventually(&format!("{name}: samples"), || {
            world.backend.sample_count(Kind::Node) >= 6
        });
        eventually(&format!("{name}: heartbeats"), || {
            world.backend.heartbeats().len() >= 3
        });
        let (code, body) = agent.get("/readyz");
        assert_eq!(code, 503, "{name}: {body}");
        assert!(body.contains("state_dir"), "{name}: {body}");
        assert_eq!(agent.get("/healthz").0, 200, "{name}");
        for id in &ids {
            let action = world.backend.action(id).unwrap();
            assert_eq!(
                (action.state, action.claims_granted),
                (ActionState::Pending, 0),
                "{name}"
            );
        }
        assert!(world.writes().is_empty(), "{name}");
        assert!(!agent.log().contains("panicked"), "{name}");
        agent.stop();
    }
}

#[test]
fn a_damaged_journal_is_kept_aside_and_the_agent_goes_on() {
    let world = World::new(3);
    let ids = world.issue(3, 0);
    let mut agent = world.setup.start();
    eventually("results", || {
        ids.iter().all(|id| world.backend.result(id).is_some())
    });
    agent.stop();
    let journal = world.setup.folder().join("state/journal");
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&journal, bytes).unwrap();
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o600)).unwrap();
    let mut agent = world.setup.start();
    let ids = world.issue(3, 1);
    eventually("more results", || {
        ids.iter().all(|id| world.backend.result(id).is_some())
    });
    agent.stop();
    world.assert_none_twice();
    world.backend.assert_no_violations();
}

#[test]
fn a_thousand_actions_are_done_four_at_a_time() {
    let world = World::new(250);
    let mut ids = Vec::new();
    for round in 0..4 {
        ids.extend(world.issue(250, round));
    }
    let mut agent = world.setup.start();
    let mut most = 0;
    let memory = || {
        agent
            .metric("kubernetes_agent_process_resident_memory_bytes")
            .unwrap_or_default()
    };
    let mut early = 0.0;
    settles("a thousand results", || {
        let actions = world.backend.actions();
        let heart = world.backend.last_heartbeat();
        let busy = heart.and_then(|it| it.get("in_progress").as_array().map(Vec::len));
        most = most.max(busy.unwrap_or_default());
        let open = actions.iter().filter(|it| it.result.is_none()).count();
        if early == 0.0 && open < 900 {
            early = memory();
        }
        match open {
            0 => Ok(()),
            open => Err(format!("{open} are open")),
        }
    });
    println!(
        "at most {most} in progress; {early} bytes after a hundred, {} after a thousand",
        memory()
    );
    // Four at work, the queue of 64, and what waits for the backend to take its result.
    assert!(most <= 64 + 4 + 64, "{most}");
    for action in world.backend.actions() {
        assert_eq!(action.result.as_ref().unwrap()["status"], "succeeded");
        assert_eq!(action.claims_granted, 1);
    }
    assert_eq!(world.writes().len(), 1000);
    world.assert_none_twice();
    agent.stop();
    world.backend.assert_no_violations();
}
