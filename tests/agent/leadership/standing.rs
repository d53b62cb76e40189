//! Who leads and who stands by, and what each says of itself.

use super::{World, last, leads, readiness, start_leader, start_standby};
use crate::common::eventually;
use sandbox::backend::Kind;
use serde_json::{Value, json};
use ureq::http::Method;

const OF_A_TERM: [&str; 7] = [
    "collector",
    "poller",
    "websocket_client",
    "actuator",
    "actuator_2",
    "actuator_3",
    "actuator_4",
];

#[test]
fn one_leads_and_the_other_stands_by_ready() {
    let world = World::start();
    let (first, second) = (world.replica("first"), world.replica("second"));
    let mut leader = start_leader(&first);
    let mut standby = start_standby(&second);

    let holder = world.lease()["spec"]["holderIdentity"].clone();
    assert!(holder.as_str().unwrap().starts_with("first_"), "{holder}");
    let body = readiness(&standby).unwrap();
    assert_eq!(
        body,
        json!({"status": "ready", "leader": false, "holder": holder})
    );
    assert_eq!(leader.metric("kubernetes_agent_leader"), Some(1.0));
    assert_eq!(standby.metric("kubernetes_agent_leader"), Some(0.0));
    assert_eq!(standby.get("/healthz").0, 200);
    eventually("both say so in their heartbeats", || {
        let states = |agent, state: &str| {
            last(&world, agent).is_some_and(|beat| {
                let all = OF_A_TERM
                    .iter()
                    .all(|it| beat.component(it, "state") == state);
                all && beat.get("status") == "ok"
            })
        };
        states("first", "running") && states("second", "standby")
    });

    assert_eq!(world.actor(&world.acts("v1")), "first");
    eventually("samples", || world.backend.sample_count(Kind::Node) >= 6);
    let of_second = |it: &sandbox::backend::Batch| it.agent_id == "second";
    assert!(!world.backend.batches().iter().any(of_second));
    standby.stop();
    leader.stop();
    world.backend.assert_no_violations();
}

/// What the election counts on, of the simulated API server and of a real one alike.
#[test]
fn the_api_server_keeps_a_lease_as_the_election_needs_it() {
    let world = World::start();
    let api = world.cluster.api();
    let leases = world.cluster.path("/apis/coordination.k8s.io/v1", "leases");
    let named = |name: &str, holder: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "annotations": {"a/b": "c"}},
            "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 0,
                "acquireTime": "2026-01-02T03:04:05.678901Z", "renewTime": "2026-01-02T03:04:05.678901Z",
            },
        })
    };
    let try_it = |method: &Method, path: &str, body: &Value| {
        let answer = api.try_request(method, path, Some(body));
        answer.expect("an answer")
    };
    let (code, created) = try_it(&Method::POST, &leases, &named("one", "a"));
    assert_eq!((code, &created["spec"]), (201, &named("one", "a")["spec"]));
    assert_eq!(try_it(&Method::POST, &leases, &named("one", "b")).0, 409);

    let version = created["metadata"]["resourceVersion"].as_str().unwrap();
    let watch = format!(
        "{leases}?watch=1&resourceVersion={version}&fieldSelector=metadata.name%3Done&timeoutSeconds=60"
    );
    let mut events = api.watch(&watch);
    api.create(&leases, &named("two", "b"));
    let path = format!("{leases}/one");
    let mut renewed = created.clone();
    renewed["spec"]["renewTime"] = "2026-01-02T03:04:07.000000Z".into();
    let (code, updated) = try_it(&Method::PUT, &path, &renewed);
    assert_eq!((code, &updated["spec"]), (200, &renewed["spec"]));
    // The second writer did not know of the first.
    assert_eq!(try_it(&Method::PUT, &path, &renewed).0, 409);
    let seen = events.next().unwrap();
    assert_eq!(
        (&seen["type"], &seen["object"]["spec"]),
        (&json!("MODIFIED"), &renewed["spec"])
    );

    let mut released = updated;
    released["spec"]["holderIdentity"] = "".into();
    released["spec"]["leaseDurationSeconds"] = 1.into();
    assert_eq!(try_it(&Method::PUT, &path, &released).0, 200);
    assert_eq!(
        events.next().unwrap()["object"]["spec"]["leaseDurationSeconds"],
        1
    );
}

#[test]
fn without_permission_an_agent_says_so_and_runs_alone() {
    let world = World::start();
    let Some(server) = world.cluster.simulated() else {
        return;
    };
    server.deny("", "leases");
    let setup = world.replica("alone");
    let mut agent = start_leader(&setup);
    agent.logged("Leading without an election, since the agent may not use its lease: 403");
    world.acts("v1");
    eventually("the heartbeat says so", || {
        last(&world, "alone").is_some_and(|it| {
            let reason = it
                .component("elector", "reason")
                .as_str()
                .unwrap_or_default()
                .to_owned();
            it.get("status") == "degraded" && reason.contains("without an election")
        })
    });
    assert_eq!(agent.metric("kubernetes_agent_leader"), Some(1.0));
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn switched_off_each_leads_and_none_asks_for_a_lease() {
    let world = World::start();
    let off = |name| world.replica(name).with("LEADER_ELECTION", "false");
    let (first, second) = (off("first"), off("second"));
    let mut agents = [start_leader(&first), start_leader(&second)];
    world.acts("v1");
    if let Some(server) = world.cluster.simulated() {
        let entries = server.audit().entries();
        assert!(!entries.iter().any(|it| it.resource == "leases"));
    }
    for agent in &mut agents {
        assert!(leads(agent));
        agent.stop();
    }
    world.backend.assert_no_violations();
}
