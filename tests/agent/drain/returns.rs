//! Pods that come to the node in the place of evicted ones: once a scheduler may have been late, again and again a
//! controller wants them there.

use std::thread;

use serde_json::{Value, json};

use super::{assert_each, assert_ended, held, release};
use crate::common::drain::Scene;
use crate::common::eventually;

#[test]
fn who_chooses_the_node_itself_is_evicted_once_more_and_left() {
    let scene = Scene::new();
    let here = json!({"spec": {"nodeName": scene.node}});
    scene.on_node(2, || scene.workload("Deployment", "pinned", 2, &here));
    let _agent = scene.agent();

    let result = scene.drain(&json!({}));
    assert_ended(&result, "partial", &json!("api_error"));
    let mut outcomes = scene.outcomes(&result, "pinned-");
    outcomes.sort_unstable();
    let evicted = outcomes.iter().filter(|it| **it == "evicted").count();
    assert_eq!(evicted, 4, "{result:#}");
    let returned = &outcomes[evicted..];
    assert!(
        !returned.is_empty() && returned.iter().all(|it| *it == "returned"),
        "{result:#}"
    );
    assert!(scene.is_cordoned(), "{result:#}");
}

#[test]
fn what_a_late_scheduler_puts_there_goes_too() {
    let scene = Scene::new();
    let path = scene.cluster.path("/apis/apps/v1", "deployments");
    scene.workload("Deployment", "late", 0, &json!({}));
    let owner = scene.cluster.api().get(&format!("{path}/late"));
    let owned = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "late", "uid": owner["metadata"]["uid"], "controller": true,
    }]}});
    let first = scene.cluster.path("/api/v1", "pods") + "/late-1";
    scene.on_node(1, || {
        // It goes no sooner than the second is there: the drain must not end between the two.
        scene.bare("late-1", &held(owned.clone()));
    });
    let _agent = scene.agent();

    let result = thread::scope(|scope| {
        let drain = scope.spawn(|| scene.drain(&json!({})));
        eventually("the first is evicted", || {
            let answer = scene
                .cluster
                .api()
                .try_request(&ureq::http::Method::GET, &first, None);
            answer.is_some_and(|(_, pod)| pod["metadata"]["deletionTimestamp"].is_string())
        });
        // As a scheduler does that has not seen the cordon: the node is named, its taint not asked.
        scene.bare("late-2", &owned);
        release(&scene);
        drain.join().unwrap()
    });
    assert_ended(&result, "succeeded", &Value::Null);
    assert_each(&scene, &result, "late-", 2, "evicted");
}
