//! What is not carried out, whoever asks for it: what is not proven, what is past its time, what the local policy
//! forbids.

use crate::common::actions::{CLUSTER_ID, World};
use crate::common::{eventually, settles};
use sandbox::backend::{ActionState, NewAction};
use serde_json::{Value, json};

#[test]
fn the_local_policy_stands_above_the_backend() {
    let world = World::with(|it| {
        it.with(
            "ALLOWED_ACTIONS",
            "scale_deployment,set_image,label_resource",
        )
        .with("MIN_REPLICAS", "2")
        .with("MAX_REPLICAS", "4")
        .with("MAX_REPLICAS_CHANGE", "1")
        .with("ALLOWED_REGISTRIES", "registry.invalid/team")
        .with("REQUIRE_IMAGE_DIGEST", "true")
    });
    world.cluster.deploy("web", 2);
    let system = |more: Value| {
        let mut params = json!({"namespace": "kube-system", "name": "coredns"});
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        params
    };
    let web = |replicas: u32| world.params("web", json!({"replicas": replicas}));
    let digest = format!("@sha256:{}", "0".repeat(64));
    let image = |name: &str| {
        let image = json!({"container": "main", "image": name});
        world.params("web", image)
    };
    let kube_system = json!({"kind": "namespace", "name": "kube-system", "labels": {"a": "b"}});
    world.refuses_all(
        "policy_denied",
        vec![
            ("ALLOWED_ACTIONS", "cordon_node", json!({"node": "n"})),
            ("MIN_REPLICAS", "scale_deployment", web(1)),
            ("MAX_REPLICAS", "scale_deployment", web(5)),
            ("MAX_REPLICAS_CHANGE", "scale_deployment", web(4)),
            (
                "ALLOWED_REGISTRIES does not hold registry.invalid/app",
                "set_image",
                image(&format!("registry.invalid/app:2{digest}")),
            ),
            (
                "REQUIRE_IMAGE_DIGEST",
                "set_image",
                image("registry.invalid/team/app:2"),
            ),
            (
                "PROTECTED_NAMESPACES",
                "scale_deployment",
                system(json!({"replicas": 2})),
            ),
            (
                "PROTECTED_NAMESPACES",
                "set_image",
                system(json!({"container": "a", "image": "b"})),
            ),
            (
                "PROTECTED_NAMESPACES",
                "label_resource",
                system(json!({"kind": "pod", "labels": {"a": "b"}})),
            ),
            ("PROTECTED_NAMESPACES", "label_resource", kube_system),
        ],
    );
    // A plan that would be refused is none.
    let planned = world.dry_run("scale_deployment", web(4));
    assert_eq!(planned["reason"], "policy_denied", "{planned:#}");
    assert_eq!(planned["details"]["before"]["replicas"], 2);
    assert_eq!(world.writes(), [""; 0]);
    assert_eq!(
        world
            .agent
            .metric("kubernetes_agent_refusals_total{reason=\"policy_denied\"}"),
        Some(11.0)
    );
    assert_eq!(
        world.agent.metric(
            "kubernetes_agent_actions_total{outcome=\"rejected\",type=\"scale_deployment\"}"
        ),
        Some(5.0)
    );
    // What keeps to all of it is done.
    world.ends("succeeded", "scale_deployment", web(3));
    let pinned = image(&format!("registry.invalid/team/app{digest}"));
    world.ends("succeeded", "set_image", pinned);
    world.end();
}

#[test]
fn only_what_is_proven_fresh_and_ours_is_carried_out() {
    let world = World::start();
    world.cluster.deploy("web", 1);
    let backend = &world.backend;
    let scale = |replicas: u32| {
        NewAction::new(
            "scale_deployment",
            world.params("web", json!({"replicas": replicas})),
        )
    };
    let now = || {
        i64::try_from(
            std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .unwrap()
                .as_secs(),
        )
        .unwrap()
    };

    // Signed by the backend, and altered on the way.
    let payload = |id: &str, cluster: &str, expires_at: i64| {
        json!({
            "type": "action.v1", "id": id, "cluster_id": cluster, "expires_at": expires_at,
            "action": "scale_deployment", "params": world.params("web", json!({"replicas": 9})),
        })
        .to_string()
    };
    let mut tampered = backend.sign(
        "tampered",
        now(),
        payload("tampered", CLUSTER_ID, now() + 100),
    );
    tampered.payload = tampered.payload.replace(":9", ":8");
    let foreign = backend.sign(
        "foreign",
        now(),
        payload("foreign", "other-cluster", now() + 100),
    );
    let early = backend.sign(
        "early",
        now() + 1000,
        payload("early", CLUSTER_ID, now() + 1100),
    );
    let long = backend.sign("long", now(), payload("long", CLUSTER_ID, now() + 100_000));
    let renamed = {
        let mut it = backend.sign(
            "renamed",
            now(),
            payload("renamed", CLUSTER_ID, now() + 100),
        );
        it.id = "another".to_owned();
        it
    };
    let cases = [
        (tampered, "bad_signature"),
        (foreign, "wrong_cluster"),
        (early, "not_yet_valid"),
        (long, "ttl_too_long"),
        (renamed, "bad_signature"),
    ];
    for (envelope, reason) in cases {
        let offer = backend.offer(serde_json::to_value(&envelope).unwrap());
        settles(&format!("{} is refused as {reason}", envelope.id), || {
            let rejected = backend.rejected("test-agent");
            match rejected.get(&envelope.id) {
                Some((got, _)) if got == reason => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        backend.withdraw(offer);
    }
    assert!(world.agent.log().contains("signature"));
    assert!(!world.agent.log().contains("replicas\":8"));

    // Past its time: claimed, and answered.
    backend.set_clock_offset_ms(-60_000);
    let expired = world.issue(NewAction {
        ttl_seconds: Some(30),
        ..scale(9)
    });
    assert_eq!(world.result(&expired.id)["status"], "expired");
    backend.set_clock_offset_ms(0);

    // Carried out once, however often it comes.
    let once = world.issue(scale(2));
    assert_eq!(world.result(&once.id)["status"], "succeeded");
    world.ends("succeeded", "scale_deployment", scale(1).params);
    let replay = backend.offer(serde_json::to_value(&once).unwrap());
    let polls = || {
        world
            .agent
            .metric("kubernetes_agent_backend_requests_total{code=\"200\",endpoint=\"actions\"}")
            .unwrap_or_default()
    };
    let seen = polls();
    eventually("three more polls", || polls() >= seen + 3.0);
    backend.withdraw(replay);
    assert_eq!(world.deployment("web")["spec"]["replicas"], 1);
    assert_eq!(world.writes().len(), 2);
    let action = backend.action(&once.id).unwrap();
    assert_eq!(
        (action.state, action.result_repeats),
        (ActionState::Done, 0)
    );
    world.end();
}

#[test]
fn an_observing_agent_writes_nothing() {
    let world = World::with(|it| it.with("DRY_RUN", "true"));
    world.cluster.deploy("web", 2);
    let scale = world.issue(NewAction::new(
        "scale_deployment",
        world.params("web", json!({"replicas": 3})),
    ));
    assert!(world.result(&scale.id)["details"]["plan"].is_object());
    let image = json!({"container": "main", "image": "registry.invalid/app:2"});
    let labels = json!({"kind": "deployment", "labels": {"a": "b"}});
    for (action, more) in [("set_image", image), ("label_resource", labels)] {
        let result = world.run(action, world.params("web", more));
        assert!(result["details"]["plan"].is_object(), "{result:#}");
    }
    let refused = world.run(
        "scale_deployment",
        world.params("other", json!({"replicas": 3})),
    );
    assert_eq!(refused["reason"], "precondition_failed");
    assert_eq!(world.writes(), [""; 0]);
    assert_eq!(
        world.events(world.cluster.namespace(), &scale.id),
        [Value::Null; 0]
    );
    world.end();
}
