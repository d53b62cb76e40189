//! A real cluster that `tests/cluster/up` started: its folder, and the scripts beside that one.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kubernetes_agent::rbac::capability::{Access, accesses};
use kubernetes_agent::rbac::{RULES, Rule};
use sandbox::backend::Clock;
use serde_json::{Value, json};

use super::any_cluster::Write;
use super::api::Api;
use super::settles;

/// The agent's account, in a namespace of the same name.
const ACCOUNT: &str = "kubernetes-agent";
/// In the cluster's folder: what was denied to that account, one access a line.
const DENIED: &str = "denied";
/// In the cluster's folder: when the API server was starting anew, from and until, once a line.
const STARTS: &str = "starts";

/// The folder.
pub struct Real {
    folder: PathBuf,
}

/// A request of the agent's account, as the audit log has it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// As RBAC has it.
    pub verb: String,
    /// Empty for the core group.
    pub group: String,
    /// With its subresource after a slash; empty for what is no resource, such as `/version`.
    pub resource: String,
    /// Empty for what is in none.
    pub namespace: String,
    /// Empty for a collection.
    pub name: String,
    /// The path without its query.
    pub path: String,
    /// The status of the answer.
    pub code: u64,
}

impl Real {
    /// The one that KUBERNETES_AGENT_TEST_CLUSTER names.
    pub fn from_environment() -> Option<Self> {
        let folder = std::env::var_os("KUBERNETES_AGENT_TEST_CLUSTER")?;
        Some(Self {
            folder: folder.into(),
        })
    }

    /// Its API, as an administrator.
    pub fn api(&self) -> Api {
        let ca = fs::read_to_string(self.variable("CA_FILE")).expect("the CA is readable");
        Api::new(&self.variable("SERVER"), Some(&ca), &self.variable("TOKEN"))
    }

    /// A line of its `env`.
    fn variable(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder.join("env"))
            .expect("a folder that tests/cluster/up made");
        let prefix = format!("export {name}=");
        let line = text.lines().find_map(|it| it.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("{name} in env"))
            .trim_matches('\'')
            .to_owned()
    }

    /// Makes the agent's account, with the permissions of the table and no others, and a kubeconfig for it.
    pub fn kubeconfig_of_agent(&self, api: &Api, folder: &Path) -> PathBuf {
        let named = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": ACCOUNT}});
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let version = "rbac.authorization.k8s.io/v1";
        api.create("/api/v1/namespaces", &named("v1", "Namespace"));
        let accounts = format!("/api/v1/namespaces/{ACCOUNT}/serviceaccounts");
        api.create(&accounts, &named("v1", "ServiceAccount"));
        api.create(
            &format!("{rbac}/clusterroles"),
            &named(version, "ClusterRole"),
        );
        let mut binding = named(version, "ClusterRoleBinding");
        binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ACCOUNT});
        binding["subjects"] =
            json!([{"kind": "ServiceAccount", "namespace": ACCOUNT, "name": ACCOUNT}]);
        api.create(&format!("{rbac}/clusterrolebindings"), &binding);
        // The cluster may be one that other tests, of another day, have used.
        self.grant(api, &[]);
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600},
        });
        let token =
            api.create(&format!("{accounts}/{ACCOUNT}/token"), &request)["status"]["token"].take();
        assert!(token.is_string(), "a token");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": self.variable("SERVER"), "certificate-authority": self.variable("CA_FILE"),
            }}],
            "users": [{"name": "c", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        let path = folder.join("kubeconfig");
        // JSON is YAML.
        fs::write(&path, config.to_string()).expect("the kubeconfig is written");
        path
    }

    /// Grants the agent's account all of the table but these: verb, group and resource; returns when the API server
    /// judges so. The cluster's folder keeps what was ever denied.
    pub fn grant(&self, api: &Api, denied: &[(&str, &str, &str)]) {
        for (verb, group, resource) in denied {
            self.note(DENIED, &format!("{verb} {group} {resource}"));
        }
        let each = || {
            let rules = RULES.iter();
            rules.flat_map(|rule| accesses(rule).map(move |it| (rule, it)))
        };
        let is_granted = |it: &Access| !denied.contains(&(it.verb, it.group, it.resource));
        let granted = each().filter(|(_, it)| is_granted(it));
        let rules = granted.map(|(rule, it)| {
            let mut granted =
                json!({"apiGroups": [it.group], "resources": [it.resource], "verbs": [it.verb]});
            if rule.own_name {
                granted["resourceNames"] = json!([ACCOUNT]);
            }
            granted
        });
        let rules = json!({"rules": rules.collect::<Vec<_>>()});
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
        api.patch(&format!("{path}/{ACCOUNT}"), &rules);
        // Its authorizer hears of a change by a watch, a little later.
        settles("the API server judges by what was granted", || {
            let mut each = each();
            let wrong = each.find(|(rule, it)| may(api, rule, *it) != is_granted(it));
            wrong.map_or(Ok(()), |(_, it)| Err(it.to_string()))
        });
    }

    /// What was ever denied to the agent's account: verb, group and resource.
    pub fn denied(&self) -> BTreeSet<(String, String, String)> {
        let text = fs::read_to_string(self.folder.join(DENIED)).unwrap_or_default();
        let line = |it: &str| {
            let mut words = it.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()?, words.next()?))
        };
        text.lines().filter_map(line).collect()
    }

    /// Writes a line to a file of the cluster's folder.
    fn note(&self, file: &str, line: &str) {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(file));
        let mut file = file.expect("the cluster's folder can be written to");
        writeln!(file, "{line}").expect("a line is written");
    }

    /// Kills the API server.
    pub fn stop_server(&self) {
        self.script("component", &["kill", "kube-apiserver"]);
    }

    /// Starts the API server again, and waits until it answers.
    pub fn start_server(&self) {
        let clock = Clock::default();
        let from = clock.rfc3339();
        self.script("component", &["start", "kube-apiserver"]);
        self.note(STARTS, &format!("{from} {}", clock.rfc3339()));
    }

    /// What the agent's account has asked for so far, each once; without what a server refused that was starting, and
    /// had not read any role yet.
    pub fn asked(&self) -> BTreeSet<Request> {
        let starts = fs::read_to_string(self.folder.join(STARTS)).unwrap_or_default();
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        // All times are written in the same way, so that they are ordered as text is.
        let is_known = |it: &&Value| {
            let at = text(&it["requestReceivedTimestamp"]);
            let mut starts = starts.lines().filter_map(|it| it.split_once(' '));
            let starting = starts.any(|(from, until)| *from <= *at && *at <= *until);
            it["responseStatus"]["code"] != 403 || !starting
        };
        let request = |it: &Value| {
            let object = &it["objectRef"];
            let uri = text(&it["requestURI"]);
            Some(Request {
                verb: text(&it["verb"]),
                group: text(&object["apiGroup"]),
                resource: plural_of(object),
                namespace: text(&object["namespace"]),
                name: text(&object["name"]),
                path: uri.split('?').next().unwrap_or_default().to_owned(),
                code: it["responseStatus"]["code"].as_u64()?,
            })
        };
        let audit = self.audit();
        audit.iter().filter(is_known).filter_map(request).collect()
    }

    /// Requests of the agent's account, as the audit log counts them; `pods.metrics.k8s.io` is the Metrics API's.
    pub fn requests(&self, verb: &str, resource: &str) -> usize {
        let of = |entry: &Value| {
            let object = &entry["objectRef"];
            let plural = plural_of(object);
            match object["apiGroup"].as_str() {
                Some(group @ "metrics.k8s.io") => format!("{plural}.{group}"),
                _ => plural,
            }
        };
        let counts = |it: &&Value| {
            it["verb"] == verb && it["stage"] == "ResponseComplete" && of(it) == resource
        };
        self.audit().iter().filter(counts).count()
    }

    /// What the agent's account wrote, oldest first.
    pub fn writes(&self) -> Vec<Write> {
        let verbs = ["create", "update", "patch", "delete", "deletecollection"];
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let has_written = |it: &Value| {
            verbs.iter().any(|verb| it["verb"] == *verb)
                && it["responseStatus"]["code"]
                    .as_u64()
                    .is_some_and(|it| it < 300)
                && !text(&it["requestURI"]).contains("dryRun=All")
                && it["objectRef"]["resource"] != "selfsubjectaccessreviews"
        };
        let write = |it: &Value| {
            let object = &it["objectRef"];
            Write {
                verb: text(&it["verb"]),
                resource: plural_of(object),
                namespace: text(&object["namespace"]),
            }
        };
        self.audit()
            .iter()
            .filter(|it| has_written(it))
            .map(write)
            .collect()
    }

    /// The audit log's lines of the agent's account.
    fn audit(&self) -> Vec<Value> {
        let user = user();
        let log =
            fs::read_to_string(self.variable("AUDIT_LOG")).expect("the audit log is readable");
        // Most lines are others'; a line that is being written is none yet.
        let lines = log.lines().filter(|it| it.contains(&user));
        lines
            .filter_map(|it| serde_json::from_str::<Value>(it).ok())
            .filter(|it| it["user"]["username"] == *user)
            .collect()
    }

    /// What kubectl prints when the administrator runs it with these words.
    pub fn kubectl(&self, words: &[&str]) -> String {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.variable("KUBECONFIG"))
            .args(words)
            .output()
            .expect("kubectl is installed");
        let text = |it: Vec<u8>| String::from_utf8_lossy(&it).trim().to_owned();
        let said = text(output.stderr);
        assert!(output.status.success(), "kubectl {words:?}: {said}");
        text(output.stdout)
    }

    /// Runs one of the scripts on it.
    pub fn script(&self, name: &str, arguments: &[&str]) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/cluster")
            .join(name);
        let status = Command::new(&path)
            .args(arguments)
            .arg("--dir")
            .arg(&self.folder)
            .status();
        assert!(status.is_ok_and(|it| it.success()), "{name} {arguments:?}");
    }
}

/// Whether the API server lets the agent's account do this, wherever the rule holds.
fn may(api: &Api, rule: &Rule, it: Access) -> bool {
    let (resource, subresource) = it.resource.split_once('/').unwrap_or((it.resource, ""));
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user(), "resourceAttributes": {
            "namespace": ACCOUNT, "name": if rule.own_name { ACCOUNT } else { "" },
            "verb": it.verb, "group": it.group, "resource": resource, "subresource": subresource,
        }},
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    api.create(path, &review)["status"]["allowed"] == true
}

/// The name of the agent's account, as users are named.
fn user() -> String {
    format!("system:serviceaccount:{ACCOUNT}:{ACCOUNT}")
}

/// The plural name of what an entry of the audit log is about, with its subresource after a slash.
fn plural_of(object: &Value) -> String {
    let plural = object["resource"].as_str().unwrap_or_default();
    match object["subresource"].as_str() {
        Some(part) => format!("{plural}/{part}"),
        None => plural.to_owned(),
    }
}
