//! A STATE_DIR that cannot be used stops actions and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sandbox::backend::{ActionState, Kind};

use crate::common::eventually;
use crate::common::world::World;

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
        let world = World::new(3, 0);
        spoil(&world.setup.folder().join("state"));
        let ids = world.label_nodes(3, 0);
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
    let world = World::new(3, 0);
    let ids = world.label_nodes(3, 0);
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
    let ids = world.label_nodes(3, 1);
    eventually("more results", || {
        ids.iter().all(|id| world.backend.result(id).is_some())
    });
    agent.stop();
    world.assert_none_twice();
    world.backend.assert_no_violations();
}
