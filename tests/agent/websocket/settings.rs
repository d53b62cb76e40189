//! Signed settings: taken live, each answered as it deserves, and still there after a restart.

use sandbox::backend::{ChannelMode, NewSettings};
use serde_json::{Value, json};

use crate::common::world::World;
use crate::common::{eventually, settles};

impl World {
    fn settings(&self, settings: Value) -> String {
        let new = NewSettings::new(settings);
        self.backend.create_settings(&new).unwrap().id
    }

    /// The `config_status` frames as (version, status, reason).
    fn statuses(&self) -> Vec<(u64, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let frames = self.backend.frames_of("config_status");
        frames
            .iter()
            .map(|it| {
                let body = &it.body;
                let version = body["config_version"].as_u64().unwrap();
                (version, text(&body["status"]), text(&body["reason"]))
            })
            .collect()
    }

    fn has_status(&self, version: u64, status: &str, reason: &str) {
        let expected = (version, status.to_owned(), reason.to_owned());
        settles("the config_status", || {
            let statuses = self.statuses();
            match statuses.iter().filter(|it| **it == expected).count() {
                1 => Ok(()),
                _ => Err(format!("{expected:?} in {statuses:?}")),
            }
        });
    }

    fn has_version(&self, version: u64) {
        eventually("the heartbeat's config_version", || {
            let beat = self.backend.last_heartbeat();
            beat.is_some_and(|it| it.body["config_version"] == version)
        });
    }
}

#[test]
fn each_setting_changes_the_agent_as_it_runs() {
    let world = World::new(3, 6)
        .with("COLLECTION_INTERVAL", "3600")
        .with("ACTION_POLL_INTERVAL", "3600")
        .with("LOG_LEVEL", "info");
    let mut agent = world.start();
    eventually("the first collection", || {
        !world.backend.cycles().is_empty()
    });
    assert!(!agent.log().contains(" - DEBUG - "));
    world.settings(json!({
        "collection_interval": 10, "action_poll_interval": 2, "batch_size": 2, "log_level": "debug",
    }));
    world.has_status(1, "applied", "");
    world.has_version(1);
    agent.logged(" - DEBUG - ");
    let polls = |world: &World| {
        let requests = world.backend.requests();
        requests
            .iter()
            .filter(|it| it.path.ends_with("/actions"))
            .count()
    };
    let before = polls(&world);
    eventually("polls every 2 s", || polls(&world) > before + 2);
    eventually("a collection after 10 s", || {
        world.backend.cycles().len() > 1
    });
    settles("batches of 2", || {
        let batches = world.backend.batches();
        let last = batches.last().unwrap();
        if last.samples <= 2 {
            Ok(())
        } else {
            Err(format!("{}", last.samples))
        }
    });
    // Each version is whole: what it leaves out is local again, dry_run stays.
    world.settings(json!({"dry_run": true}));
    world.has_status(2, "applied", "");
    let node = &world.nodes()[0];
    let id = world.cordon(node);
    let result = world.result(&id);
    assert_eq!(
        (&result["status"], &result["details"]["dry_run"]),
        (&json!("succeeded"), &json!(true))
    );
    world.settings(json!({"log_level": "info"}));
    world.has_status(3, "applied", "");
    let id = world.cordon(node);
    assert_eq!(
        world.result(&id)["details"]["dry_run"],
        true,
        "never off from outside"
    );
    assert!(
        world
            .cluster
            .server
            .audit()
            .writes()
            .iter()
            .all(|it| it.resource != "nodes")
    );
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn what_is_wrong_with_settings_is_said() {
    let world = World::new(1, 2);
    let mut agent = world.start();
    let good = world.settings(json!({"batch_size": 5}));
    world.has_status(1, "applied", "");
    let rejected = |id: &str, reason: &str| {
        settles("the heartbeat's rejected list", || {
            let rejected = world.backend.rejected("test-agent");
            match rejected.get(id) {
                Some((it, _)) if it == reason => Ok(()),
                _ => Err(format!("{id} {reason} in {rejected:?}")),
            }
        });
    };
    for (version, settings) in [
        (2, json!({"batch_size": 1001})),
        (3, json!({"backend_url": "https://elsewhere.example"})),
        (4, json!({"dry_run": false})),
        (5, json!({"collection_interval": 9})),
    ] {
        let id = world.settings(settings);
        world.has_status(version, "rejected", "invalid_params");
        rejected(&id, "invalid_params");
    }
    // An older version under a fresh id, and a repeat of the first envelope.
    let old = world.backend.create_settings(&NewSettings {
        config_version: Some(1),
        ..NewSettings::new(json!({"batch_size": 9}))
    });
    let old = old.unwrap();
    world
        .backend
        .push_frame(&json!({"type": "config", "envelope": old}));
    world.has_status(1, "rejected", "precondition_failed");
    rejected(&old.id, "precondition_failed");
    let first = world.backend.settings()[0].envelope.clone();
    assert_eq!(first.id, good);
    world
        .backend
        .push_frame(&json!({"type": "config", "envelope": first}));
    let answers = |id: &str| {
        let frames = world.backend.frames_of("received");
        let of_id = frames.iter().filter(|it| it.body["id"] == *id);
        of_id
            .map(|it| it.body["outcome"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    // The first answer depends on which channel brought it first.
    eventually(
        "a duplicate",
        || matches!(&answers(&good)[..], [_, repeated] if repeated == "duplicate"),
    );
    // One for another cluster, one past its time, one that nobody signed.
    let elsewhere = world.backend.create_settings(&NewSettings {
        cluster_id: Some("elsewhere".to_owned()),
        config_version: Some(50),
        ..NewSettings::new(json!({"batch_size": 9}))
    });
    let elsewhere = elsewhere.unwrap();
    let mut unsigned = old.clone();
    unsigned.id = "cfg_unsigned".to_owned();
    for (envelope, reason) in [(elsewhere, "wrong_cluster"), (unsigned, "bad_signature")] {
        world
            .backend
            .push_frame(&json!({"type": "config", "envelope": envelope}));
        eventually(reason, || answers(&envelope.id) == ["rejected"]);
        rejected(&envelope.id, reason);
    }
    let expired = world.backend.create_settings(&NewSettings {
        config_version: Some(60),
        timestamp: Some(world_seconds() - 7200),
        ttl_seconds: Some(3600),
        ..NewSettings::new(json!({"batch_size": 9}))
    });
    let expired = expired.unwrap();
    world
        .backend
        .push_frame(&json!({"type": "config", "envelope": expired}));
    world.has_status(60, "rejected", "expired");
    rejected(&expired.id, "expired");
    world.has_version(1);
    agent.stop();
    world.backend.assert_no_violations();
}

fn world_seconds() -> i64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[test]
fn the_newest_version_outlives_a_restart_and_is_not_rolled_back() {
    let world = World::new(2, 4).with("LOG_LEVEL", "info");
    let mut agent = world.start();
    world.settings(json!({"dry_run": true, "log_level": "debug"}));
    world.has_status(1, "applied", "");
    agent.stop();
    // The first run's channel tells of version 1; the second one's heartbeat does, before any settings came.
    world.backend.set_channel_mode(ChannelMode {
        pushes: false,
        ..ChannelMode::default()
    });
    let mut agent = world.start();
    agent.logged(" - DEBUG - ");
    world.has_version(1);
    let id = world.cordon(&world.nodes()[0]);
    assert_eq!(world.result(&id)["details"]["dry_run"], true);
    // Through the polled channel: the same version is not newer.
    let rolled_back = world.backend.create_settings(&NewSettings {
        config_version: Some(1),
        ..NewSettings::new(json!({}))
    });
    let rolled_back = rolled_back.unwrap();
    let offer = world.backend.offer(json!(rolled_back));
    world.has_status(1, "rejected", "precondition_failed");
    world.backend.withdraw(offer);
    let newer = NewSettings {
        config_version: Some(7),
        ..NewSettings::new(json!({"log_level": "info"}))
    };
    world.backend.create_settings(&newer).unwrap();
    world.has_status(7, "applied", "");
    world.has_version(7);
    agent.stop();
    world.backend.assert_no_violations();
}
