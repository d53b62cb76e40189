//! Evictions and an API server that fails, on the simulated cluster alone: its pods are gone as soon as they are
//! evicted, and no controller changes anything.

use std::time::{Duration, Instant};

use crate::common::agent::{Agent, Setup};
use crate::common::drain::SHORT;
use sandbox::apiserver::{ApiServer, Effect, Fault, Options};
use sandbox::backend::{self, Backend, NewAction};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A simulated API server, a backend, and how an agent between them is started.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) backend: Backend,
    pub(crate) setup: Setup,
    _folder: TempDir,
}

impl World {
    /// A server of this version with one node and so many pods on it.
    fn of(version: &str, pods: usize) -> Self {
        let server = ApiServer::start(Options {
            version: version.to_owned(),
            delete_pods_at_once: true,
            ..Options::default()
        });
        let server = server.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = server.kubeconfig(folder.path()).unwrap();
        server.create(
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n-1"}, "spec": {}}),
        );
        for number in 0..pods {
            server.create(pod(&format!("web-{number}")));
        }
        let backend = Backend::start(backend::Options::default()).unwrap();
        let setup = Setup::new(&kubeconfig, &backend);
        Self {
            server,
            backend,
            setup,
            _folder: folder,
        }
    }

    pub(crate) fn new(pods: usize) -> Self {
        Self::of("v1.20.2", pods)
    }

    pub(crate) fn drain(&self, params: &[(&str, Value)]) -> Value {
        let mut all = json!({"node": "n-1", "timeout_seconds": 20});
        for (name, value) in params {
            all[name] = value.clone();
        }
        self.act("drain_node", all)
    }

    pub(crate) fn act(&self, action: &str, params: Value) -> Value {
        let new = NewAction {
            cluster_id: Some("test-cluster".to_owned()),
            ..NewAction::new(action, params)
        };
        let id = self.backend.create_action(&new).unwrap().id;
        let came = self
            .backend
            .wait_for(Duration::from_mins(1), |it| it.result(&id).is_some());
        assert!(came, "no result");
        self.backend.result(&id).unwrap()
    }

    pub(crate) fn evictions(&self) -> usize {
        let entries = self.server.audit().entries();
        entries
            .iter()
            .filter(|it| it.resource == "pods/eviction")
            .count()
    }

    pub(crate) fn finish(&self, mut agent: Agent) {
        agent.stop();
        self.backend.assert_no_violations();
    }
}

pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "default", "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}],
        },
        "spec": {"nodeName": "n-1", "containers": [{"name": "main", "image": "app:1"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

pub(crate) fn count(result: &Value, outcome: &str) -> u64 {
    result["details"]["counts"][outcome].as_u64().unwrap_or(0)
}

#[test]
fn servers_of_all_ages_take_the_evictions() {
    for version in ["v1.20.2", "v1.21.9", "v1.22.0", "v1.25.3", "v1.33.1"] {
        let world = World::of(version, 3);
        let agent = world.setup.start();
        let result = world.drain(&[]);
        assert_eq!(result["status"], "succeeded", "{version}: {result:#}");
        assert_eq!(count(&result, "evicted"), 3);
        assert_eq!(
            world.evictions(),
            3,
            "{version}: no version was tried in vain"
        );
        world.finish(agent);
    }
}

#[test]
fn throttling_is_waited_for_as_it_is_asked_and_blames_no_budget() {
    let world = World::new(3);
    let effect = Effect::Text {
        code: 429,
        retry_after: Some("1".to_owned()),
        text: "Too many requests, please try again later.".to_owned(),
    };
    world
        .server
        .set_fault(Fault::on("create", "pods/eviction", effect).times(2));
    let agent = world.setup.start();
    let began = Instant::now();
    let result = world.drain(&[]);
    assert_eq!(result["status"], "succeeded", "{result:#}");
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(world.evictions(), 5);
    assert_eq!(
        agent.metric("kubernetes_agent_evictions_blocked_total"),
        Some(0.0)
    );
    let throttled = agent.metric("kubernetes_agent_evictions_total{outcome=\"throttled\"}");
    assert_eq!(throttled, Some(2.0));
    world.finish(agent);
}

#[test]
fn a_pod_that_is_answered_429_for_ever_holds_up_no_other() {
    let webhook =
        "admission webhook \"evict.example\" denied the request: the machine in it is migrated";
    for effect in [
        Effect::Text {
            code: 429,
            retry_after: None,
            text: "Too many requests, please try again later.".to_owned(),
        },
        Effect::Json {
            code: 429,
            body: json!({"kind": "Status", "code": 429, "message": webhook}),
        },
    ] {
        let world = World::new(4);
        // The first in the order of the list.
        let fault = Fault::on("create", "pods/eviction", effect.clone()).named("web-0");
        world.server.set_fault(fault);
        let agent = world.setup.start();
        let result = world.drain(&[("timeout_seconds", json!(8))]);
        assert_eq!(
            (&result["status"], &result["reason"]),
            (&json!("partial"), &json!("timed_out")),
            "{effect:?}: {result:#}"
        );
        assert_eq!(
            (count(&result, "evicted"), count(&result, "timed_out")),
            (3, 1),
            "{effect:?}: {result:#}"
        );
        world.finish(agent);
    }
}

#[test]
fn an_eviction_that_was_not_sent_is_no_eviction() {
    let world = World::new(1);
    let budget = json!({
        "apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default", "generation": 1},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 2},
    });
    world.server.create(budget);
    let agent = world.setup.start();
    let result = std::thread::scope(|scope| {
        let params = json!({"namespace": "default", "name": "web-0", "timeout_seconds": 60});
        let evict = scope.spawn(|| world.act("evict_pod", params));
        let entries = || world.server.audit().entries();
        crate::common::eventually("the budgets are watched", || {
            entries()
                .iter()
                .any(|it| it.resource == "poddisruptionbudgets" && it.verb == "watch")
        });
        // It is asked for by the clock while nobody listens, and goes by itself.
        world.server.stop();
        agent.logged("The eviction of pod default/web-0: failed to connect");
        world.server.delete("pods", "default", "web-0");
        world.server.restart().unwrap();
        evict.join().unwrap()
    });
    assert_eq!(result["status"], "noop", "{result:#}");
    assert_eq!(result["details"]["outcome"], "already_gone", "{result:#}");
    world.finish(agent);
}

#[test]
fn a_cordon_that_was_undone_while_the_drain_looked_around_is_set_anew() {
    let world = World::new(2);
    let cordon = |on: Value| {
        let spec = json!({"spec": {"unschedulable": on}});
        world.server.patch("nodes", "", "n-1", &spec);
    };
    cordon(json!(true));
    let slow = Fault::on("list", "poddisruptionbudgets", Effect::Delay(6000));
    world.server.set_fault(slow.times(1));
    let agent = world.setup.start();
    let result = std::thread::scope(|scope| {
        let drain = scope.spawn(|| world.drain(&[]));
        // Whether it exists, and which one it is; then comes what is slow.
        crate::common::eventually("the node was read", || {
            let entries = world.server.audit().entries();
            let reads = entries
                .iter()
                .filter(|it| it.resource == "nodes" && it.verb == "get");
            reads.count() == 2
        });
        cordon(Value::Null);
        drain.join().unwrap()
    });
    assert_eq!(result["status"], "succeeded", "{result:#}");
    assert_eq!(result["details"]["cordoned_by_this"], true, "{result:#}");
    let entries = world.server.audit().entries();
    let position = |resource: &str, verb: &str| {
        let mut entries = entries.iter();
        entries.position(|it| it.resource == resource && it.verb == verb)
    };
    let cordoned = position("nodes", "patch").expect("a cordon");
    assert!(cordoned < position("pods/eviction", "create").unwrap());
    world.finish(agent);
}

#[test]
fn without_its_watch_the_node_is_read_before_it_is_emptied_further() {
    let world = World::new(2);
    let held = json!({"metadata": {"finalizers": ["kubernetes-agent.test/hold"]}});
    world.server.patch("pods", "default", "web-0", &held);
    let agent = world.setup.start();
    // From here on it is the drain's watch alone that lists nodes.
    agent.logged("Listed 1 nodes");
    world.server.set_fault(Fault::status("list", "nodes", 503));
    let result = std::thread::scope(|scope| {
        let drain = scope.spawn(|| world.drain(&[("max_parallel", json!(1))]));
        crate::common::eventually("the first is ending", || {
            let pod = world.server.get("pods", "default", "web-0").unwrap();
            !pod["metadata"]["deletionTimestamp"].is_null()
        });
        let spec = json!({"spec": {"unschedulable": null}});
        world.server.patch("nodes", "", "n-1", &spec);
        // A read is good for 5 s.
        std::thread::sleep(Duration::from_secs(5));
        let free = json!({"metadata": {"finalizers": null}});
        world.server.patch("pods", "default", "web-0", &free);
        world.server.delete("pods", "default", "web-0");
        drain.join().unwrap()
    });
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("partial"), &json!("precondition_failed")),
        "{result:#}"
    );
    assert!(
        result["message"].to_string().contains("uncordoned"),
        "{result:#}"
    );
    assert_eq!(world.evictions(), 1);
    world.finish(agent);
}

#[test]
fn a_server_that_fails_for_a_while_is_asked_again() {
    for effect in [
        Effect::Status {
            code: 503,
            retry_after: None,
        },
        Effect::Status {
            code: 500,
            retry_after: None,
        },
        Effect::Garbage,
    ] {
        let world = World::new(3);
        world
            .server
            .set_fault(Fault::on("create", "pods/eviction", effect.clone()).times(3));
        let agent = world.setup.start();
        let result = world.drain(&[]);
        assert_eq!(result["status"], "succeeded", "{effect:?}: {result:#}");
        assert_eq!(count(&result, "evicted"), 3);
        world.finish(agent);
    }
}

#[test]
fn an_answer_that_is_lost_is_no_second_eviction() {
    let world = World::new(3);
    world
        .server
        .set_fault(Fault::on("create", "pods/eviction", Effect::Cut(10)));
    let agent = world.setup.start();
    let result = world.drain(&[]);
    assert_eq!(result["status"], "succeeded", "{result:#}");
    assert_eq!(count(&result, "evicted"), 3);
    assert_eq!(world.evictions(), 3);
    world.finish(agent);
}

#[test]
fn what_fails_for_good_is_said_at_once() {
    let world = World::new(2);
    // Permitted as far as anybody can ask, so that the drain begins; what is not permitted switches it off before.
    let forbidden = Effect::Status {
        code: 403,
        retry_after: None,
    };
    world
        .server
        .set_fault(Fault::on("create", "pods/eviction", forbidden));
    let agent = world.setup.start();
    let began = Instant::now();
    let result = world.drain(&[("on_failure", json!("restore"))]);
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("failed"), &json!("forbidden")),
        "{result:#}"
    );
    assert_eq!(count(&result, "forbidden"), 2);
    assert_eq!(result["details"]["restored"], true);
    assert!(began.elapsed() < Duration::from_secs(15));
    world.finish(agent);
}

#[test]
fn budgets_that_cannot_be_read_are_known_by_the_servers_answers() {
    let world = World::new(2);
    world.server.deny("list", "poddisruptionbudgets");
    world.server.create(json!({
        "apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default", "generation": 1},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2},
    }));
    let agent = world.setup.start();
    let result = world.drain(&[("timeout_seconds", json!(SHORT))]);
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("partial"), &json!("timed_out")),
        "{result:#}"
    );
    assert_eq!(
        (count(&result, "evicted"), count(&result, "blocked")),
        (1, 1)
    );
    assert_eq!(
        result["details"]["pods"][0]["budget"]["budgets"],
        json!(["web"])
    );
    world.finish(agent);
}

#[test]
fn no_more_evictions_a_minute_than_are_allowed() {
    let mut world = World::new(4);
    world.setup = world.setup.with("MAX_EVICTIONS_PER_MINUTE", "3");
    let agent = world.setup.start();
    let began = Instant::now();
    let result = world.drain(&[]);
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("partial"), &json!("timed_out")),
        "{result:#}"
    );
    assert_eq!(
        (count(&result, "evicted"), count(&result, "not_tried")),
        (3, 1)
    );
    assert!(
        result["message"]
            .as_str()
            .unwrap()
            .contains("MAX_EVICTIONS_PER_MINUTE"),
        "{result}"
    );
    // It is not waited for in vain.
    assert!(began.elapsed() < Duration::from_secs(15));
    world.finish(agent);
}

#[test]
fn a_server_that_restarts_in_the_middle_is_found_again() {
    let world = World::new(2);
    let held = json!({"metadata": {"finalizers": ["kubernetes-agent.test/hold"]}});
    world.server.patch("pods", "default", "web-1", &held);
    let agent = world.setup.start();
    let result = std::thread::scope(|scope| {
        let drain = scope.spawn(|| world.drain(&[]));
        crate::common::eventually("one pod is gone", || {
            world.server.get("pods", "default", "web-0").is_none()
        });
        crate::common::eventually("the other is ending", || {
            let pod = world.server.get("pods", "default", "web-1").unwrap();
            !pod["metadata"]["deletionTimestamp"].is_null()
        });
        world.server.stop();
        world.server.patch(
            "pods",
            "default",
            "web-1",
            &json!({"metadata": {"finalizers": null}}),
        );
        world.server.compact();
        world.server.restart().unwrap();
        let gone = ureq::delete(format!(
            "{}/api/v1/namespaces/default/pods/web-1?gracePeriodSeconds=0",
            world.server.url()
        ))
        .header(
            "authorization",
            format!("Bearer {}", world.server.token().unwrap()),
        )
        .call();
        assert!(gone.is_ok(), "{gone:?}");
        drain.join().unwrap()
    });
    assert_eq!(result["status"], "succeeded", "{result:#}");
    assert_eq!(count(&result, "evicted"), 2);
    world.finish(agent);
}

#[test]
fn the_agents_own_pod_goes_last_and_the_result_arrives() {
    let mut world = World::new(3);
    let own = json!({"spec": {"volumes": [{"name": "state", "emptyDir": {}}]}});
    world.server.patch("pods", "default", "web-0", &own);
    world.setup = world
        .setup
        .with("POD_NAMESPACE", "default")
        .with("POD_NAME", "web-0");
    let agent = world.setup.start();
    let result = world.drain(&[]);
    assert_eq!(result["status"], "succeeded", "{result:#}");
    let entries = world.server.audit().entries();
    let evicted: Vec<_> = (entries.iter())
        .filter(|it| it.resource == "pods/eviction")
        .map(|it| it.name.clone())
        .collect();
    assert_eq!(
        evicted.last().map(String::as_str),
        Some("web-0"),
        "{evicted:?}"
    );
    assert_eq!(evicted.len(), 3);
    world.finish(agent);
}
