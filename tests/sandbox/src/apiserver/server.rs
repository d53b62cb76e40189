//! The server as tests hold it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::access::Access;
use super::controllers::{ControllerOptions, Controllers};
use super::faults::Faults;
use super::metrics::Metrics;
use super::object::str_at;
use super::random::now;
use super::resources::{RESOURCES, Resource};
use super::serve::Front;
use super::store::Store;
use super::{Api, Audit, Denial, Fault, MetricsMode, Options, Population, churn, generate};
use crate::http::{Plain, Server, Traffic, Wrap};
use crate::tls::Authority;

/// A running simulated API server. Dropping it stops it.
///
/// Resources are named by their plural, as in `pods` or `deployments`; the Metrics API's are `pods.metrics.k8s.io` and
/// `nodes.metrics.k8s.io`. What cannot be, such as a name nobody serves, panics: the callers are tests.
pub struct ApiServer {
    pub(super) api: Arc<Api>,
    server: Server,
    authority: Option<Authority>,
}

impl ApiServer {
    /// Starts a server with the four namespaces that every cluster has.
    pub fn start(options: Options) -> io::Result<ApiServer> {
        let api = Arc::new(Api {
            minor: options.minor(),
            store: Store::new(options.history),
            access: Access::new(options.token.clone()),
            faults: Faults::default(),
            audit: Audit::new(options.audit_size, options.mutation_log.as_deref())?,
            metrics: Metrics::new(options.metrics_resolution),
            watch_epoch: AtomicU64::new(0),
            control: OnceLock::new(),
            controllers: Mutex::default(),
            options,
        });
        let authority = api.options.tls.then(Authority::new);
        let wrap: Box<dyn Wrap> = match &authority {
            Some(authority) => Box::new(authority.acceptor(&["127.0.0.1", "localhost"])),
            None => Box::new(Plain),
        };
        let server = Server::start_wrapped(&*api.options.address, wrap, Front(Arc::clone(&api)))?;
        let _ = api.control.set(server.control());
        let server = ApiServer {
            api,
            server,
            authority,
        };
        for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            server.api.ensure_namespace(namespace);
        }
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`, or `https:` if it speaks TLS.
    pub fn url(&self) -> String {
        let secure = if self.authority.is_some() { "s" } else { "" };
        format!("http{secure}://{}", self.addr())
    }

    /// The certificate of its CA, if it speaks TLS.
    pub fn ca_pem(&self) -> Option<String> {
        self.authority.as_ref().map(Authority::pem)
    }

    /// Writes what a pod finds of its service account: `token`, `namespace`, and `ca.crt` if it speaks TLS.
    pub fn service_account(&self, directory: &Path) -> io::Result<()> {
        fs::write(directory.join("token"), self.token().unwrap_or_default())?;
        fs::write(directory.join("namespace"), "kubernetes-agent")?;
        self.ca_pem()
            .map_or(Ok(()), |pem| fs::write(directory.join("ca.crt"), pem))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The token that it demands.
    pub fn token(&self) -> Option<String> {
        self.api.access.token()
    }

    /// Writes a kubeconfig for it into a directory, the token in it.
    pub fn kubeconfig(&self, directory: &Path) -> io::Result<PathBuf> {
        let token = self.token().unwrap_or_default();
        self.write_kubeconfig(directory, &json!({"token": token}))
    }

    /// The same, with the token in a file beside it that is called `token` and may be replaced.
    pub fn kubeconfig_with_token_file(&self, directory: &Path) -> io::Result<PathBuf> {
        let path = directory.join("token");
        fs::write(&path, self.token().unwrap_or_default())?;
        self.write_kubeconfig(directory, &json!({"tokenFile": path}))
    }

    fn write_kubeconfig(&self, directory: &Path, user: &Value) -> io::Result<PathBuf> {
        let mut cluster = json!({"server": self.url()});
        if let Some(pem) = self.ca_pem() {
            cluster["certificate-authority-data"] = STANDARD.encode(pem).into();
        }
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "sandbox",
            "clusters": [{"name": "sandbox", "cluster": cluster}],
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox"}}],
            "users": [{"name": "sandbox", "user": user}],
        });
        let path = directory.join("kubeconfig");
        // JSON is YAML.
        fs::write(&path, format!("{config:#}\n"))?;
        Ok(path)
    }

    /// Stores an object as it is, status included, and replaces what is there under its name. It gets the uid, the
    /// times and the namespace that it lacks. Returns it as stored.
    pub fn create(&self, object: Value) -> Value {
        self.api.put(object)
    }

    /// Changes an object by a merge patch, status and all, whatever its version. Returns it as stored; none if it does
    /// not exist.
    pub fn patch(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Option<Value> {
        let resource = find(resource);
        let key = resource.key(namespace, name);
        self.api.store.write(|state| {
            let mut object = state.get(resource, &key)?.value(resource);
            super::patch::merge(&mut object, patch);
            Some(state.put(resource, object).value(resource))
        })
    }

    /// Changes so many pods and nodes at random, as goes on in every cluster. Returns how many.
    pub fn churn(&self, pods: usize, nodes: usize) -> usize {
        churn::churn(&self.api.store, pods, nodes)
    }

    /// Adds so many nodes (`node-1` and on) and pods, with the workloads that own them.
    pub fn populate(&self, nodes: usize, pods: usize, population: &Population) {
        self.api
            .store
            .write(|state| generate::populate(state, nodes, pods, population));
    }

    /// Starts the controllers, or starts them anew with other options.
    pub fn controllers(&self, options: ControllerOptions) -> io::Result<()> {
        self.api.run_controllers(Some(options))
    }

    /// Stops the controllers: pods neither come nor go by themselves any more.
    pub fn stop_controllers(&self) {
        // Stopping does not fail.
        let _ = self.api.run_controllers(None);
    }

    /// An object.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let resource = find(resource);
        let state = self.api.store.read();
        state
            .get(resource, &resource.key(namespace, name))
            .map(|object| object.value(resource))
    }

    /// The objects of a namespace, or of all namespaces if it is empty.
    pub fn list(&self, resource: &str, namespace: &str) -> Vec<Value> {
        let resource = find(resource);
        let objects: Vec<_> = self
            .api
            .store
            .read()
            .list(resource, namespace)
            .cloned()
            .collect();
        objects
            .iter()
            .map(|object| object.value(resource))
            .collect()
    }

    /// How many objects there are.
    pub fn count(&self, resource: &str) -> usize {
        self.api.store.read().count(find(resource))
    }

    /// Removes an object at once, whatever its grace and finalizers.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let resource = find(resource);
        let key = resource.key(namespace, name);
        self.api
            .store
            .write(|state| state.remove(resource, &key))
            .map(|object| object.value(resource))
    }

    /// The newest version of anything.
    pub fn revision(&self) -> u64 {
        self.api.store.read().revision
    }

    /// Adds a failure.
    pub fn set_fault(&self, fault: Fault) {
        self.api.faults.add(fault);
    }

    /// Ends all failures.
    pub fn clear_faults(&self) {
        self.api.faults.clear();
    }

    /// Denies something, as RBAC would.
    pub fn deny(&self, verb: &str, resource: &str) {
        self.api.access.deny(Denial {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            ..Denial::default()
        });
    }

    /// Denies nothing any more.
    pub fn allow_all(&self) {
        self.api.access.allow_all();
    }

    /// Accepts this token alone from now on.
    pub fn rotate_token(&self, token: &str) {
        self.api.access.set_token(Some(token.to_owned()));
    }

    /// Forgets all changes so far, as etcd does every five minutes: older watches and continue tokens get 410.
    pub fn compact(&self) {
        self.api.store.write(super::store::State::compact);
    }

    /// Breaks off all watches.
    pub fn drop_watches(&self) {
        self.api.drop_watches();
    }

    /// Stops listening, and closes all connections.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Listens again at the same address, with the same objects.
    pub fn restart(&self) -> io::Result<()> {
        self.server.restart()
    }

    /// What was asked of it.
    pub fn audit(&self) -> &Audit {
        &self.api.audit
    }

    /// Bytes that went over its connections.
    pub fn traffic(&self) -> &Traffic {
        self.server.traffic()
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.server.open_connections()
    }

    /// Makes the Metrics API behave so.
    pub fn set_metrics(&self, mode: MetricsMode) {
        self.api.metrics.set_mode(mode);
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop_controllers();
    }
}

impl Api {
    /// Replaces the controllers that run, or stops them.
    pub(super) fn run_controllers(
        self: &Arc<Api>,
        options: Option<ControllerOptions>,
    ) -> io::Result<()> {
        let mut running = self
            .controllers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The old ones first: two of them would each create the pods that are missing.
        *running = None;
        *running = options
            .map(|options| Controllers::start(self, options))
            .transpose()?;
        Ok(())
    }

    /// Stores an object as it is, with the uid, the time and the namespace that it lacks.
    pub(super) fn put(&self, mut object: Value) -> Value {
        let (version, kind) = (str_at(&object, "apiVersion"), str_at(&object, "kind"));
        let resource = Resource::of_kind(version, kind)
            .unwrap_or_else(|| panic!("no resource for {version} {kind}"));
        if resource.namespaced && str_at(&object["metadata"], "namespace").is_empty() {
            object["metadata"]["namespace"] = "default".into();
        }
        if resource.namespaced {
            self.ensure_namespace(str_at(&object["metadata"], "namespace"));
        }
        let stored = self.store.write(|state| {
            let uid = state.random.uuid();
            let metadata = &mut object["metadata"];
            for (member, value) in [("uid", uid), ("creationTimestamp", now())] {
                if metadata[member].is_null() {
                    metadata[member] = value.into();
                }
            }
            state.put(resource, object)
        });
        stored.value(resource)
    }

    fn ensure_namespace(&self, name: &str) {
        let exists = self
            .store
            .read()
            .get(Resource::named("", "namespaces"), name)
            .is_some();
        if !exists {
            self.put(json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            }));
        }
    }

    /// Breaks off all watches.
    pub(super) fn drop_watches(&self) {
        self.watch_epoch.fetch_add(1, Ordering::SeqCst);
        self.store.wake();
    }
}

/// The resource of a name as tests use it.
fn find(name: &str) -> &'static Resource {
    let found = RESOURCES.iter().find(|it| {
        if it.is_metrics() {
            it.qualified() == name
        } else {
            it.plural == name
        }
    });
    found.unwrap_or_else(|| panic!("no resource {name:?}"))
}
