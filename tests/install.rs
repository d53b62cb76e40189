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

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use common::{eventually, settles};
use kubernetes_agent::actions::action::ActionKind;
use kubernetes_agent::rbac::{self, Need, Rule};
use sandbox::backend::{Backend, Kind, Options};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const NAMESPACE: &str = "ml-optimizer";
const USER: &str = "system:serviceaccount:ml-optimizer:ml-agent";
const IMAGE: &str = "localhost/kubernetes-agent";
/// From the container's start to Ready.
const READY: time::Duration = time::Duration::seconds(5);
/// The working set, as the kubelet measures it.
const MEMORY: u64 = 16 * 1024 * 1024;

/// The cluster with the real node.
struct Node {
    folder: PathBuf,
    work: tempfile::TempDir,
}

impl Node {
    fn from_environment() -> Option<Self> {
        let folder = std::env::var_os("KUBERNETES_AGENT_TEST_NODE")?;
        let work = tempfile::tempdir().unwrap();
        Some(Self {
            folder: folder.into(),
            work,
        })
    }

    fn variable(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder.join("env")).unwrap();
        let prefix = format!("export {name}=");
        let line = text.lines().find_map(|it| it.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("{name} in env"))
            .trim_matches('\'')
            .to_owned()
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.folder.join("admin.kubeconfig"));
        command
    }

    fn kubectl(&self, line: &str) -> String {
        let mut command = self.command("kubectl");
        output(command.args(line.split_whitespace()))
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get {line} -o json"))).unwrap()
    }

    /// The names of all objects but those that come and go by themselves.
    fn objects(&self) -> BTreeSet<String> {
        let kinds = self.kubectl("api-resources --verbs=list -o name");
        let kinds: Vec<_> = kinds
            .lines()
            .filter(|it| {
                !matches!(
                    *it,
                    "events" | "events.events.k8s.io" | "leases.coordination.k8s.io"
                )
            })
            .collect();
        let line = format!("get {} -A -o name --ignore-not-found", kinds.join(","));
        self.kubectl(&line).lines().map(str::to_owned).collect()
    }

    /// Makes the namespace and the secret, as the README says.
    fn prepare(&self) {
        let Options {
            api_key,
            secret_key,
            ..
        } = Options::default();
        self.kubectl(&format!("create namespace {NAMESPACE}"));
        self.kubectl(&format!(
            "-n {NAMESPACE} create secret generic agent-credentials --from-literal=api-key={api_key} --from-literal=secret-key={secret_key}"
        ));
    }

    fn pod(&self) -> Option<Value> {
        let list = self.json(&format!("pods -n {NAMESPACE} -l app=ml-agent"));
        list["items"].as_array()?.first().cloned()
    }

    /// What the agent in this pod asked of the API server: group, resource and verb. None was refused.
    fn requests(&self, pod: &str) -> BTreeSet<(String, String, String)> {
        let log = fs::read_to_string(self.variable("AUDIT_LOG")).unwrap();
        let lines = log
            .lines()
            .filter(|it| it.contains(USER) && it.contains(pod));
        let entries = lines.filter_map(|it| serde_json::from_str::<Value>(it).ok());
        let of_agent = entries.filter(|it| {
            let token = &it["user"]["extra"]["authentication.kubernetes.io/pod-name"];
            it["user"]["username"] == USER && token[0] == pod
        });
        of_agent
            .filter(|it| it["objectRef"]["resource"].is_string())
            .map(|it| {
                assert_ne!(it["responseStatus"]["code"], 403, "{it}");
                let object = &it["objectRef"];
                let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
                let plural = text(&object["resource"]);
                let resource = match object["subresource"].as_str() {
                    Some(sub) => format!("{plural}/{sub}"),
                    None => plural,
                };
                (text(&object["apiGroup"]), resource, text(&it["verb"]))
            })
            .collect()
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

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

/// A port of this machine that kubectl forwards to the service. It ends with this.
struct Forward {
    kubectl: Child,
    address: String,
    /// kubectl ends when nobody listens to what it says.
    _said: BufReader<ChildStdout>,
}

impl Forward {
    fn start(node: &Node) -> Self {
        let mut kubectl = node
            .command("kubectl")
            .args(["-n", NAMESPACE, "port-forward", "service/ml-agent", ":8080"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(kubectl.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        // "Forwarding from 127.0.0.1:40001 -> 8080"
        let address = line
            .split_whitespace()
            .nth(2)
            .unwrap_or_default()
            .to_owned();
        Self {
            kubectl,
            address,
            _said: said,
        }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

/// What must hold of an installation, whichever way it came.
fn works(node: &Node, backend: &Backend) {
    settles("the pod is ready", || {
        let pod = node.pod().ok_or("no pod")?;
        condition(&pod, "Ready")
            .map(drop)
            .ok_or_else(|| pod["status"].to_string())
    });
    let pod = node.pod().unwrap();
    let status = &pod["status"]["containerStatuses"][0];
    let started = instant(&status["state"]["running"]["startedAt"]);
    let took = condition(&pod, "Ready").unwrap() - started;
    println!("ready {took} after the start of the container");
    assert!(took <= READY, "ready after {took}");
    assert_eq!(status["restartCount"], 0);

    let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
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
    confined(&name);
    memory(node, &name);

    permissions(node, &name);
}

/// Everything that it asked for was granted, and is in the table; everything that observing is granted was asked for.
fn permissions(node: &Node, pod: &str) {
    // Some servers write a watch down when it ends.
    node.kubectl(&format!(
        "-n {NAMESPACE} scale deployment ml-agent --replicas=0"
    ));
    eventually("the agent has ended", || node.pod().is_none());
    let requests = node.requests(pod);
    let all: BTreeSet<_> = ActionKind::ALL.into();
    let may = granted(rbac::rules(&all, false));
    let beyond: Vec<_> = requests.difference(&may).collect();
    assert!(
        beyond.is_empty(),
        "asked for what the table does not hold: {beyond:?}"
    );
    let base = granted(rbac::RULES.iter().filter(|it| it.needs == [Need::Base]));
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
        let curl = [
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "10",
        ];
        let namespace = format!(
            "--net={}",
            node.folder.join("node/namespaces/net").display()
        );
        // kube-proxy takes a moment to learn of a pod that is ready.
        let url = format!("http://{address}:8080{path}");
        eventually(&url, || {
            let mut inside = Command::new("nsenter");
            inside.arg(&namespace).args(curl).arg(&url);
            let answer = inside.output().unwrap().stdout;
            String::from_utf8_lossy(&answer).contains(expected)
        });
        let outside = output(
            Command::new(curl[0])
                .args(&curl[1..])
                .arg(format!("http://{}{path}", forward.address)),
        );
        assert!(
            outside.contains(expected),
            "{path} by port-forward: {outside}"
        );
    }
}

/// Not root, no capability, no way to more, system calls filtered, nothing to write to but its state.
fn confined(pod: &str) {
    let host = |folder: &Path| {
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&format!("POD_NAME={pod}\0"))
    };
    let mut processes = fs::read_dir("/proc").unwrap().flatten().map(|it| it.path());
    let process = processes.find(|it| host(it)).expect("the agent's process");
    let status = fs::read_to_string(process.join("status")).unwrap();
    for line in [
        "Uid:\t65532\t65532\t65532\t65532",
        "Gid:\t65532\t65532\t65532\t65532",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line:?} in:\n{status}");
    }
    let mounts = fs::read_to_string(process.join("mountinfo")).unwrap();
    let root = mounts.lines().find(|it| it.split(' ').nth(4) == Some("/"));
    let options = root.and_then(|it| it.split(' ').nth(5)).unwrap_or_default();
    assert!(options.split(',').any(|it| it == "ro"), "{root:?}");
    // Secrets stand in files alone.
    let environment = fs::read(process.join("environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains(&Options::default().secret_key));
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
fn condition(pod: &Value, name: &str) -> Option<OffsetDateTime> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|it| it["type"] == name && it["status"] == "True")?;
    Some(instant(&found["lastTransitionTime"]))
}

fn instant(text: &Value) -> OffsetDateTime {
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
            - {{name: COLLECTION_INTERVAL, value: \"2\"}}
",
        backend.url(),
        backend.ws_url(),
    );
    fs::write(folder.join("kustomization.yaml"), text).unwrap();
    folder
}

fn backend(node: &Node) -> Backend {
    let gateway = node.variable("NODE_GATEWAY").parse().unwrap();
    let options = Options {
        listen: SocketAddr::new(gateway, 0),
        ..Options::default()
    };
    Backend::start(options).expect("the backend starts")
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
    works(&node, &by_kustomize);
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
         --set collection.interval=2",
        env!("CARGO_MANIFEST_DIR"),
        by_helm.url(),
        by_helm.ws_url(),
    );
    let notes = output(node.command(&helm).args(install.split_whitespace()));
    assert!(
        notes.contains("rollout status deployment/ml-agent"),
        "{notes}"
    );
    works(&node, &by_helm);
    let uninstall = ["uninstall", "ml-agent", "--namespace", NAMESPACE, "--wait"];
    output(node.command(&helm).args(uninstall));
    node.kubectl(&format!("delete namespace {NAMESPACE}"));
    gone(&node, &before);
    by_helm.assert_no_violations();
}
