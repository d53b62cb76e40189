use serde_json::{Value, json};

use super::*;
use crate::actions::members::Text as _;

fn action(kind: ActionKind, params: Value) -> Action {
    let Value::Object(params) = params else {
        panic!("an object")
    };
    Action::parse(kind, params).expect("legal params")
}

/// One action of each kind in, or about, a namespace.
fn actions_in(namespace: &str) -> [Action; 8] {
    let label = |kind: &str| json!({"kind": kind, "name": "x", "labels": {"a": "b"}});
    let mut label_pod = label("pod");
    label_pod["namespace"] = namespace.into();
    let mut label_namespace = label("namespace");
    label_namespace["name"] = namespace.into();
    [
        action(
            ActionKind::EvictPod,
            json!({"namespace": namespace, "name": "x"}),
        ),
        scale(namespace, 3),
        action(
            ActionKind::SetImage,
            json!({"namespace": namespace, "name": "x", "container": "x", "image": "x"}),
        ),
        action(ActionKind::LabelResource, label_pod),
        action(ActionKind::LabelResource, label_namespace),
        action(ActionKind::CordonNode, json!({"node": "x"})),
        action(ActionKind::UncordonNode, json!({"node": "x"})),
        action(ActionKind::DrainNode, json!({"node": "x"})),
    ]
}

fn scale(namespace: &str, replicas: u32) -> Action {
    let params = json!(
        {"namespace": namespace, "name": "x", "replicas": replicas, "allow_zero": true}
    );
    action(ActionKind::ScaleDeployment, params)
}

#[test]
fn by_default_everything_runs_outside_kube_system() {
    for action in actions_in("shop") {
        assert_eq!(
            Policy::default().decide(&action, false),
            Decision::Run,
            "{action:?}"
        );
    }
}

#[test]
fn only_allowed_actions_run() {
    for allowed in ActionKind::ALL {
        let policy = Policy {
            allowed_actions: [allowed].into(),
            ..Policy::default()
        };
        for action in actions_in("shop") {
            let kind = action.kind();
            let expected = if kind == allowed {
                Decision::Run
            } else {
                Decision::Deny(Denial::ActionNotAllowed(kind))
            };
            assert_eq!(policy.decide(&action, false), expected);
        }
    }
}

#[test]
fn protected_namespaces_hold_for_all_but_nodes() {
    let in_system = actions_in("kube-system");
    let (of_namespaces, of_nodes) = in_system.split_at(5);
    for action in of_namespaces {
        let denial = Denial::ProtectedNamespace("kube-system".into());
        assert_eq!(
            Policy::default().decide(action, false),
            Decision::Deny(denial),
            "{action:?}"
        );
    }
    for action in of_nodes {
        assert_eq!(
            Policy::default().decide(action, false),
            Decision::Run,
            "{action:?}"
        );
    }
    // What is configured replaces the default.
    let policy = Policy {
        protected_namespaces: ["shop".into()].into(),
        ..Policy::default()
    };
    assert_eq!(policy.decide(&of_namespaces[0], false), Decision::Run);
    assert!(matches!(
        policy.decide(&actions_in("shop")[0], false),
        Decision::Deny(_)
    ));
}

#[test]
fn a_name_like_a_protected_namespace_is_not_one() {
    let pod = json!({"namespace": "shop", "name": "kube-system"});
    let node = json!({"kind": "node", "name": "kube-system", "labels": {"a": "b"}});
    for action in [
        action(ActionKind::EvictPod, pod),
        action(ActionKind::LabelResource, node),
    ] {
        assert_eq!(Policy::default().decide(&action, false), Decision::Run);
    }
}

#[test]
fn replicas_stay_within_their_bounds() {
    let policy = Policy {
        min_replicas: 2,
        max_replicas: 5,
        ..Policy::default()
    };
    let cases = [
        (0, Some(Denial::TooFewReplicas { asked: 0, min: 2 })),
        (1, Some(Denial::TooFewReplicas { asked: 1, min: 2 })),
        (2, None),
        (5, None),
        (6, Some(Denial::TooManyReplicas { asked: 6, max: 5 })),
    ];
    for (replicas, denial) in cases {
        let expected = denial.map_or(Decision::Run, Decision::Deny);
        assert_eq!(
            policy.decide(&scale("shop", replicas), false),
            expected,
            "{replicas}"
        );
    }
}

#[test]
fn replicas_go_so_far_at_once_up_and_down() {
    let policy = Policy {
        max_replicas_change: NonZeroU32::new(3),
        ..Policy::default()
    };
    for (now, asked, is_allowed) in [
        (2, 5, true),
        (2, 6, false),
        (5, 2, true),
        (5, 1, false),
        (4, 4, true),
        (0, 3, true),
        (0, 4, false),
        (0, u32::MAX, false),
    ] {
        let verdict = policy.check_way(now, asked);
        assert_eq!(verdict.is_ok(), is_allowed, "{now} to {asked}: {verdict:?}");
        assert_eq!(Policy::default().check_way(now, asked), Ok(()));
    }
    let text = policy.check_way(2, 6).map_err(|it| it.to_string());
    let expected = "from 2 to 6 replicas is further than MAX_REPLICAS_CHANGE 3 at once";
    assert_eq!(text, Err(expected.to_owned()));
}

#[test]
fn images_come_from_where_they_may_and_pinned_where_they_must_be() {
    let set = |image: &str| {
        let params = json!({"namespace": "shop", "name": "x", "container": "x", "image": image});
        action(ActionKind::SetImage, params)
    };
    let digest = format!("@sha256:{}", "0123456789abcdef".repeat(4));
    let pinned = |image: &str| format!("{image}{digest}");
    let registries = ["registry.example:5000", "ghcr.io/team", "docker.io/library"];
    let registries: BTreeSet<_> = registries
        .map(|it| Registry::parse(it).expect("a registry"))
        .into();
    let policy = |allowed_registries: Option<&BTreeSet<_>>, require_image_digest| Policy {
        allowed_registries: allowed_registries.cloned(),
        require_image_digest,
        ..Policy::default()
    };
    let decide = |policy: &Policy, image: &str| match policy.decide(&set(image), false) {
        Decision::Deny(denial) => Some(denial.to_string()),
        decision => {
            assert_eq!(decision, Decision::Run);
            None
        }
    };
    let listed = policy(Some(&registries), false);
    for image in ["registry.example:5000/a", "ghcr.io/team/app:1", "nginx"] {
        assert_eq!(decide(&listed, image), None, "{image}");
    }
    for (image, repository) in [
        ("registry.example/a", "registry.example/a"),
        ("ghcr.io/teams/app:1", "ghcr.io/teams/app"),
        ("bitnami/nginx", "docker.io/bitnami/nginx"),
    ] {
        let expected = format!("ALLOWED_REGISTRIES does not hold {repository}");
        assert_eq!(decide(&listed, image), Some(expected.clone()));
        // A digest says which image it is, not that it may be run.
        assert_eq!(decide(&listed, &pinned(image)), Some(expected));
    }
    let strict = policy(None, true);
    assert_eq!(decide(&strict, &pinned("evil.io/app:1")), None);
    let expected = "REQUIRE_IMAGE_DIGEST is set, and the image nginx:1 has no digest (@sha256:...)";
    assert_eq!(decide(&strict, "nginx:1").as_deref(), Some(expected));
    let both = policy(Some(&registries), true);
    assert_eq!(decide(&both, &pinned("nginx:1")), None);
    assert_eq!(decide(&both, "nginx:1").as_deref(), Some(expected));
    // Nothing of it is about other actions.
    assert_eq!(both.decide(&scale("shop", 3), false), Decision::Run);
}

#[test]
fn protected_labels() {
    let cases = [
        ("kubernetes.io/os", true),
        ("k8s.io/x", true),
        ("node-role.kubernetes.io/worker", true),
        ("app.kubernetes.io/managed-by", true),
        ("a.b.k8s.io/x", true),
        ("kubernetes.io", false),
        ("notkubernetes.io/x", false),
        ("kubernetes.io.example.com/x", false),
        ("example.com/kubernetes.io", false),
        ("team", false),
    ];
    for (key, is_protected) in cases {
        // To remove one is no better than to set one, and a legal one beside it hides nothing.
        for value in [json!("b"), json!(null)] {
            let params = json!({"kind": "node", "name": "x", "labels": {"a": "b", key: value}});
            let decision =
                Policy::default().decide(&action(ActionKind::LabelResource, params), false);
            let denial = Denial::ProtectedLabel(LabelKey::parse(key).unwrap());
            let expected = if is_protected {
                Decision::Deny(denial)
            } else {
                Decision::Run
            };
            assert_eq!(decision, expected, "{key}");
        }
    }
}

#[test]
fn either_side_can_ask_for_a_dry_run_and_neither_lifts_a_denial() {
    let local = Policy {
        dry_run: true,
        ..Policy::default()
    };
    let action = scale("shop", 3);
    assert_eq!(local.decide(&action, false), Decision::DryRun);
    assert_eq!(local.decide(&action, true), Decision::DryRun);
    assert_eq!(Policy::default().decide(&action, true), Decision::DryRun);
    assert!(matches!(
        local.decide(&scale("kube-system", 3), true),
        Decision::Deny(_)
    ));
}

#[test]
fn drains_at_once() {
    let policy = |max| Policy {
        max_concurrent_drains: NonZeroU32::new(max).expect("not zero"),
        ..Policy::default()
    };
    assert!(Policy::default().may_drain(0));
    assert!(!Policy::default().may_drain(1));
    assert!(policy(3).may_drain(2));
    assert!(!policy(3).may_drain(3));
    assert!(!policy(u32::MAX).may_drain(usize::MAX));
}

#[test]
fn labels_that_a_selector_uses() {
    let params = json!({"kind": "node", "name": "x", "labels": {"a": "b", "app": null}});
    let Action::LabelResource(label) = action(ActionKind::LabelResource, params) else {
        panic!("a label action")
    };
    let found = |keys: &'static [&str]| {
        selected_by(&label.labels, keys.iter().copied()).map(|key| key.as_str().to_owned())
    };
    assert_eq!(found(&["pod-template-hash", "app"]).as_deref(), Some("app"));
    assert_eq!(found(&["apps", "b"]), None);
    assert_eq!(found(&[]), None);
}

#[test]
fn annotations_that_protect_a_pod() {
    let (ours, karpenter, autoscaler) = (
        "kubernetes-agent/do-not-disrupt",
        "karpenter.sh/do-not-disrupt",
        "cluster-autoscaler.kubernetes.io/safe-to-evict",
    );
    let cases = [
        (ours, "true", true),
        (ours, "True", true),
        (ours, "", true),
        (ours, "1h", true),
        (ours, "false", false),
        (ours, "False ", false),
        (karpenter, "true", true),
        (karpenter, "30m", true),
        (karpenter, "false", false),
        (autoscaler, "false", true),
        (autoscaler, "FALSE", true),
        (autoscaler, "true", false),
        (autoscaler, "", false),
        ("example.com/do-not-disrupt", "true", false),
    ];
    for (name, value, protects) in cases {
        let found = do_not_disrupt(|asked| (asked == name).then_some(value));
        assert_eq!(found, protects.then_some(name), "{name}={value}");
    }
    assert_eq!(do_not_disrupt(|_| None), None);
}
