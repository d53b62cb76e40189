//! Actions as a test issues them: signed by the backend, carried out by an agent, looked at by the API.

use sandbox::backend::{Backend, Envelope, NewAction, Options};
use serde_json::{Value, json};

use super::agent::{Agent, Setup};
use super::any_cluster::AnyCluster;
use super::eventually;

/// The cluster's name in each envelope: the one that [`Setup`] gives its agents.
pub const CLUSTER_ID: &str = "test-cluster";

/// A cluster, a backend, and an agent between them.
pub struct World {
    /// The cluster.
    pub cluster: AnyCluster,
    /// The backend.
    pub backend: Backend,
    /// The agent.
    pub agent: Agent,
    /// What it was started with.
    pub setup: Setup,
}

impl World {
    /// With an agent as it is by default.
    pub fn start() -> Self {
        Self::with(|setup| setup)
    }

    /// With an agent that is set up so.
    pub fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let cluster = AnyCluster::start();
        let backend = Backend::start(Options::default()).expect("the backend starts");
        let setup = change(Setup::new(cluster.kubeconfig(), &backend));
        let agent = setup.start();
        Self {
            cluster,
            backend,
            agent,
            setup,
        }
    }

    /// Issues an action without waiting for it.
    pub fn issue(&self, new: NewAction) -> Envelope {
        let new = NewAction {
            cluster_id: new.cluster_id.or_else(|| Some(CLUSTER_ID.to_owned())),
            ..new
        };
        self.backend.create_action(&new).expect("an action")
    }

    /// Waits for the result of an action.
    pub fn result(&self, id: &str) -> Value {
        eventually(&format!("the result of {id}"), || {
            self.backend.result(id).is_some()
        });
        self.backend.result(id).expect("a result")
    }

    /// Issues an action and waits for its result.
    pub fn run(&self, action: &str, params: Value) -> Value {
        self.result(&self.issue(NewAction::new(action, params)).id)
    }

    /// The same as a dry run.
    pub fn dry_run(&self, action: &str, params: Value) -> Value {
        let new = NewAction {
            dry_run: Some(true),
            ..NewAction::new(action, params)
        };
        self.result(&self.issue(new).id)
    }

    /// Runs an action that must end with this status.
    #[track_caller]
    pub fn ends(&self, status: &str, action: &str, params: Value) -> Value {
        let result = self.run(action, params);
        assert_eq!(result["status"], status, "{result:#}");
        result
    }

    /// Runs an action that must be rejected for this reason, with this text in the message.
    #[track_caller]
    pub fn refuses(&self, reason: &str, text: &str, action: &str, params: Value) -> Value {
        let result = self.ends("rejected", action, params);
        assert_eq!(result["reason"], reason, "{result:#}");
        let message = result["message"].as_str().unwrap_or_default();
        assert!(message.contains(text), "{text:?} in {message:?}");
        result
    }

    /// Issues actions that must all be rejected for this reason, each with its text in the message.
    #[track_caller]
    pub fn refuses_all(&self, reason: &str, cases: Vec<(&str, &str, Value)>) {
        let issue = |(text, action, params)| (text, self.issue(NewAction::new(action, params)).id);
        for (text, id) in cases.into_iter().map(issue).collect::<Vec<_>>() {
            let result = self.result(&id);
            let message = result["message"].as_str().unwrap_or_default();
            let is_so = result["status"] == "rejected" && result["reason"] == reason;
            assert!(
                is_so && message.contains(text),
                "{reason}, {text:?}: {result:#}"
            );
        }
    }

    /// A deployment of the test's namespace.
    pub fn deployment(&self, name: &str) -> Value {
        self.cluster.api().get(&self.path_of(name))
    }

    /// The path of a deployment of the test's namespace.
    pub fn path_of(&self, name: &str) -> String {
        format!(
            "{}/{name}",
            self.cluster.path("/apis/apps/v1", "deployments")
        )
    }

    /// Params for an object of the test's namespace, with more of them.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "written in place at each call"
    )]
    pub fn params(&self, name: &str, more: Value) -> Value {
        let mut params = json!({"namespace": self.cluster.namespace(), "name": name});
        for (key, value) in more.as_object().into_iter().flatten() {
            params[key] = value.clone();
        }
        params
    }

    /// What the agent wrote to the test's namespace, events aside, each as `verb resource`.
    pub fn writes(&self) -> Vec<String> {
        let writes = self.cluster.writes().into_iter();
        let ours = writes.filter(|it| it.namespace == self.cluster.namespace());
        ours.map(|it| format!("{} {}", it.verb, it.resource))
            .filter(|it| it != "create events")
            .collect()
    }

    /// The events in a namespace that name an action in their message.
    pub fn events(&self, namespace: &str, id: &str) -> Vec<Value> {
        let mut events = self
            .cluster
            .api()
            .list(&format!("/api/v1/namespaces/{namespace}/events"));
        let words = |it: &Value| it["message"].as_str().unwrap_or_default().to_owned();
        events.retain(|it| words(it).split([' ', ':']).any(|word| word == id));
        events
    }

    /// Stops the agent, which has kept to the protocol.
    pub fn end(mut self) {
        self.agent.stop();
        self.backend.assert_no_violations();
    }
}
