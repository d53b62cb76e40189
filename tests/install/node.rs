//! A cluster with a real node, spoken to by kubectl.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use sandbox::backend::{Backend, Options};
use serde_json::Value;

use super::common::settles;
use super::condition;

/// Where the agent is installed.
pub(crate) const NAMESPACE: &str = "ml-optimizer";
/// curl as a script runs it; the URL follows.
pub(crate) const CURL: [&str; 6] = [
    "curl",
    "--silent",
    "--show-error",
    "--fail",
    "--max-time",
    "10",
];
const USER: &str = "system:serviceaccount:ml-optimizer:ml-agent";

/// The cluster with the real node.
pub(crate) struct Node {
    pub(crate) folder: PathBuf,
    pub(crate) work: tempfile::TempDir,
}

impl Node {
    /// The one that KUBERNETES_AGENT_TEST_NODE names.
    pub(crate) fn from_environment() -> Option<Self> {
        let folder = std::env::var_os("KUBERNETES_AGENT_TEST_NODE")?;
        let work = tempfile::tempdir().unwrap();
        Some(Self {
            folder: folder.into(),
            work,
        })
    }

    pub(crate) fn variable(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder.join("env")).unwrap();
        let prefix = format!("export {name}=");
        let line = text.lines().find_map(|it| it.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("{name} in env"))
            .trim_matches('\'')
            .to_owned()
    }

    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.folder.join("admin.kubeconfig"));
        command
    }

    pub(crate) fn kubectl(&self, line: &str) -> String {
        let mut command = self.command("kubectl");
        output(command.args(line.split_whitespace()))
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get {line} -o json"))).unwrap()
    }

    /// The names of all objects but those that come and go by themselves.
    pub(crate) fn objects(&self) -> BTreeSet<String> {
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
    pub(crate) fn prepare(&self) {
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

    /// The agent's pods.
    pub(crate) fn pods(&self) -> Vec<Value> {
        let list = self.json(&format!("pods -n {NAMESPACE} -l app=ml-agent"));
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until there are so many pods of the agent, all of them ready.
    pub(crate) fn are_ready(&self, count: usize) {
        settles(&format!("{count} ready"), || {
            let pods = self.pods();
            let waits = pods.iter().find(|it| condition(it, "Ready").is_none());
            match waits {
                None if pods.len() == count => Ok(()),
                None => Err(format!("{} pods", pods.len())),
                Some(pod) => Err(pod["status"].to_string()),
            }
        });
    }

    /// What the agents patched, whichever pod they ran in: plural and name, one for each patch that was taken.
    pub(crate) fn patches(&self) -> Vec<(String, String)> {
        let log = fs::read_to_string(self.variable("AUDIT_LOG")).unwrap();
        let lines = log.lines().filter(|it| it.contains(USER));
        let entries = lines.filter_map(|it| serde_json::from_str::<Value>(it).ok());
        let taken = entries.filter(|it| {
            let code = it["responseStatus"]["code"].as_u64().unwrap_or(0);
            it["user"]["username"] == USER
                && it["verb"] == "patch"
                && it["stage"] == "ResponseComplete"
                && code < 300
        });
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        taken
            .map(|it| {
                let object = &it["objectRef"];
                (text(&object["resource"]), text(&object["name"]))
            })
            .collect()
    }

    /// What the agent in this pod asked of the API server: group, resource and verb. None was refused.
    pub(crate) fn requests(&self, pod: &str) -> BTreeSet<(String, String, String)> {
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
            // What one may do oneself every account may ask.
            .filter(|it| it["objectRef"]["resource"] != "selfsubjectaccessreviews")
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

/// What it prints; it must succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A port of this machine that kubectl forwards to the service. It ends with this.
pub(crate) struct Forward {
    kubectl: Child,
    address: String,
    /// kubectl ends when nobody listens to what it says.
    _said: BufReader<ChildStdout>,
}

impl Forward {
    pub(crate) fn start(node: &Node) -> Self {
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

    /// What one of the agent's endpoints answers.
    pub(crate) fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        output(Command::new(CURL[0]).args(&CURL[1..]).arg(url))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

/// A backend that pods can reach.
pub(crate) fn backend(node: &Node) -> Backend {
    let gateway = node.variable("NODE_GATEWAY").parse().unwrap();
    let options = Options {
        listen: SocketAddr::new(gateway, 0),
        ..Options::default()
    };
    Backend::start(options).expect("the backend starts")
}
