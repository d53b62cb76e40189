//! The leader ends in order, is killed, or loses its lease: the other takes over, and nothing happens twice.

use std::time::{Duration, Instant};

use super::{World, leads, quick, readiness, start_leader, start_standby};
use crate::common::eventually;
use crate::common::stalls::Stalls;
use crate::common::wire::Wire;
use sandbox::apiserver::{ApiServer, Effect, Fault};
use sandbox::backend::NewAction;
use serde_json::json;

/// What is promised of a standby, whatever became of the leader.
const PROMISED: Duration = Duration::from_secs(20);

impl World {
    /// An action under way: an eviction that is asked for again and again.
    fn endless_eviction(&self, server: &ApiServer) -> String {
        self.cluster.deploy("web", 1);
        let name = self.cluster.pods()[0]["metadata"]["name"].clone();
        server.set_fault(Fault::status("create", "pods/eviction", 429));
        let params =
            json!({"namespace": self.cluster.namespace(), "name": name, "timeout_seconds": 600});
        let eviction = NewAction::new("evict_pod", params);
        let id = self.backend.create_action(&eviction).unwrap().id;
        eventually("it is under way", || {
            server.audit().count("create", "pods/eviction") > 0
        });
        id
    }
}

#[test]
fn a_leader_that_ends_in_order_hands_over_at_once() {
    let world = World::start();
    let (first, second) = (world.replica("first"), world.replica("second"));
    let mut leader = start_leader(&first);
    let mut standby = start_standby(&second);
    world.acts("v1");
    let stalls = Stalls::watch();
    leader.stop();
    let ended = Instant::now();
    eventually("the other leads", || leads(&standby));
    // A lease that was not given back would hold for 15 s.
    let took = stalls.since(ended);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(world.actor(&world.acts("v2")), "second");
    let lease = world.lease();
    assert_eq!(lease["spec"]["leaseTransitions"], 1, "{lease:#}");
    standby.stop();
    assert_eq!(world.lease()["spec"]["holderIdentity"], "");
    world.backend.assert_no_violations();
}

#[test]
fn a_standby_acts_soon_after_the_leader_was_killed() {
    let world = World::start();
    let (first, second) = (world.replica("first"), world.replica("second"));
    let mut leader = start_leader(&first);
    let mut standby = start_standby(&second);
    let stalls = Stalls::watch();
    leader.signal("KILL");
    leader.wait();
    let killed = Instant::now();
    assert_eq!(world.actor(&world.acts("v1")), "second");
    let took = stalls.since(killed);
    assert!(took < PROMISED, "{took:?}");
    standby.stop();
    world.backend.assert_no_violations();
}

/// Its STATE_DIR is proof that the process before it has ended.
#[test]
fn a_leader_that_restarts_goes_on_at_once() {
    let world = World::start();
    let (first, second) = (world.replica("first"), world.replica("second"));
    let mut leader = start_leader(&first);
    let mut standby = start_standby(&second);
    leader.signal("KILL");
    leader.wait();
    let (stalls, restarted) = (Stalls::watch(), Instant::now());
    let mut leader = start_leader(&first);
    let took = stalls.since(restarted);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(world.actor(&world.acts("v1")), "first");
    assert_eq!(world.lease()["spec"]["leaseTransitions"], 0);
    standby.stop();
    leader.stop();
    world.backend.assert_no_violations();
}

#[test]
fn a_leader_that_is_cut_off_has_stopped_before_the_standby_acts() {
    let world = World::start();
    let Some(server) = world.cluster.simulated() else {
        return;
    };
    let wire = Wire::to(server.addr());
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = wire.kubeconfig(world.cluster.kubeconfig(), folder.path());
    let first = quick(world.replica_at(&kubeconfig, "first"));
    let second = world.quick_replica("second");
    let mut leader = start_leader(&first);
    let mut standby = start_standby(&second);
    assert_eq!(world.actor(&world.acts("v1")), "first");
    wire.cut();
    eventually("the other leads", || leads(&standby));
    assert!(!leads(&leader), "both lead");
    assert!(
        leader
            .log()
            .contains("Lost leadership: the lease could not be renewed in time")
    );
    assert_eq!(world.actor(&world.acts("v2")), "second");
    wire.mend();
    eventually("the first stands by", || {
        let holder = readiness(&leader).map(|it| it["holder"].clone());
        holder.is_some_and(|it| it.as_str().unwrap_or_default().starts_with("second_"))
    });
    // And is good for another term.
    standby.stop();
    eventually("the first leads again", || leads(&leader));
    assert_eq!(world.actor(&world.acts("v3")), "first");
    leader.stop();
    world.backend.assert_no_violations();
}

/// The leader reaches the API server and the backend, and would go on: only its lease keeps it from that.
#[test]
fn who_cannot_renew_the_lease_writes_nothing_more() {
    let world = World::start();
    let Some(server) = world.cluster.simulated() else {
        return;
    };
    let setup = world.quick_replica("first");
    let mut agent = start_leader(&setup);
    let waiting = world.endless_eviction(server);
    let asked = || server.audit().count("create", "pods/eviction");
    server.set_fault(Fault::on("update", "leases", Effect::Hang));
    eventually("it leads no more", || !leads(&agent));
    server.set_fault(Fault::status("update", "leases", 500));
    eventually("what was under way is interrupted", || {
        world.backend.result(&waiting).is_some()
    });
    let result = world.backend.result(&waiting).unwrap();
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("interrupted"), &json!("leadership_lost")),
        "{result:#}"
    );
    agent.logged("Nothing acts here any more");
    let before = asked();
    let id = world.issue("v1");
    let beats = world.backend.heartbeats().len();
    eventually("it goes on telling of itself", || {
        world.backend.heartbeats().len() > beats + 2
    });
    assert!(world.backend.action(&id).unwrap().claimed_by.is_none());
    assert_eq!(asked(), before);

    server.clear_faults();
    eventually("it leads again", || leads(&agent));
    eventually("and acts", || world.backend.result(&id).is_some());
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn what_a_killed_leader_had_begun_it_observes_as_a_standby() {
    let world = World::start();
    let Some(server) = world.cluster.simulated() else {
        return;
    };
    let (first, second) = (world.quick_replica("first"), world.quick_replica("second"));
    let mut killed = start_leader(&first);
    let mut standby = start_standby(&second);
    let begun = world.endless_eviction(server);
    killed.signal("KILL");
    killed.wait();
    eventually("the other leads", || leads(&standby));
    assert_eq!(world.actor(&world.acts("v1")), "second");
    assert!(world.backend.result(&begun).is_none());

    let mut back = start_standby(&first);
    eventually("its result", || world.backend.result(&begun).is_some());
    let result = world.backend.result(&begun).unwrap();
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("interrupted"), &json!("restarted")),
        "{result:#}"
    );
    assert!(!leads(&back));
    back.stop();
    standby.stop();
    world.backend.assert_no_violations();
}
