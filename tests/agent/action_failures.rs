//! Actions that do not go well: rollouts that do not end, stops and crashes amid them, an API server that forbids,
//! conflicts or loses its answers.

use crate::common::actions::World;
use crate::common::{eventually, settles};
use sandbox::apiserver::{Effect, Fault};
use sandbox::backend::NewAction;
use serde_json::json;

#[test]
fn a_rollout_that_does_not_come_to_its_end_is_no_success() {
    let world = World::start();
    // No node will do, so that no pod ever runs.
    let nowhere = |deadline: u32| {
        json!({
            "progressDeadlineSeconds": deadline,
            "template": {
                "metadata": {"labels": {"app": format!("stuck-{deadline}")}},
                "spec": {"nodeSelector": {"no": "such"}, "containers": [{"name": "main", "image": "registry.invalid/app:1"}]},
            },
        })
    };
    for deadline in [2, 600] {
        world
            .cluster
            .create_deployment(&format!("stuck-{deadline}"), 1, &nowhere(deadline));
    }
    let params = world.params("stuck-600", json!({"replicas": 2, "timeout_seconds": 2}));
    let late = world.ends("partial", "scale_deployment", params);
    assert_eq!(late["reason"], "timed_out");
    assert_eq!(late["details"]["before"]["replicas"], 1);
    assert_eq!(
        (
            &late["details"]["after"]["replicas"],
            &late["details"]["after"]["available_replicas"]
        ),
        (&json!(2), &json!(0))
    );

    let held_up = &late["details"]["pods"][0];
    assert!(
        held_up["why"].to_string().contains("Unschedulable"),
        "{late:#}"
    );
    assert!(
        late["message"].to_string().contains("Unschedulable"),
        "{late:#}"
    );

    settles("the first rollout has failed", || {
        let conditions = world.deployment("stuck-2")["status"]["conditions"].to_string();
        if conditions.contains("ProgressDeadlineExceeded") {
            Ok(())
        } else {
            Err(conditions)
        }
    });
    let params = world.params(
        "stuck-2",
        json!({"container": "main", "image": "registry.invalid/app:2"}),
    );
    let failed = world.ends("failed", "set_image", params);
    assert!(
        failed["message"]
            .as_str()
            .unwrap()
            .contains("ProgressDeadlineExceeded"),
        "{failed:#}"
    );
    assert_eq!(
        failed["details"]["written"]["previous_image"],
        "registry.invalid/app:1"
    );
    world.end();
}

#[test]
fn what_admission_refuses_is_not_written_by_another_way() {
    let world = World::start();
    world.cluster.create_deployment("web", 1, &json!({}));
    let Some(server) = world.cluster.simulated() else {
        return;
    };
    let message = "admission webhook \"replicas.example\" denied the request: not now";
    let body = json!({"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": message});
    server.set_fault(Fault::on(
        "patch",
        "deployments/scale",
        Effect::Json { code: 403, body },
    ));
    let params = world.params("web", json!({"replicas": 2}));
    let failed = world.ends("failed", "scale_deployment", params);
    assert_eq!(failed["reason"], "forbidden", "{failed:#}");
    assert!(
        failed["message"].to_string().contains("not now"),
        "{failed:#}"
    );
    assert_eq!(world.deployment("web")["spec"]["replicas"], 1);
    world.end();
}

#[test]
fn a_stop_amid_a_rollout_says_what_was_written_and_a_crash_is_looked_into() {
    let mut world = World::start();
    let nowhere = json!({
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"nodeSelector": {"no": "such"}, "containers": [{"name": "main", "image": "registry.invalid/app:1"}]},
        },
    });
    world.cluster.create_deployment("web", 1, &nowhere);
    let scale = |world: &World, replicas: u32| {
        let id = world
            .issue(NewAction::new(
                "scale_deployment",
                world.params("web", json!({"replicas": replicas})),
            ))
            .id;
        eventually("the write", || {
            world.deployment("web")["spec"]["replicas"] == replicas
        });
        world.agent.logged(&format!("Action {id}: 0 of "));
        id
    };
    let stopped = scale(&world, 2);
    world.agent.stop();
    let result = world
        .backend
        .result(&stopped)
        .expect("a result is delivered at the stop");
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("interrupted"), &json!("shutdown")),
        "{result:#}"
    );
    assert_eq!(result["details"]["written"]["replicas"], 2);
    assert_eq!(result["details"]["before"]["replicas"], 1);

    world.agent = world.setup.start();
    let crashed = scale(&world, 3);
    world.agent.signal("KILL");
    world.agent.wait();
    let writes = world.writes().len();
    world.agent = world.setup.start();
    let result = world.result(&crashed);
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!("interrupted"), &json!("restarted")),
        "{result:#}"
    );
    assert_eq!(result["details"]["after"]["replicas"], 3);
    let step = &result["details"]["steps"][0];
    assert_eq!(step["written"]["replicas"], 3, "{result:#}");
    assert_eq!(step["before"]["replicas"], 2);

    // The same, but the wanted state comes to hold while nobody looks.
    let crashed = scale(&world, 4);
    world.agent.signal("KILL");
    world.agent.wait();
    let anywhere = json!({"spec": {"template": {"spec": {"nodeSelector": null}}}});
    world.cluster.api().patch(&world.path_of("web"), &anywhere);
    settles(
        "4 replicas run",
        || match &world.deployment("web")["status"] {
            it if it["availableReplicas"] == 4 && it["updatedReplicas"] == 4 => Ok(()),
            it => Err(it.to_string()),
        },
    );
    world.agent = world.setup.start();
    assert_eq!(world.result(&crashed)["status"], "succeeded");
    assert_eq!(world.writes().len(), writes + 1, "nothing is written twice");
    world.end();
}

/// A world whose API server can be told to misbehave, with a deployment of two; none on a real cluster.
fn fragile() -> Option<World> {
    let world = World::start();
    world.cluster.simulated()?;
    world.cluster.deploy("web", 2);
    Some(world)
}

#[test]
fn where_the_scale_may_not_be_written_the_deployment_is() {
    let Some(world) = fragile() else { return };
    let server = world.cluster.simulated().unwrap();
    server.deny("patch", "deployments/scale");
    let done = world.ends(
        "succeeded",
        "scale_deployment",
        world.params("web", json!({"replicas": 3})),
    );
    assert_eq!(done["details"]["written"]["resource"], "deployments");
    assert_eq!(world.writes(), ["patch deployments"]);
    // Not as RBAC would: what nobody permits is switched off before it begins.
    let forbidden = Effect::Status {
        code: 403,
        retry_after: None,
    };
    server.set_fault(Fault::on("patch", "deployments", forbidden));
    let refused = world.ends(
        "failed",
        "scale_deployment",
        world.params("web", json!({"replicas": 4})),
    );
    assert_eq!(refused["reason"], "forbidden");
    assert!(
        refused["message"].to_string().contains("deployments/scale"),
        "{refused:#}"
    );
    assert_eq!(refused["details"]["before"]["replicas"], 3);
    world.end();
}

#[test]
fn who_may_not_look_for_autoscalers_does_not_scale_unless_told_to() {
    let Some(world) = fragile() else { return };
    world
        .cluster
        .simulated()
        .unwrap()
        .deny("list", "horizontalpodautoscalers");
    let params = world.params("web", json!({"replicas": 3}));
    world.refuses(
        "precondition_failed",
        "override_hpa",
        "scale_deployment",
        params,
    );
    let params = world.params("web", json!({"replicas": 3, "override_hpa": true}));
    let done = world.ends("succeeded", "scale_deployment", params);
    assert!(done["details"]["warnings"][0].is_string(), "{done:#}");
    world.end();
}

#[test]
fn a_conflict_is_tried_again_and_a_lost_answer_is_looked_for() {
    let Some(world) = fragile() else { return };
    let server = world.cluster.simulated().unwrap();
    let fault = |effect: Effect| Fault::on("patch", "deployments/scale", effect);
    let conflict = || {
        fault(Effect::Status {
            code: 409,
            retry_after: None,
        })
    };
    let scale = |replicas: u32| world.params("web", json!({"replicas": replicas}));

    server.set_fault(conflict().times(2));
    world.ends("succeeded", "scale_deployment", scale(3));
    assert_eq!(world.writes().len(), 1);

    // Done, and nobody hears of it.
    server.set_fault(fault(Effect::Reset(0)).times(1));
    world.ends("succeeded", "scale_deployment", scale(4));
    assert_eq!(world.writes().len(), 2);

    server.set_fault(conflict());
    let failed = world.ends("failed", "scale_deployment", scale(5));
    assert_eq!(
        (&failed["reason"], &failed["details"]["tries"]),
        (&json!("api_error"), &json!(3)),
        "{failed:#}"
    );
    assert_eq!(world.deployment("web")["spec"]["replicas"], 4);
    world.end();
}

#[test]
fn who_changes_it_again_is_named() {
    let world = World::start();
    let nowhere = json!({
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"nodeSelector": {"no": "such"}, "containers": [{"name": "main", "image": "registry.invalid/app:1"}]},
        },
    });
    world.cluster.create_deployment("web", 1, &nowhere);
    let id = world
        .issue(NewAction::new(
            "scale_deployment",
            world.params("web", json!({"replicas": 2})),
        ))
        .id;
    world.agent.logged(&format!("Action {id}: 0 of 2"));
    world
        .cluster
        .api()
        .patch(&world.path_of("web"), &json!({"spec": {"replicas": 5}}));
    let result = world.result(&id);
    assert_eq!(result["status"], "failed");
    assert_eq!(result["details"]["reverted_by"], "test", "{result:#}");
    assert_eq!(result["details"]["after"]["replicas"], 5);
    world.end();
}

#[test]
fn who_restores_what_has_taken_effect_is_named() {
    let mut world = World::start();
    world.cluster.deploy("web", 2);
    let marked = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}}});
    world.cluster.api().patch(&world.path_of("web"), &marked);
    let issue = |world: &World, replicas: u32| {
        let params = world.params("web", json!({"replicas": replicas}));
        let id = world.issue(NewAction::new("scale_deployment", params)).id;
        let complete = format!("Action {id}: complete; whether it stays so");
        world.agent.logged(&complete);
        id
    };
    let id = issue(&world, 3);
    world
        .cluster
        .api()
        .patch(&world.path_of("web"), &json!({"spec": {"replicas": 2}}));
    let result = world.result(&id);
    assert_eq!(result["status"], "failed", "{result:#}");
    assert_eq!(result["details"]["reverted_by"], "test");
    assert_eq!(result["details"]["after"]["replicas"], 2);
    let warning = result["details"]["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("Argo CD keeps"), "{warning}");

    // What has taken effect is no less so for an agent that is told to stop before it has looked long enough.
    let id = issue(&world, 1);
    world.agent.stop();
    let result = world
        .backend
        .result(&id)
        .expect("a result is delivered at the stop");
    assert_eq!(result["status"], "succeeded", "{result:#}");
    world.backend.assert_no_violations();
}

#[test]
fn without_the_right_to_leave_events_actions_go_on() {
    let Some(world) = fragile() else { return };
    world.cluster.simulated().unwrap().deny("create", "events");
    for replicas in [3, 4, 5] {
        world.ends(
            "succeeded",
            "scale_deployment",
            world.params("web", json!({"replicas": replicas})),
        );
    }
    let refused =
        "kubernetes_agent_api_requests_total{code=\"403\",resource=\"events\",verb=\"create\"}";
    eventually("three refused events", || {
        world.agent.metric(refused) == Some(3.0)
    });
    assert_eq!(world.agent.log().matches("No events are left").count(), 1);
    world.end();
}
