//! A cluster for tests that must hold on the simulated and on a real one alike: real where
//! KUBERNETES_AGENT_TEST_CLUSTER names the folder of one that was started as `tests/cluster/suite` does.
//!
//! What a test does to it and asks of it goes through the Kubernetes API; the agent has an account of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use sandbox::apiserver::{ApiServer, ControllerOptions, MetricsMode, Options, Population};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::http::Method;

use super::api::Api;
use super::eventually;
use super::real::Real;

/// How many this process started.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// The cluster, with a namespace of this test's own.
pub struct AnyCluster {
    kind: Kind,
    api: Api,
    kubeconfig: PathBuf,
    namespace: String,
    _folder: TempDir,
}

/// A request that changed something.
#[derive(Debug)]
pub struct Write {
    /// create, update, patch or delete.
    pub verb: String,
    /// With its subresource: `deployments/scale`.
    pub resource: String,
    /// Empty for what is in none.
    pub namespace: String,
}

enum Kind {
    Simulated(Box<ApiServer>),
    Real(Real),
}

impl AnyCluster {
    /// The real one, or a simulated one of three nodes with its controllers at work.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (kind, api) = match Real::from_environment() {
            Some(real) => {
                let api = real.api();
                (Kind::Real(real), api)
            }
            None => {
                let server = simulated();
                let api = Api::new(&server.url(), None, &server.token().unwrap_or_default());
                (Kind::Simulated(Box::new(server)), api)
            }
        };
        let kubeconfig = match &kind {
            Kind::Real(real) => real.kubeconfig_of_agent(&api, folder.path()),
            Kind::Simulated(server) => server.kubeconfig(folder.path()).expect("a kubeconfig"),
        };
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("test-{}-{number}", std::process::id());
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        api.create("/api/v1/namespaces", &object);
        if matches!(kind, Kind::Real(_)) {
            // No pod is admitted before the controller of accounts was there.
            let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
            eventually("the namespace has its account for pods", || {
                let answer = api.try_request(&Method::GET, &path, None);
                answer.is_some_and(|(code, _)| code == 200)
            });
        }
        Self {
            kind,
            api,
            kubeconfig,
            namespace,
            _folder: folder,
        }
    }

    /// True of the real one.
    pub fn is_real(&self) -> bool {
        matches!(self.kind, Kind::Real(_))
    }

    /// For the agent.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The API, as an administrator.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The test's own namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The path of a collection of the test's namespace: `/api/v1` and `pods`, say.
    pub fn path(&self, root: &str, plural: &str) -> String {
        format!("{root}/namespaces/{}/{plural}", self.namespace)
    }

    /// The pods of the test's namespace.
    pub fn pods(&self) -> Vec<Value> {
        self.api.list(&self.path("/api/v1", "pods"))
    }

    /// Creates a deployment and waits until its pods run.
    pub fn deploy(&self, name: &str, replicas: usize) {
        let running = self.running();
        self.create_deployment(name, replicas, &json!({}));
        eventually(&format!("{replicas} more pods run"), || {
            self.running() == running + replicas
        });
    }

    /// Creates a deployment; `spec` is merged into its own.
    pub fn create_deployment(&self, name: &str, replicas: usize, spec: &Value) {
        let labels = json!({"app": name});
        let container = json!({
            "name": "main", "image": "registry.invalid/app:1",
            "resources": {
                "requests": {"cpu": "12m", "memory": "20Mi"},
                "limits": {"cpu": "1500m", "memory": "100M"},
            },
        });
        let plain = json!({"name": "sidecar", "image": "registry.invalid/app:1"});
        let mut deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container, plain]}},
            },
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            deployment["spec"][key] = value.clone();
        }
        self.api
            .create(&self.path("/apis/apps/v1", "deployments"), &deployment);
    }

    /// Scales a deployment and waits until so many more of the namespace's pods run, or fewer.
    pub fn scale(&self, name: &str, replicas: usize, pods: usize) {
        let path = format!("{}/{name}/scale", self.path("/apis/apps/v1", "deployments"));
        self.api
            .patch(&path, &json!({"spec": {"replicas": replicas}}));
        eventually(&format!("{pods} pods"), || {
            self.running() == pods && self.pods().len() == pods
        });
    }

    fn running(&self) -> usize {
        let ready = |it: &Value| {
            let conditions = it["status"]["conditions"].as_array();
            conditions.is_some_and(|it| {
                it.iter()
                    .any(|it| it["type"] == "Ready" && it["status"] == "True")
            })
        };
        self.pods().iter().filter(|it| ready(it)).count()
    }

    /// How many requests of this verb and resource the agent made, as the server's audit says.
    pub fn requests(&self, verb: &str, resource: &str) -> usize {
        match &self.kind {
            Kind::Real(real) => real.requests(verb, resource),
            Kind::Simulated(server) => {
                let entries = server.audit().entries();
                let by_agent = entries
                    .iter()
                    .filter(|it| it.user_agent.starts_with("kubernetes-agent/"));
                by_agent
                    .filter(|it| it.verb == verb && it.resource == resource)
                    .count()
            }
        }
    }

    /// What the agent wrote, oldest first, as the server's audit says; what only tried to, or was a dry run, is left out.
    pub fn writes(&self) -> Vec<Write> {
        match &self.kind {
            Kind::Real(real) => real.writes(),
            Kind::Simulated(server) => {
                let writes = server.audit().writes().into_iter();
                let by_agent = writes.filter(|it| it.user_agent.starts_with("kubernetes-agent/"));
                by_agent
                    .map(|it| Write {
                        verb: it.verb,
                        resource: it.resource,
                        namespace: it.namespace,
                    })
                    .collect()
            }
        }
    }

    /// What kubectl prints; none of a simulated cluster.
    pub fn kubectl(&self, words: &[&str]) -> Option<String> {
        match &self.kind {
            Kind::Real(real) => Some(real.kubectl(words)),
            Kind::Simulated(_) => None,
        }
    }

    /// Takes permissions from the agent: verb, group and resource, with its subresource after a slash.
    pub fn deny(&self, denied: &[(&str, &str, &str)]) {
        match &self.kind {
            Kind::Real(real) => real.grant(&self.api, denied),
            Kind::Simulated(server) => {
                server.allow_all();
                for (verb, group, resource) in denied {
                    let dot = if *group == "metrics.k8s.io" {
                        ".metrics.k8s.io"
                    } else {
                        ""
                    };
                    server.deny(verb, &format!("{resource}{dot}"));
                }
            }
        }
    }

    /// Gives the agent back all that was taken.
    pub fn allow_all(&self) {
        self.deny(&[]);
    }

    /// The simulated server, for what only the simulation can do; none of a real one.
    pub fn simulated(&self) -> Option<&ApiServer> {
        match &self.kind {
            Kind::Real(_) => None,
            Kind::Simulated(server) => Some(server),
        }
    }

    /// The real one, where it is.
    pub(super) fn real(&self) -> Option<&Real> {
        match &self.kind {
            Kind::Real(real) => Some(real),
            Kind::Simulated(_) => None,
        }
    }

    /// Takes the pods out of a namespace that is being deleted, in which nothing makes new ones, without waiting for
    /// their kubelets. When many pods of a node end at once a kubelet forgets to remove the containers of some (more
    /// than 50 requests for that cannot wait), and confirms that those pods are gone only after its next garbage
    /// collections, one or two minutes later.
    fn drop_pods(&self) {
        let path = self.path("/api/v1", "pods");
        let Some((200, list)) = self.api.try_request(&Method::GET, &path, None) else {
            return;
        };
        let at_once = json!({"gracePeriodSeconds": 0});
        let unheld = json!({"metadata": {"finalizers": null}});
        for pod in list["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("{path}/{name}");
            if pod["metadata"]["finalizers"].is_array() {
                let _ = self.api.try_request(&Method::PATCH, &path, Some(&unheld));
            }
            let _ = self.api.try_request(&Method::DELETE, &path, Some(&at_once));
        }
    }

    /// The API server goes down without a word; connections break.
    pub fn stop_server(&self) {
        match &self.kind {
            Kind::Real(real) => real.stop_server(),
            Kind::Simulated(server) => server.stop(),
        }
    }

    /// The API server comes back.
    pub fn start_server(&self) {
        match &self.kind {
            Kind::Real(real) => real.start_server(),
            Kind::Simulated(server) => server.restart().expect("it listens again"),
        }
    }

    /// Forgets the history of changes: older watches and continued lists are answered with 410.
    pub fn compact(&self) {
        match &self.kind {
            Kind::Real(real) => real.script("compact", &[]),
            Kind::Simulated(server) => server.compact(),
        }
    }
}

impl Drop for AnyCluster {
    fn drop(&mut self) {
        // The next test shall not meet it; that it could not be deleted is no failure of this one.
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let _ = self.api.try_request(&Method::DELETE, &path, None);
        if self.is_real() {
            self.drop_pods();
        }
    }
}

fn simulated() -> ApiServer {
    let server = ApiServer::start(Options::default()).expect("the simulated API server starts");
    server.populate(3, 0, &Population::default());
    server
        .controllers(ControllerOptions::default())
        .expect("the controllers start");
    // As on the real cluster, usage is what the test writes.
    server.set_metrics(MetricsMode {
        automatic: false,
        ..MetricsMode::default()
    });
    server
}
