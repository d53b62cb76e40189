//! Replicas are replaced one by one while actions flow.

use std::collections::BTreeMap;
use std::time::Duration;

use super::World;
use crate::common::agent::{Agent, Setup};
use crate::common::stalls::Stalls;
use crate::common::{eventually, settles};
use sandbox::backend::{Kind, NewAction, parse_rfc3339};
use serde_json::json;

const ACTIONS: usize = 50;
/// Of the collections, in seconds.
const INTERVAL: u64 = 5;

impl World {
    fn issue_50(&self) -> Vec<String> {
        let issue = |number: usize| {
            let params = json!({
                "kind": "namespace", "name": self.cluster.namespace(),
                "labels": {format!("example.org/n-{number}"): "done"},
            });
            let action = NewAction::new("label_resource", params);
            self.backend.create_action(&action).unwrap().id
        };
        (0..ACTIONS).map(issue).collect()
    }
}

/// One deployment of `replicas` is replaced by another, and the actions are each carried out once.
fn upgrade(replicas: usize) {
    let stalls = Stalls::watch();
    let world = World::start();
    let setup = |name: String| {
        world
            .replica(&name)
            .with("COLLECTION_INTERVAL", &INTERVAL.to_string())
    };
    let setups = |generation: &str| -> Vec<Setup> {
        (0..replicas)
            .map(|it| setup(format!("{generation}-{it}")))
            .collect()
    };
    let (old, new) = (setups("old"), setups("new"));
    let mut running: Vec<Agent> = old.iter().map(Setup::start).collect();
    eventually("somebody collects", || {
        world.backend.sample_count(Kind::Node) >= 3
    });
    let mut ids = Vec::new();
    // As with maxSurge 1 and maxUnavailable 0: the new one is ready before an old one ends.
    for (old, new) in running.iter_mut().zip(&new).collect::<Vec<_>>() {
        if ids.is_empty() {
            ids = world.issue_50();
            eventually("some are done", || {
                ids.iter().any(|id| world.backend.result(id).is_some())
            });
        }
        let ready = new.start();
        eventually("the new one is ready", || ready.get("/readyz").0 == 200);
        old.stop();
        *old = ready;
    }
    settles("all have their results", || {
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
    for id in &ids {
        let result = world.backend.result(id).unwrap();
        assert_eq!(result["status"], "succeeded", "{result:#}");
    }
    if let Some(server) = world.cluster.simulated() {
        let mut writes = BTreeMap::<String, usize>::new();
        for it in server.audit().writes() {
            if it.resource == "namespaces" && it.verb == "patch" {
                *writes.entry(it.body).or_default() += 1;
            }
        }
        assert_eq!(writes.len(), ACTIONS);
        assert!(writes.values().all(|it| *it == 1), "{writes:?}");
    }
    let cycles = world.backend.cycles().len();
    eventually("collections go on", || {
        world.backend.cycles().len() > cycles + 1
    });
    for agent in &mut running {
        agent.stop();
    }
    world.backend.assert_no_violations();

    let mut began: Vec<_> = world
        .backend
        .cycles()
        .into_iter()
        .filter(|it| it.count(Kind::Node) > 0)
        .filter_map(|it| parse_rfc3339(&it.collected_at))
        .collect();
    began.sort();
    let gaps = began.windows(2).map(|it| stalls.between(it[0], it[1]));
    // They are one interval apart by themselves, so that nothing longer than another is missing.
    let most = Duration::from_secs(2 * INTERVAL);
    assert!(
        gaps.clone().all(|it| it < most),
        "{:?}",
        gaps.collect::<Vec<_>>()
    );
}

#[test]
fn two_replicas_are_replaced_under_way() {
    upgrade(2);
}

#[test]
fn one_replica_is_replaced_under_way() {
    upgrade(1);
}
