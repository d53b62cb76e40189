use serde_json::json;

use super::*;
use crate::actions::action::{Action, ActionKind};

fn parse(kind: ActionKind, params: Value) -> Result<Action, String> {
    let Value::Object(params) = params else {
        panic!("an object")
    };
    Action::parse(kind, params).map_err(|fault| fault.to_string())
}

fn text<T: Text>(text: &str) -> T {
    T::parse(text).expect("a legal text")
}

/// The smallest legal params of each kind.
fn least(kind: ActionKind) -> Value {
    match kind {
        ActionKind::EvictPod => json!({"namespace": "shop", "name": "web-1"}),
        ActionKind::CordonNode | ActionKind::UncordonNode | ActionKind::DrainNode => {
            json!({"node": "worker-7"})
        }
        ActionKind::ScaleDeployment => json!({"namespace": "shop", "name": "web", "replicas": 3}),
        ActionKind::SetImage => {
            json!({"namespace": "shop", "name": "web", "container": "app", "image": "app:2"})
        }
        ActionKind::LabelResource => {
            json!({"kind": "pod", "namespace": "shop", "name": "web-1", "labels": {"a": "b"}})
        }
    }
}

fn with(kind: ActionKind, member: &str, value: Value) -> Value {
    let mut params = least(kind);
    params[member] = value;
    params
}

#[test]
fn what_is_left_out_has_its_default() {
    let node = || text::<ObjectName>("worker-7");
    let cases = [
        Action::EvictPod(EvictPod {
            namespace: text("shop"),
            name: text("web-1"),
            pod_uid: None,
            grace_period_seconds: None,
            timeout: Duration::from_mins(10),
        }),
        Action::CordonNode(CordonNode {
            node: node(),
            node_uid: None,
        }),
        Action::UncordonNode(UncordonNode {
            node: node(),
            node_uid: None,
            force: false,
        }),
        Action::DrainNode(DrainNode {
            node: node(),
            node_uid: None,
            grace_period_seconds: None,
            timeout: Duration::from_mins(10),
            force: false,
            delete_emptydir_data: false,
            ignore_daemonsets: true,
            max_parallel: 10,
            on_failure: OnFailure::Restore,
        }),
        Action::ScaleDeployment(ScaleDeployment {
            namespace: text("shop"),
            name: text("web"),
            replicas: 3,
            expected_replicas: None,
            override_hpa: false,
            timeout: Duration::from_mins(10),
        }),
        Action::SetImage(SetImage {
            namespace: text("shop"),
            name: text("web"),
            container: text("app"),
            image: text("app:2"),
            expected_image: None,
            timeout: Duration::from_mins(10),
        }),
        Action::LabelResource(LabelResource {
            object: Object::pod(&text("shop"), &text("web-1")),
            labels: [(text("a"), Some(text("b")))].into(),
        }),
    ];
    for expected in cases {
        let kind = expected.kind();
        assert_eq!(parse(kind, least(kind)), Ok(expected));
    }
}

#[test]
fn what_is_given_is_read() {
    let uid = "5f0c1d4e-0000-4000-8000-000000000007";
    let cases = [
        (
            json!({"namespace": "shop", "name": "web-1", "pod_uid": uid,
                "grace_period_seconds": 0, "timeout_seconds": 1}),
            Action::EvictPod(EvictPod {
                namespace: text("shop"),
                name: text("web-1"),
                pod_uid: Some(text(uid)),
                grace_period_seconds: Some(0),
                timeout: Duration::from_secs(1),
            }),
        ),
        (
            json!({"node": "worker-7", "node_uid": uid}),
            Action::CordonNode(CordonNode {
                node: text("worker-7"),
                node_uid: Some(text(uid)),
            }),
        ),
        (
            json!({"node": "worker-7", "node_uid": uid, "force": true}),
            Action::UncordonNode(UncordonNode {
                node: text("worker-7"),
                node_uid: Some(text(uid)),
                force: true,
            }),
        ),
        (
            json!({"node": "worker-7", "node_uid": uid, "grace_period_seconds": 3600,
                "timeout_seconds": 3600, "force": true, "delete_emptydir_data": true,
                "ignore_daemonsets": false, "max_parallel": 100, "on_failure": "keep_cordoned"}),
            Action::DrainNode(DrainNode {
                node: text("worker-7"),
                node_uid: Some(text(uid)),
                grace_period_seconds: Some(3600),
                timeout: Duration::from_hours(1),
                force: true,
                delete_emptydir_data: true,
                ignore_daemonsets: false,
                max_parallel: 100,
                on_failure: OnFailure::KeepCordoned,
            }),
        ),
        (
            json!({"namespace": "shop", "name": "web", "replicas": 0, "expected_replicas": 5,
                "allow_zero": true, "override_hpa": true, "timeout_seconds": 30}),
            Action::ScaleDeployment(ScaleDeployment {
                namespace: text("shop"),
                name: text("web"),
                replicas: 0,
                expected_replicas: Some(5),
                override_hpa: true,
                timeout: Duration::from_secs(30),
            }),
        ),
        (
            json!({"namespace": "shop", "name": "web", "container": "app", "image": "app:2",
                "expected_image": "App:1", "timeout_seconds": 30}),
            Action::SetImage(SetImage {
                namespace: text("shop"),
                name: text("web"),
                container: text("app"),
                image: text("app:2"),
                expected_image: Some(text("App:1")),
                timeout: Duration::from_secs(30),
            }),
        ),
        (
            json!({"kind": "namespace", "name": "shop",
                "labels": {"example.com/team": "a", "old": null, "empty": ""}}),
            Action::LabelResource(LabelResource {
                object: Object::namespace_itself(text("shop")),
                labels: [
                    (text("example.com/team"), Some(text("a"))),
                    (text("old"), None),
                    (text("empty"), Some(text(""))),
                ]
                .into(),
            }),
        ),
    ];
    for (params, expected) in cases {
        assert_eq!(parse(expected.kind(), params), Ok(expected));
    }
}

/// Each of these, put into otherwise legal params, is refused by an error that names the member.
#[test]
fn bounds_and_forms() {
    use ActionKind::{
        CordonNode, DrainNode, EvictPod, LabelResource, ScaleDeployment, SetImage, UncordonNode,
    };
    let many: Map<String, Value> = (0..=MAX_LABELS)
        .map(|n| (format!("l{n}"), "".into()))
        .collect();
    let cases = [
        (EvictPod, "namespace", json!("café")),
        (EvictPod, "namespace", json!("a/b")),
        (EvictPod, "namespace", json!(null)),
        (EvictPod, "name", json!("../nodes")),
        (EvictPod, "name", json!("")),
        (EvictPod, "pod_uid", json!("")),
        (EvictPod, "pod_uid", json!(null)),
        (EvictPod, "grace_period_seconds", json!(-1)),
        (EvictPod, "grace_period_seconds", json!(3601)),
        (EvictPod, "timeout_seconds", json!(0)),
        (EvictPod, "timeout_seconds", json!(3601)),
        (EvictPod, "timeout_seconds", json!(1.5)),
        (CordonNode, "node", json!("Worker")),
        (CordonNode, "node", json!(7)),
        (CordonNode, "node_uid", json!("a b")),
        (UncordonNode, "node", json!("worker_7")),
        (UncordonNode, "node_uid", json!(7)),
        (UncordonNode, "force", json!("true")),
        (UncordonNode, "force", json!(1)),
        (DrainNode, "node", json!("")),
        (DrainNode, "node_uid", json!({})),
        (DrainNode, "grace_period_seconds", json!("30")),
        (DrainNode, "timeout_seconds", json!(0)),
        (DrainNode, "timeout_seconds", json!(3601)),
        (DrainNode, "force", json!(null)),
        (DrainNode, "delete_emptydir_data", json!("yes")),
        (DrainNode, "ignore_daemonsets", json!(0)),
        (DrainNode, "max_parallel", json!(0)),
        (DrainNode, "max_parallel", json!(101)),
        (DrainNode, "on_failure", json!("Restore")),
        (DrainNode, "on_failure", json!(null)),
        (ScaleDeployment, "namespace", json!("")),
        (ScaleDeployment, "name", json!("web/scale")),
        (ScaleDeployment, "replicas", json!(-1)),
        (ScaleDeployment, "replicas", json!(2_147_483_648_u64)),
        (ScaleDeployment, "replicas", json!(0)),
        (ScaleDeployment, "replicas", json!("3")),
        (ScaleDeployment, "expected_replicas", json!(-1)),
        (ScaleDeployment, "expected_replicas", json!(null)),
        (ScaleDeployment, "allow_zero", json!("no")),
        (ScaleDeployment, "override_hpa", json!(1)),
        (ScaleDeployment, "timeout_seconds", json!(0)),
        (SetImage, "namespace", json!("A")),
        (SetImage, "name", json!("A")),
        (SetImage, "container", json!("app.1")),
        (SetImage, "image", json!("App:2")),
        (SetImage, "image", json!(" app:2")),
        (SetImage, "expected_image", json!("")),
        (SetImage, "expected_image", json!(null)),
        (SetImage, "timeout_seconds", json!(3601)),
        (LabelResource, "kind", json!("service")),
        (LabelResource, "kind", json!("Pod")),
        (LabelResource, "kind", json!(null)),
        (LabelResource, "namespace", json!("A")),
        (LabelResource, "name", json!("A")),
        (LabelResource, "labels", json!({})),
        (LabelResource, "labels", json!([])),
        (LabelResource, "labels", json!(null)),
        (LabelResource, "labels", Value::Object(many)),
        (LabelResource, "labels", json!({"-": "a"})),
        (LabelResource, "labels", json!({"a": "-"})),
        (LabelResource, "labels", json!({"a": 1})),
        (LabelResource, "labels", json!({"a": "b", "c": false})),
    ];
    for (kind, member, value) in cases {
        let params = with(kind, member, value);
        let fault = parse(kind, params.clone()).expect_err(&params.to_string());
        assert!(
            fault.starts_with(&format!("params.{member}")),
            "{params}: {fault}"
        );
    }
}

#[test]
fn the_bounds_themselves_are_legal() {
    let cases = [
        (ActionKind::EvictPod, "timeout_seconds", json!(3600)),
        (ActionKind::EvictPod, "grace_period_seconds", json!(3600)),
        (ActionKind::DrainNode, "max_parallel", json!(1)),
        (
            ActionKind::ScaleDeployment,
            "replicas",
            json!(2_147_483_647),
        ),
        (ActionKind::ScaleDeployment, "expected_replicas", json!(0)),
    ];
    for (kind, member, value) in cases {
        assert!(parse(kind, with(kind, member, value)).is_ok(), "{member}");
    }
    let most: Map<String, Value> = (0..MAX_LABELS)
        .map(|n| (format!("l{n}"), "".into()))
        .collect();
    let params = with(ActionKind::LabelResource, "labels", Value::Object(most));
    assert!(parse(ActionKind::LabelResource, params).is_ok());
}

#[test]
fn nothing_required_can_be_left_out() {
    for kind in ActionKind::ALL {
        let Value::Object(members) = least(kind) else {
            panic!("an object")
        };
        for name in members.keys() {
            let mut params = members.clone();
            params.remove(name);
            let fault = parse(kind, Value::Object(params)).expect_err(name);
            // Without its kind, a label action is wrong from there on.
            assert!(
                fault.starts_with("params"),
                "{kind:?} without {name}: {fault}"
            );
        }
    }
}

#[test]
fn an_unknown_member_is_refused_everywhere() {
    for kind in ActionKind::ALL {
        for name in ["dry_run", "Node", "nodes", ""] {
            let fault = parse(kind, with(kind, name, json!(true))).expect_err(name);
            assert!(
                fault.starts_with("params: expected no members but "),
                "{fault}"
            );
            assert!(fault.ends_with(&format!("got {name:?}")), "{fault}");
        }
    }
}

#[test]
fn a_namespace_only_where_it_belongs() {
    for kind in ["node", "namespace"] {
        let params = json!({"kind": kind, "namespace": "shop", "name": "x", "labels": {"a": "b"}});
        let fault = parse(ActionKind::LabelResource, params).expect_err(kind);
        assert_eq!(
            fault,
            r#"params: expected no members but kind, name, labels, got "namespace""#
        );
    }
    for kind in ["deployment", "pod"] {
        let params = json!({"kind": kind, "name": "x", "labels": {"a": "b"}});
        let fault = parse(ActionKind::LabelResource, params).expect_err(kind);
        assert!(
            fault.starts_with("params.namespace: expected a namespace"),
            "{fault}"
        );
    }
    // A namespace is named by a DNS label, not by any DNS subdomain.
    let params = json!({"kind": "namespace", "name": "a.b", "labels": {"a": "b"}});
    assert!(parse(ActionKind::LabelResource, params).is_err());
    let params = json!({"kind": "node", "name": "a.b", "labels": {"a": "b"}});
    assert!(parse(ActionKind::LabelResource, params).is_ok());
}

#[test]
fn zero_replicas_need_a_word_of_their_own() {
    let kind = ActionKind::ScaleDeployment;
    let fault = parse(kind, with(kind, "replicas", json!(0))).expect_err("zero");
    assert_eq!(
        fault,
        "params.replicas: expected at least 1, or allow_zero with it, got 0"
    );
    let mut params = with(kind, "replicas", json!(0));
    params["allow_zero"] = json!(false);
    assert!(parse(kind, params.clone()).is_err());
    params["allow_zero"] = json!(true);
    assert!(parse(kind, params).is_ok());
}
