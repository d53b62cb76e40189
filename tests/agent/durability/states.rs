//! `kill -9` at each state of the journal: whoever is asked next hangs, the agent is killed while it waits, and
//! started again with the same STATE_DIR (a container that restarts) or a new one (a pod that is rescheduled).
//!
//! The action is a drain of three pods, one after the other: a cordon and three evictions.

use std::fs;
use std::time::Duration;

use sandbox::apiserver::{Effect, Fault as ApiFault};
use sandbox::backend::{ActionState, Endpoint, Fault, FaultKind, Options};
use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::eventually;
use crate::common::world::World;

const PODS: usize = 3;
const NODE: &str = "n-1";
/// The backend calls what is claimed lost when nobody has asked for it so long.
const LEASE: Duration = Duration::from_secs(4);

/// Who hangs.
#[derive(Clone, Copy)]
enum Held {
    /// The backend at this call; it may have done what it was asked for.
    Backend(Endpoint, bool),
    /// The API server at this verb and resource, after so many of them went well; it may have written.
    Cluster(&'static str, &'static str, u32, bool),
    /// Nobody: all is done.
    Nobody,
}

/// Where the agent is killed, and what must come of it.
struct Case {
    held: Held,
    /// The last lines of the action in the journal.
    journal: &'static [&'static str],
    /// The result with the same STATE_DIR.
    status: &'static str,
    /// The writes up to the kill, and all of them after a start with the same STATE_DIR.
    writes: (usize, usize),
    /// Whether the backend has the claim, and the result, by then.
    known: (bool, bool),
}

const fn case(
    held: Held,
    journal: &'static [&'static str],
    status: &'static str,
    writes: (usize, usize),
    known: (bool, bool),
) -> Case {
    Case {
        held,
        journal,
        status,
        writes,
        known,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum StateDir {
    Same,
    New,
}

impl Held {
    fn begin(self, world: &World) {
        match self {
            Self::Backend(endpoint, after_processing) => world.backend.set_fault(
                endpoint,
                Fault {
                    kind: FaultKind::Hang,
                    times: None,
                    after_processing,
                },
            ),
            Self::Cluster(verb, resource, skip, writes) => {
                let effect = if writes { Effect::Hang } else { Effect::Ignore };
                let fault = ApiFault::on(verb, resource, effect).skip(skip);
                world.cluster.server.set_fault(fault);
            }
            Self::Nobody => (),
        }
    }

    fn is_reached(self, world: &World, id: &str) -> bool {
        match self {
            Self::Backend(endpoint, _) => {
                let requests = world.backend.requests();
                requests.iter().any(|it| it.endpoint == Some(endpoint))
            }
            Self::Cluster(verb, resource, skip, _) => {
                world.cluster.server.audit().count(verb, resource) > u64::from(skip)
            }
            Self::Nobody => {
                world.backend.result(id).is_some()
                    && journal(world, id).ends_with(&["closed".to_owned()])
            }
        }
    }
}

/// What the journal says of an action, line by line.
fn journal(world: &World, id: &str) -> Vec<String> {
    let text = fs::read_to_string(world.state_dir().join("journal")).unwrap();
    let records = text.lines().map(|line| {
        let json = line.splitn(3, ' ').nth(2).unwrap();
        serde_json::from_str::<Value>(json).unwrap()
    });
    let ours = records.filter(|it| it.to_string().contains(id));
    ours.map(|it| it.as_object().unwrap().keys().next().unwrap().clone())
        .collect()
}

/// An agent that has been there for a while: whatever it would do, it has begun.
fn settled(world: &World) -> Agent {
    let before = world.backend.summary().heartbeats;
    let agent = world.start();
    let polls = || {
        let polls = agent
            .metric("kubernetes_agent_backend_requests_total{code=\"204\",endpoint=\"actions\"}");
        polls.unwrap_or_default()
    };
    eventually("polls that bring nothing", || polls() >= 2.0);
    eventually("heartbeats", || {
        world.backend.summary().heartbeats >= before + 2
    });
    agent
}

fn survives(name: &str, case: &Case, state: StateDir) {
    let world = World::of(
        0,
        0,
        Options {
            lease: LEASE,
            ..Options::default()
        },
    );
    world.node_with_pods(NODE, PODS);
    let writes = || {
        world.assert_none_twice();
        world.writes().len()
    };
    case.held.begin(&world);
    let mut agent = world.start();
    let params = json!({"node": NODE, "max_parallel": 1, "force": true});
    let id = world.issue("drain_node", params);
    eventually(&format!("{name} is reached"), || {
        case.held.is_reached(&world, &id)
    });
    agent.kill();
    assert!(
        journal(&world, &id).ends_with(
            &case
                .journal
                .iter()
                .map(|it| (*it).to_owned())
                .collect::<Vec<_>>()
        ),
        "{name}: {:?}",
        journal(&world, &id)
    );
    assert_eq!(writes(), case.writes.0, "{name}: written up to the kill");
    let action = world.backend.action(&id).unwrap();
    assert_eq!(
        (action.claims_granted > 0, action.result.is_some()),
        case.known,
        "{name}: {action:?}"
    );
    world.backend.clear_faults();
    world.cluster.server.clear_faults();

    if state == StateDir::New {
        fs::remove_dir_all(world.state_dir()).unwrap();
        fs::create_dir(world.state_dir()).unwrap();
    }
    let mut agent = settled(&world);
    let (status, all) = match (state, case.known) {
        (StateDir::Same, _) => (Some(case.status), case.writes.1),
        (StateDir::New, (true, true)) => (Some(case.status), case.writes.0),
        // The instance that claimed it is gone, so nobody runs it again; the backend sees that by the lease.
        (StateDir::New, (true, false)) => (None, case.writes.0),
        (StateDir::New, (false, _)) => (Some("succeeded"), 1 + PODS),
    };
    let end = if status.is_some() {
        ActionState::Done
    } else {
        ActionState::Lost
    };
    eventually(&format!("{name}: {end:?}"), || {
        world.backend.action(&id).unwrap().state == end
    });
    let action = world.backend.action(&id).unwrap();
    let result = action.result.unwrap_or_default();
    assert_eq!(result["status"].as_str(), status, "{name}: {result:#}");
    assert_eq!(
        (action.claims_refused, action.results_refused),
        (0, 0),
        "{name}"
    );
    let repeats = u32::from(
        state == StateDir::Same && matches!(case.held, Held::Backend(Endpoint::Result, true)),
    );
    assert_eq!(action.result_repeats, repeats, "{name}");
    let steps = case.journal.iter().filter(|it| **it == "step").count();
    if status == Some("interrupted") && steps > 0 {
        assert_eq!(
            result["details"]["steps"].as_array().map(Vec::len),
            Some(steps),
            "{name}: {result:#}"
        );
    }
    assert_eq!(writes(), all, "{name}: written in all");
    agent.stop();
    world.backend.assert_no_violations();
}

fn each_survives(cases: &[(&str, Case)]) {
    for (name, case) in cases {
        for (state, with) in [
            (StateDir::Same, "the same STATE_DIR"),
            (StateDir::New, "a new one"),
        ] {
            survives(&format!("{name}, {with}"), case, state);
        }
    }
}

#[test]
fn killed_when_received() {
    let claim = |granted| Held::Backend(Endpoint::Claim, granted);
    each_survives(&[
        (
            "not claimed",
            case(
                claim(false),
                &["received"],
                "succeeded",
                (0, 4),
                (false, false),
            ),
        ),
        (
            "claimed, not knowing it",
            case(
                claim(true),
                &["received"],
                "succeeded",
                (0, 4),
                (true, false),
            ),
        ),
    ]);
}

#[test]
fn killed_when_claimed() {
    let read = Held::Cluster("get", "nodes", 0, true);
    each_survives(&[(
        "claimed",
        case(
            read,
            &["received", "claimed"],
            "succeeded",
            (0, 4),
            (true, false),
        ),
    )]);
}

#[test]
fn killed_when_started() {
    let cordon = |written| Held::Cluster("patch", "nodes", 0, written);
    let journal = &["claimed", "started"];
    each_survives(&[
        (
            "nothing written",
            case(cordon(false), journal, "interrupted", (0, 0), (true, false)),
        ),
        (
            "cordoned",
            case(cordon(true), journal, "interrupted", (1, 1), (true, false)),
        ),
    ]);
}

#[test]
fn killed_at_the_first_eviction() {
    let evict = |written| Held::Cluster("create", "pods/eviction", 0, written);
    let journal = &["claimed", "started"];
    each_survives(&[
        (
            "not evicted",
            case(evict(false), journal, "interrupted", (1, 1), (true, false)),
        ),
        (
            "evicted",
            case(evict(true), journal, "interrupted", (2, 2), (true, false)),
        ),
    ]);
}

#[test]
fn killed_after_the_first_step() {
    let evict = |written| Held::Cluster("create", "pods/eviction", 1, written);
    let journal = &["started", "step"];
    each_survives(&[
        (
            "second not evicted",
            case(evict(false), journal, "interrupted", (2, 2), (true, false)),
        ),
        (
            "second evicted",
            case(evict(true), journal, "interrupted", (3, 3), (true, false)),
        ),
    ]);
}

#[test]
fn killed_after_the_second_step() {
    let evict = |written| Held::Cluster("create", "pods/eviction", 2, written);
    let journal = &["started", "step", "step"];
    each_survives(&[
        (
            "third not evicted",
            case(evict(false), journal, "interrupted", (3, 3), (true, false)),
        ),
        // What was wanted holds, whoever sees it.
        (
            "third evicted",
            case(evict(true), journal, "succeeded", (4, 4), (true, false)),
        ),
    ]);
}

#[test]
fn killed_when_done() {
    let result = |stored| Held::Backend(Endpoint::Result, stored);
    let journal = &["started", "step", "step", "step", "done"];
    each_survives(&[
        (
            "not stored",
            case(result(false), journal, "succeeded", (4, 4), (true, false)),
        ),
        (
            "stored, not knowing it",
            case(result(true), journal, "succeeded", (4, 4), (true, true)),
        ),
    ]);
}

#[test]
fn killed_when_reported() {
    each_survives(&[(
        "reported",
        case(
            Held::Nobody,
            &["done", "closed"],
            "succeeded",
            (4, 4),
            (true, true),
        ),
    )]);
}
