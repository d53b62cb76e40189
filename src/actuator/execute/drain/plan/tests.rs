use serde_json::json;

use super::*;
use crate::actuator::execute::pods::testing::pod;

const STRICT: Rules = Rules {
    force: false,
    delete_emptydir_data: false,
    ignore_daemonsets: true,
};
const FORCE: Rules = Rules {
    force: true,
    ..STRICT
};
const DELETE: Rules = Rules {
    delete_emptydir_data: true,
    ..STRICT
};
const NO_DAEMONS: Rules = Rules {
    ignore_daemonsets: false,
    ..STRICT
};

fn refuse(refusals: &[Refusal]) -> Lot {
    Lot::Refuse(refusals.to_vec())
}

#[test]
fn the_table() {
    let daemon = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": true}]);
    let daemon = json!({"metadata": {"ownerReferences": daemon}});
    let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
    let of_node =
        json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true}]);
    let of_node = json!({"metadata": {"ownerReferences": of_node}});
    let bare = json!({"metadata": {"ownerReferences": []}});
    // An owner that does not control it makes nothing again.
    let owned = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}]);
    let owned = json!({"metadata": {"ownerReferences": owned}});
    let empty_dir = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]}});
    let bare_with_dir = json!({"metadata": {"ownerReferences": []}, "spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    let finished = json!({"metadata": {"ownerReferences": []}, "status": {"phase": "Succeeded"}});
    let tolerant = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
    let bare_tolerant = json!({"metadata": {"ownerReferences": []}, "spec": {"tolerations": [{"operator": "Exists"}]}});
    let protected = |name: &str, value: &str| json!({"metadata": {"annotations": {name: value}}});
    let ending =
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "ownerReferences": []}});
    let own = "kubernetes-agent/do-not-disrupt";
    let karpenter = "karpenter.sh/do-not-disrupt";
    let autoscaler = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    let cases = [
        ("ordinary", json!({}), STRICT, Lot::Evict),
        ("daemon", daemon.clone(), STRICT, Lot::Skip(Skip::DaemonSet)),
        (
            "daemon, not ignored",
            daemon,
            NO_DAEMONS,
            refuse(&[Refusal::DaemonSet]),
        ),
        ("mirror", mirror, STRICT, Lot::Skip(Skip::Mirror)),
        (
            "mirror by its owner",
            of_node,
            STRICT,
            Lot::Skip(Skip::Mirror),
        ),
        (
            "bare",
            bare.clone(),
            STRICT,
            refuse(&[Refusal::NoController]),
        ),
        ("bare, force", bare, FORCE, Lot::Evict),
        (
            "owned, not controlled",
            owned,
            STRICT,
            refuse(&[Refusal::NoController]),
        ),
        (
            "emptyDir",
            empty_dir.clone(),
            STRICT,
            refuse(&[Refusal::EmptyDir]),
        ),
        (
            "emptyDir, force",
            empty_dir.clone(),
            FORCE,
            refuse(&[Refusal::EmptyDir]),
        ),
        ("emptyDir, delete", empty_dir, DELETE, Lot::Evict),
        (
            "both",
            bare_with_dir,
            STRICT,
            refuse(&[Refusal::NoController, Refusal::EmptyDir]),
        ),
        ("finished", finished, STRICT, Lot::Skip(Skip::Finished)),
        ("tolerates", tolerant, STRICT, Lot::Skip(Skip::Tolerates)),
        (
            "bare, tolerates",
            bare_tolerant,
            STRICT,
            refuse(&[Refusal::NoController]),
        ),
        (
            "protected",
            protected(own, "true"),
            FORCE,
            refuse(&[Refusal::Protected(own)]),
        ),
        (
            "karpenter",
            protected(karpenter, "true"),
            FORCE,
            refuse(&[Refusal::Protected(karpenter)]),
        ),
        (
            "autoscaler",
            protected(autoscaler, "false"),
            FORCE,
            refuse(&[Refusal::Protected(autoscaler)]),
        ),
        ("safe", protected(autoscaler, "true"), STRICT, Lot::Evict),
        ("ending", ending, STRICT, Lot::Wait),
    ];
    for (what, change, rules, expected) in cases {
        assert_eq!(lot(&pod(&change), rules, true, false), expected, "{what}");
    }
}

#[test]
fn a_daemon_set_that_is_gone_leaves_bare_pods() {
    let daemon = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": true}]);
    // They tolerate everything, as daemons do, but nothing brings them back.
    let spec = json!({"tolerations": [{"operator": "Exists"}]});
    let orphan = pod(&json!({"metadata": {"ownerReferences": daemon}, "spec": spec}));
    assert_eq!(
        lot(&orphan, STRICT, false, false),
        refuse(&[Refusal::DaemonSetGone])
    );
    assert_eq!(
        lot(&orphan, NO_DAEMONS, false, false),
        refuse(&[Refusal::DaemonSetGone])
    );
    assert_eq!(lot(&orphan, FORCE, false, false), Lot::Evict);
}

#[test]
fn the_agents_own_pod_goes_last_and_its_state_does_not_hold_it() {
    let own = pod(&json!({"spec": {"volumes": [{"name": "state", "emptyDir": {}}]}}));
    assert_eq!(lot(&own, STRICT, true, true), Lot::Evict);
    assert_eq!(Group::of(&own, true), Group::Own);
    let critical = pod(&json!({"spec": {"priorityClassName": "system-cluster-critical"}}));
    assert!(Group::Ordinary < Group::of(&critical, false));
    assert!(Group::of(&critical, false) < Group::Own);
}

#[test]
fn what_is_said_of_a_refusal() {
    let both = refusal_details(&[Refusal::NoController, Refusal::EmptyDir]);
    assert_eq!(both["outcome"], "refused");
    assert_eq!(both["reasons"], json!(["no_controller", "empty_dir"]));
    let protected = refusal_details(&[Refusal::Protected("a/b")]);
    assert_eq!(protected["outcome"], "protected");
    assert_eq!(protected["message"], "the annotation a/b forbids it");
}
