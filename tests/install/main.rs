//! The agent installed on a real node, by kustomize and by Helm: ready at once, small, within its permissions, and
//! gone without a trace.
//!
//! Runs where KUBERNETES_AGENT_TEST_NODE names the folder of a cluster that has a node of `tests/cluster/node`,
//! which has the image localhost/kubernetes-agent:test (see `tests/deploy/node`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; what it measures is worth a line in the log"
)]

mod channels;
#[path = "../common/mod.rs"]
mod common;
mod confinement;
mod network;
mod node;
mod upgrade;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{eventually, settles};
use confinement::confined;
use kubernetes_agent::actions::action::ActionKind;
use kubernetes_agent::rbac::{self, Need, Rule};
use node::{CURL, Forward, NAMESPACE, Node, backend, output};
use sandbox::backend::{Backend, Kind};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const IMAGE: &str = "localhost/kubernetes-agent";
/// COLLECTION_INTERVAL here, in seconds.
pub(crate) const INTERVAL: u32 = 5;
/// From the container's start to Ready.
const READY: time::Duration = time::Duration::seconds(5);
/// How often that is measured: a machine that is busy with other things may take longer once.
const STARTS: usize = 3;
/// The working set, as the kubelet measures it.
const MEMORY: u64 = 16 * 1024 * 1024;

/// What rules grant: group, resource and verb.
fn granted<'a>(rules: impl Iterator<Item = &'a Rule>) -> BTreeSet<(String, String, String)> {
    let each = rules.flat_map(|rule| {
        let on = rule.resources.iter();
        on.flat_map(|on| {
            let verbs = rule.verbs.iter();
            verbs.map(|verb| (rule.group.to_owned(), (*on).to_owned(), (*verb).to_owned()))
        })
    });
    each.collect()
}

/// What must hold of an installation, whichever way it came.
fn works(node: &Node, backend: &Backend) -> String {
    let name = soon_ready(node);
    eventually("samples of the agent's own pod and of its node", || {
        let pods = backend.last_samples(Kind::Pod);
        let nodes = backend.last_samples(Kind::Node);
        pods.iter().any(|it| it.get("name") == name.as_str())
            && nodes.iter().any(|it| it.get("name") == "real")
    });
    eventually("a heartbeat", || backend.last_heartbeat().is_some());

    let log = node.kubectl(&format!("-n {NAMESPACE} logs deployment/ml-agent"));
    for line in [
        " - main - INFO - Starting kubernetes-agent ",
        " - main - INFO - Agent registered successfully",
        " - collector - INFO - Collected metrics for ",
        " - collector - INFO - Successfully sent ",
    ] {
        assert!(log.contains(line), "{line:?} in:\n{log}");
    }
    answers(node);
    channels::bring_an_action_each(node, backend);
    confined(&name);
    memory(node, &name);
    checked(node);
    name
}

/// Ready soon after the start of its container, best of some; the name of its pod.
fn soon_ready(node: &Node) -> String {
    let mut left = STARTS;
    loop {
        node.are_ready(1);
        let pod = node.pods().swap_remove(0);
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!(status["restartCount"], 0);
        let started = instant(&status["state"]["running"]["startedAt"]);
        let took = condition(&pod, "Ready").unwrap() - started;
        println!("ready {took} after the start of the container");
        if took <= READY {
            return name;
        }
        left -= 1;
        assert!(left > 0, "ready after {took}, and not sooner before");
        node.kubectl(&format!("-n {NAMESPACE} delete pod {name}"));
    }
}

/// `kubernetes-agent check` in the pod, beside the running agent: everything is well.
fn checked(node: &Node) {
    // As the Metrics Server has just measured it.
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    let measured = serde_json::json!({
        "apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "metadata": {"name": "real"},
        "timestamp": now, "window": "15s", "usage": {"cpu": "100m", "memory": "1Gi"},
    });
    let file = node.work.path().join("measured.json");
    fs::write(&file, measured.to_string()).unwrap();
    node.kubectl(&format!("apply -f {}", file.display()));
    let check = format!("-n {NAMESPACE} exec deployment/ml-agent -- /kubernetes-agent check");
    // kubectl ends with the exit code of the command, which must be 0.
    let text = node.kubectl(&check);
    println!("{text}");
    let report: Value = serde_json::from_str(&node.kubectl(&format!("{check} --json"))).unwrap();
    assert_eq!(report["outcome"], "ok", "{report:#}");
    // The test's backend speaks no TLS.
    let lines = report["checks"].as_array().unwrap().iter();
    let skipped: Vec<_> = lines.filter(|it| it["outcome"] != "ok").collect();
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!(skipped[0]["name"], "backend_certificate");
    node.kubectl(&format!("delete -f {}", file.display()));
}

/// Everything that it asked for was granted, and is in the table; everything that observing is granted was asked for.
fn permissions(node: &Node, pod: &str) {
    // Some servers write a watch down when it ends.
    node.kubectl(&format!(
        "-n {NAMESPACE} scale deployment ml-agent --replicas=0"
    ));
    eventually("the agent has ended", || node.pods().is_empty());
    let requests = node.requests(pod);
    let all: BTreeSet<_> = ActionKind::ALL.into();
    let may = granted(rbac::rules(&all, false));
    let beyond: Vec<_> = requests.difference(&may).collect();
    assert!(
        beyond.is_empty(),
        "asked for what the table does not hold: {beyond:?}"
    );
    let base = granted(
        rbac::RULES
            .iter()
            .filter(|it| it.needs.contains(&Need::Base)),
    );
    let spare: Vec<_> = base.difference(&requests).collect();
    assert!(
        spare.is_empty(),
        "granted for observing and never asked for: {spare:?}"
    );
}

/// The documentation's three commands, through the service and through a port-forward.
fn answers(node: &Node) {
    let service = node.json(&format!("service -n {NAMESPACE} ml-agent"));
    let address = service["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let forward = Forward::start(node);
    for (path, expected) in [
        ("/healthz", "\"ok\""),
        ("/readyz", "\"ready\""),
        ("/metrics", "kubernetes_agent_build_info"),
    ] {
        let namespace = format!(
            "--net={}",
            node.folder.join("node/namespaces/net").display()
        );
        // kube-proxy takes a moment to learn of a pod that is ready.
        let url = format!("http://{address}:8080{path}");
        eventually(&url, || {
            let mut inside = Command::new("nsenter");
            inside.arg(&namespace).args(CURL).arg(&url);
            let answer = inside.output().unwrap().stdout;
            String::from_utf8_lossy(&answer).contains(expected)
        });
        let outside = forward.get(path);
        assert!(
            outside.contains(expected),
            "{path} by port-forward: {outside}"
        );
    }
}

/// What the kubelet says of the container's memory.
fn memory(node: &Node, pod: &str) {
    let working_set = || {
        let stats = node.kubectl("get --raw /api/v1/nodes/real/proxy/stats/summary");
        let stats: Value = serde_json::from_str(&stats).unwrap();
        let pods = stats["pods"].as_array()?;
        let it = pods.iter().find(|it| it["podRef"]["name"] == pod)?;
        it["containers"][0]["memory"]["workingSetBytes"].as_u64()
    };
    eventually("a measurement of the container", || working_set().is_some());
    let bytes = working_set().unwrap();
    println!("working set {bytes} bytes");
    assert!(bytes < MEMORY, "working set {bytes} bytes");
}

/// When a condition became true, if it is.
pub(crate) fn condition(pod: &Value, name: &str) -> Option<OffsetDateTime> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|it| it["type"] == name && it["status"] == "True")?;
    Some(instant(&found["lastTransitionTime"]))
}

pub(crate) fn instant(text: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap()
}

/// The folder that the README tells to make, for this test's image and backend.
fn overlay(node: &Node, backend: &Backend) -> PathBuf {
    let folder = node.work.path().join("overlay");
    fs::create_dir(&folder).unwrap();
    // kustomize takes relative paths alone.
    let up = "../".repeat(folder.components().count() - 1);
    let manifests = format!("{up}{}/manifests", &env!("CARGO_MANIFEST_DIR")[1..]);
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [{manifests}]
components: [{manifests}/components/kubernetes-1.20]
images:
- {{name: ml-optimizer/kubernetes-agent, newName: {IMAGE}, newTag: test}}
patches:
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {{name: ml-agent, namespace: {NAMESPACE}}}
    spec:
      template:
        spec:
          containers:
          - name: agent
            imagePullPolicy: Never
            env:
            - {{name: BACKEND_URL, value: \"{}\"}}
            - {{name: BACKEND_WS_URL, value: \"{}\"}}
            - {{name: COLLECTION_INTERVAL, value: \"{INTERVAL}\"}}
",
        backend.url(),
        backend.ws_url(),
    );
    fs::write(folder.join("kustomization.yaml"), text).unwrap();
    folder
}

/// Waits until nothing of the installation is left.
fn gone(node: &Node, before: &BTreeSet<String>) {
    settles("nothing is left", || {
        let left: Vec<_> = node.objects().difference(before).cloned().collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
}

#[test]
fn it_is_installed_works_and_is_removed() {
    let Some(node) = Node::from_environment() else {
        println!("skipped: KUBERNETES_AGENT_TEST_NODE is not set");
        return;
    };
    let before = node.objects();
    println!("by kustomize");
    let by_kustomize = backend(&node);
    let folder = overlay(&node, &by_kustomize);
    node.prepare();
    node.kubectl(&format!("apply -k {}", folder.display()));
    let pod = works(&node, &by_kustomize);
    upgrade::is_without_a_gap(&node, &by_kustomize, 1);
    upgrade::is_without_a_gap(&node, &by_kustomize, 2);
    permissions(&node, &pod);
    node.kubectl(&format!("delete -k {}", folder.display()));
    gone(&node, &before);
    by_kustomize.assert_no_violations();

    println!("by Helm");
    let by_helm = backend(&node);
    node.prepare();
    let tools = output(&mut Command::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/deploy/tools"
    )));
    let helm = Path::new(tools.trim()).join("helm");
    let install = format!(
        "install ml-agent {}/manifests/chart --namespace {NAMESPACE} --set image.repository={IMAGE} --set image.tag=test \
         --set image.pullPolicy=Never --set cluster.id=my-cluster --set backend.url={} --set backend.wsUrl={} \
         --set collection.interval={INTERVAL} --set networkPolicy.backend.ports={{{}}}",
        env!("CARGO_MANIFEST_DIR"),
        by_helm.url(),
        by_helm.ws_url(),
        by_helm.url().rsplit(':').next().unwrap(),
    );
    let notes = output(node.command(&helm).args(install.split_whitespace()));
    assert!(
        notes.contains("rollout status deployment/ml-agent"),
        "{notes}"
    );
    let pod = works(&node, &by_helm);
    network::holds(&node, &by_helm, &pod);
    permissions(&node, &pod);
    let uninstall = ["uninstall", "ml-agent", "--namespace", NAMESPACE, "--wait"];
    output(node.command(&helm).args(uninstall));
    node.kubectl(&format!("delete namespace {NAMESPACE}"));
    gone(&node, &before);
    by_helm.assert_no_violations();
}
