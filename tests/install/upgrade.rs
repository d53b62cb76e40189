//! A new version comes and goes while actions flow: none is lost, none carried out twice, and the backend hears of the
//! cluster without a gap.

use std::thread;
use std::time::Duration;

use sandbox::backend::{Backend, NewAction};
use serde_json::json;

use super::common::stalls::Stalls;
use super::common::{eventually, settles};
use super::node::{NAMESPACE, Node};
use super::{INTERVAL, instant};

/// Of each change.
const ACTIONS: usize = 25;
/// Between two of them: together they take longer than a pod needs to be replaced.
const PACE: Duration = Duration::from_millis(200);

/// An upgrade and a rollback of an installation with so many replicas.
pub(crate) fn is_without_a_gap(node: &Node, backend: &Backend, replicas: usize) {
    let stalls = Stalls::watch();
    let rollout = format!("-n {NAMESPACE} rollout");
    node.kubectl(&format!(
        "-n {NAMESPACE} scale deployment ml-agent --replicas={replicas}"
    ));
    node.are_ready(replicas);
    let patched = labels(node);
    let from = backend.batches().len().saturating_sub(1);
    let mut ids = Vec::new();
    for change in [
        &format!("-n {NAMESPACE} set env deployment/ml-agent LOG_FORMAT=json"),
        &format!("{rollout} undo deployment/ml-agent"),
    ] {
        ids.extend(thread::scope(|scope| {
            let issued = scope.spawn(|| issue(backend));
            node.kubectl(change);
            node.kubectl(&format!(
                "{rollout} status deployment/ml-agent --timeout=180s"
            ));
            issued.join().unwrap()
        }));
        node.are_ready(replicas);
    }
    settles("every action has its result", || {
        let open = ids.iter().filter(|id| backend.result(id).is_none());
        match open.count() {
            0 => Ok(()),
            open => Err(format!("{open} of {} have none", ids.len())),
        }
    });
    for id in &ids {
        let result = backend.result(id).unwrap();
        assert_eq!(result["status"], "succeeded", "{result:#}");
    }
    assert_eq!(labels(node) - patched, ids.len(), "a patch for each");
    // The last change may have left a gap as well.
    let collections = backend.cycles().len();
    eventually("collections go on", || {
        backend.cycles().len() > collections + 1
    });

    let mut collected: Vec<_> = backend.batches()[from..]
        .iter()
        .map(|it| instant(&it.collected_at.as_str().into()))
        .collect();
    collected.sort();
    let gaps = collected.windows(2).map(|it| stalls.between(it[0], it[1]));
    let gap = gaps.max().unwrap_or_default();
    println!(
        "{replicas} replicas: at most {gap:?} between collections, through an upgrade and back"
    );
    let most = 2 * Duration::from_secs(INTERVAL.into());
    assert!(gap < most, "{gap:?} without a collection");
}

/// Labels of the namespace, each another one.
fn issue(backend: &Backend) -> Vec<String> {
    let one = |number: usize| {
        let label = format!("example.org/n-{}-{number}", backend.actions().len());
        let params = json!({"kind": "namespace", "name": NAMESPACE, "labels": {label: "set"}});
        let action = NewAction {
            cluster_id: Some("my-cluster".to_owned()),
            ..NewAction::new("label_resource", params)
        };
        let id = backend.create_action(&action).unwrap().id;
        thread::sleep(PACE);
        id
    };
    (0..ACTIONS).map(one).collect()
}

/// How often an agent has labelled the namespace.
fn labels(node: &Node) -> usize {
    let patches = node.patches().into_iter();
    patches
        .filter(|it| *it == ("namespaces".to_owned(), NAMESPACE.to_owned()))
        .count()
}
