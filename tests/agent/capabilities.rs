//! What is not permitted is switched off, said so everywhere, and comes back by itself; everything else goes on.

use crate::common::actions::World;
use crate::common::agent::{Agent, Setup};
use crate::common::any_cluster::AnyCluster;
use crate::common::{eventually, settles};
use sandbox::backend::{Backend, Endpoint, Fault, Heartbeat, Kind, Options};
use serde_json::{Value, json};

const EVICTION: (&str, &str, &str) = ("create", "", "pods/eviction");
const ALL: [&str; 7] = [
    "evict_pod",
    "cordon_node",
    "uncordon_node",
    "drain_node",
    "scale_deployment",
    "set_image",
    "label_resource",
];

/// Where nobody waits for the minutes between two looks.
fn hasty(setup: Setup) -> Setup {
    setup.with("KUBERNETES_AGENT_TEST_HASTE", "300")
}

/// What the backend was told last.
fn told(backend: &Backend) -> Vec<String> {
    let registrations = backend.registrations();
    let last = registrations
        .last()
        .map(|it| it.body["capabilities"].clone());
    let names = last.and_then(|it| it.as_array().cloned());
    let name = |it: Value| it.as_str().unwrap_or_default().to_owned();
    names.unwrap_or_default().into_iter().map(name).collect()
}

fn without(missing: &[&str]) -> Vec<&'static str> {
    ALL.into_iter().filter(|it| !missing.contains(it)).collect()
}

/// What `/readyz` says is switched off.
fn switched_off(agent: &Agent) -> Value {
    let (_, body) = agent.get("/readyz");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    body["switched_off"].clone()
}

/// An agent of which something is denied. What it meets is there before: the simulation denies it to everybody.
fn start(denied: &[(&str, &str, &str)]) -> World {
    let cluster = AnyCluster::start();
    cluster.deploy("web", 2);
    cluster.deny(denied);
    let backend = Backend::start(Options::default()).unwrap();
    let setup = hasty(Setup::new(cluster.kubeconfig(), &backend));
    let agent = setup.start();
    World {
        cluster,
        backend,
        agent,
        setup,
    }
}

#[test]
fn an_action_without_permission_is_switched_off_and_comes_back() {
    let mut world = start(&[EVICTION]);
    eventually("ready", || world.agent.get("/readyz").0 == 200);
    let lack = "the agent's account may not create pods/eviction";
    assert_eq!(
        switched_off(&world.agent),
        json!({"evict_pod": lack, "drain_node": lack})
    );
    assert_eq!(
        told(&world.backend),
        without(&["evict_pod", "drain_node"]),
        "already when it registered first"
    );
    eventually("the heartbeat says it", || {
        let beat = world.backend.last_heartbeat();
        beat.is_some_and(|it| {
            it.component("permissions", "state") == "degraded"
                && it
                    .component("permissions", "reason")
                    .to_string()
                    .contains(lack)
        })
    });
    let gauge = |name: &str| {
        let name = format!("kubernetes_agent_capability{{capability=\"{name}\"}}");
        world.agent.metric(&name)
    };
    assert_eq!(
        (gauge("evict_pod"), gauge("set_image")),
        (Some(0.0), Some(1.0))
    );
    let log = world.agent.log();
    let lines = log
        .lines()
        .filter(|it| it.contains("Switched off evict_pod"));
    assert_eq!(lines.count(), 1, "{log}");

    // It is said plainly, and nothing is touched; the others work.
    let pod = world.cluster.pods().swap_remove(0);
    let params = json!({
        "namespace": world.cluster.namespace(), "name": pod["metadata"]["name"],
    });
    let writes = world.cluster.writes().len();
    let refused = world.ends("rejected", "evict_pod", params.clone());
    assert_eq!(refused["reason"], "policy_denied");
    assert_eq!(refused["started_at"], Value::Null);
    assert_eq!(
        refused["message"],
        format!("evict_pod is switched off: {lack}")
    );
    settles("only the event is written", || {
        let new = world.cluster.writes().split_off(writes);
        if new.iter().all(|it| it.resource == "events") {
            Ok(())
        } else {
            Err(format!("{new:?}"))
        }
    });
    let node = world.cluster.api().list("/api/v1/nodes").swap_remove(0);
    let node = json!({"node": node["metadata"]["name"]});
    world.ends("succeeded", "cordon_node", node.clone());
    world.ends("succeeded", "uncordon_node", node);

    // Granted, it is there again: at once for an action, and soon for everybody.
    world.cluster.allow_all();
    world.ends("succeeded", "evict_pod", params);
    eventually("registered as what it is", || told(&world.backend) == ALL);
    assert_eq!(switched_off(&world.agent), Value::Null);
    world.agent.logged("Switched on evict_pod again");
    eventually("the heartbeat says it", || {
        let beat = world.backend.last_heartbeat();
        beat.is_some_and(|it| it.component("permissions", "state") == "running")
    });
    assert_eq!(world.backend.registrations().len(), 1);
    world.agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn heartbeats_go_on_while_the_backend_does_not_hear_of_a_change() {
    let mut world = start(&[EVICTION]);
    eventually("ready", || world.agent.get("/readyz").0 == 200);
    let register = Endpoint::Register;
    world.backend.set_fault(register, Fault::status(503));
    world.cluster.allow_all();
    let untold = |it: &Heartbeat| {
        let reason = it.component("heartbeat", "reason").to_string();
        reason.contains("failed to tell the backend what the agent can do")
    };
    eventually("the failure is said", || {
        world.backend.last_heartbeat().is_some_and(|it| untold(&it))
    });
    let beats = world.backend.heartbeats().len();
    eventually("heartbeats go on", || {
        world.backend.heartbeats().len() >= beats + 3
    });
    assert_ne!(told(&world.backend), ALL);
    world.backend.clear_fault(register);
    eventually("it is told", || told(&world.backend) == ALL);
    eventually("and that is over", || {
        (world.backend.last_heartbeat())
            .is_some_and(|it| it.component("heartbeat", "state") == "running")
    });
    world.agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn a_permission_that_is_taken_is_noticed() {
    let mut world = start(&[]);
    eventually("registered", || told(&world.backend) == ALL);
    world.cluster.deny(&[("patch", "", "nodes")]);
    eventually("registered as what it is", || {
        told(&world.backend) == without(&["cordon_node", "uncordon_node", "drain_node"])
    });
    // Other kinds can be labelled still.
    let node = json!({"kind": "node", "name": "node-1", "labels": {"example.org/a": "b"}});
    let refused = world.ends("rejected", "label_resource", node);
    assert!(
        refused["message"]
            .to_string()
            .contains("may not patch nodes")
    );
    let namespace = json!({"kind": "namespace", "name": world.cluster.namespace(), "labels": {"example.org/a": "b"}});
    world.ends("succeeded", "label_resource", namespace);
    world.cluster.allow_all();
    eventually("all again", || told(&world.backend) == ALL);
    world.agent.stop();
}

#[test]
fn without_pods_everything_else_is_observed() {
    observes_the_rest(("list", "", "pods"), "pods", Some(Kind::Pod));
}

#[test]
fn without_nodes_everything_else_is_observed() {
    observes_the_rest(("list", "", "nodes"), "nodes", Some(Kind::Node));
}

#[test]
fn without_events_everything_else_is_observed() {
    observes_the_rest(("watch", "", "events"), "events", None);
}

#[test]
fn without_replica_sets_everything_else_is_observed() {
    observes_the_rest(("list", "apps", "replicasets"), "replicasets", None);
}

#[test]
fn without_usage_everything_else_is_observed() {
    observes_the_rest(("list", "metrics.k8s.io", "nodes"), "metrics", None);
}

/// Without the permission `denied` the capability `off` and with it the samples of `missing` are not there; everything
/// else is, and they are once it is granted.
fn observes_the_rest(denied: (&str, &str, &str), off: &str, missing: Option<Kind>) {
    let mut world = start(&[denied]);
    let both = [Kind::Pod, Kind::Node];
    for kind in both.into_iter().filter(|it| Some(*it) != missing) {
        eventually(&format!("{kind:?} without {off}"), || {
            world.backend.sample_count(kind) > 0
        });
    }
    eventually("ready", || world.agent.get("/readyz").0 == 200);
    assert!(switched_off(&world.agent)[off].is_string(), "{off}");
    if missing == Some(Kind::Pod) {
        assert_eq!(world.backend.sample_count(Kind::Pod), 0);
        for node in world.backend.last_samples(Kind::Node) {
            let said = [node.get("pods"), node.get("requested")];
            assert_eq!(said, [&Value::Null; 2], "none known is not none there");
        }
    }
    let log = world.agent.log();
    let line = format!("Switched off {off}:");
    assert_eq!(
        log.lines().filter(|it| it.contains(&line)).count(),
        1,
        "{log}"
    );
    world.cluster.allow_all();
    eventually(&format!("{off} again"), || {
        switched_off(&world.agent)[off].is_null()
    });
    eventually("pods and nodes", || {
        both.into_iter()
            .all(|it| world.backend.sample_count(it) > 0)
    });
    let restarts = "kubernetes_agent_component_restarts_total{component=\"watch_pods\"}";
    assert_eq!(world.agent.metric(restarts), Some(0.0));
    world.agent.stop();
    world.backend.assert_no_violations();
}

/// Where asking itself is forbidden, as a hardened cluster may have it, refusals tell.
#[test]
fn without_leave_to_ask_refusals_tell() {
    let cluster = AnyCluster::start();
    let Some(server) = cluster.simulated() else {
        return;
    };
    server.deny("create", "selfsubjectaccessreviews");
    server.deny("patch", "nodes");
    let backend = Backend::start(Options::default()).unwrap();
    let setup = hasty(Setup::new(cluster.kubeconfig(), &backend));
    let agent = setup.start();
    eventually("registered with all that is allowed", || {
        told(&backend) == ALL
    });
    let mut world = World {
        cluster,
        backend,
        agent,
        setup,
    };
    let failed = world.ends("failed", "cordon_node", json!({"node": "node-1"}));
    assert_eq!(failed["reason"], "forbidden");
    eventually("registered as what it is", || {
        told(&world.backend) == without(&["cordon_node", "uncordon_node", "drain_node"])
    });
    world.ends("rejected", "cordon_node", json!({"node": "node-1"}));
    world.agent.stop();
}

/// What the registration says and what a real authorizer says are the same.
#[test]
fn nothing_is_missing_where_all_is_granted() {
    let mut world = start(&[]);
    eventually("registered", || told(&world.backend) == ALL);
    assert_eq!(switched_off(&world.agent), Value::Null);
    let (code, text, _) = world.setup.run(&["check"]);
    let bad: Vec<_> = text
        .lines()
        .filter(|it| {
            it.contains("permission") && !it.starts_with("ok") && !it.starts_with("skipped")
        })
        .collect();
    assert!(bad.is_empty(), "{code}: {bad:?}");
    world.agent.stop();
}
