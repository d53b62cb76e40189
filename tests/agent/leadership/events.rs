//! Cluster events over a handover.

use std::collections::HashMap;

use super::{World, start_leader, start_standby};
use crate::common::{eventually, settles};
use sandbox::backend::Kind;
use serde_json::json;

impl World {
    fn create_events(&self, numbers: std::ops::Range<usize>) {
        let namespace = self.cluster.namespace();
        for number in numbers {
            let event = json!({
                "apiVersion": "v1", "kind": "Event",
                "metadata": {"name": format!("e-{number}"), "namespace": namespace},
                "type": "Normal", "reason": "Tested", "message": format!("event {number}"),
                "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "p", "uid": "u"},
                "source": {"component": "test"}, "count": 1,
                "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:01Z",
            });
            self.cluster
                .api()
                .create(&self.cluster.path("/api/v1", "events"), &event);
        }
    }

    /// How often each event of the test arrived, by its message.
    fn arrived(&self) -> HashMap<String, usize> {
        let mut arrived = HashMap::new();
        for sample in self.backend.samples_of(Kind::Event) {
            let is_ours = sample.get("namespace") == self.cluster.namespace();
            if is_ours && sample.get("reason") == "Tested" {
                let message = sample.get("message").as_str().unwrap_or_default();
                *arrived.entry(message.to_owned()).or_default() += 1;
            }
        }
        arrived
    }

    fn all_arrive(&self, count: usize) {
        settles("every event arrives", || match self.arrived().len() {
            arrived if arrived == count => Ok(()),
            arrived => Err(format!("{arrived} of {count}")),
        });
    }
}

#[test]
fn a_handover_in_order_loses_and_repeats_none() {
    let world = World::start();
    // The leader holds what it gathers until it ends: the next collection is an hour away.
    let first = world.replica("first").with("COLLECTION_INTERVAL", "3600");
    let second = world.replica("second");
    let mut leader = start_leader(&first);
    eventually("the first collection", || {
        world.backend.sample_count(Kind::Node) >= 3
    });
    let mut standby = start_standby(&second);
    world.create_events(0..100);
    // A replica that begins now sees them all as new, and must learn that they are delivered.
    let third = world.replica("third");
    let mut late = start_standby(&third);
    leader.stop();
    world.create_events(100..150);
    world.all_arrive(150);
    standby.stop();
    world.create_events(150..160);
    world.all_arrive(160);
    late.stop();
    let twice: Vec<_> = world
        .arrived()
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
    world.backend.assert_no_violations();
}

#[test]
fn what_a_killed_leader_had_not_delivered_the_standby_delivers() {
    let world = World::start();
    let first = world
        .quick_replica("first")
        .with("COLLECTION_INTERVAL", "3600");
    let second = world.quick_replica("second");
    let mut leader = start_leader(&first);
    eventually("the first collection", || {
        world.backend.sample_count(Kind::Node) >= 3
    });
    let mut standby = start_standby(&second);
    world.create_events(0..50);
    leader.signal("KILL");
    leader.wait();
    world.all_arrive(50);
    standby.stop();
    world.backend.assert_no_violations();
}
