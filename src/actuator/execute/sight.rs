//! What an action watches while it moves pods: the pods, their budgets, the node. Each in a thread of its own, over
//! connections of its own, all of which end with the [`Sight`].

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Arc;
use std::thread::{Builder, Scope};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Deserialize;

use super::budgets::object::BudgetObject;
use super::budgets::{Budget, Key};
use super::eviction::Version;
use super::pods::Pod;
use super::pods::object::PodObject;
use crate::actuator::ended::Ended;
use crate::kube::objects::Node;
use crate::kube::reflector::{self, Mirror, Observer};
use crate::kube::{self, Client, Collection, Resource};
use crate::thread::STACK;
use crate::thread::stop::{self, Guard};

/// News that may wait; a watch that is ahead waits itself.
const CAPACITY: usize = 256;

/// Something was seen.
pub enum News {
    /// A pod is so.
    Pod(Box<Pod>),
    /// The pod of this uid is gone.
    PodGone(String),
    /// These are all pods.
    Pods(HashSet<String>),
    /// A budget is so.
    Budget(Box<Budget>),
    /// A budget is gone.
    BudgetGone(Key),
    /// These are all budgets.
    Budgets(HashSet<Key>),
    /// The node is so, or gone.
    Node(Option<Box<Node>>),
    /// A list or watch of these fails, and is tried again; how the action would end of it.
    Trouble(Watched, Box<Ended>),
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// The pods.
    Pods,
    /// Their budgets.
    Budgets,
    /// The node.
    Node,
}

impl Watched {
    fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Budgets => "budgets",
            Self::Node => "node",
        }
    }
}

/// The watches of one action.
pub struct Sight<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    client: Arc<Client>,
    guard: Option<Guard>,
    out: Sender<News>,
    /// What was seen.
    pub news: Receiver<News>,
}

impl<'scope, 'env> Sight<'scope, 'env> {
    /// Nothing is watched yet.
    pub fn new(scope: &'scope Scope<'scope, 'env>, kube: &Client) -> Self {
        let (guard, stop) = stop::pair();
        let (out, news) = bounded(CAPACITY);
        Self {
            scope,
            client: Arc::new(kube.apart(stop)),
            guard: Some(guard),
            out,
            news,
        }
    }

    /// Watches the pods of which `fields` holds, of one namespace or of all.
    pub fn watch_pods(&self, namespace: Option<&str>, fields: String) -> io::Result<()> {
        let mut pods = Collection::from(Resource::PODS).with_fields(fields);
        pods.namespace = namespace.map(str::to_owned);
        let mirror = Pods {
            out: self.out.clone(),
            listed: None,
        };
        self.watch(
            "drain_pods",
            Watched::Pods,
            vec![pods.clone()],
            pods,
            mirror,
        )
    }

    /// Watches the budgets of these namespaces: one list for each, and one watch.
    pub fn watch_budgets(&self, api: Version, namespaces: BTreeSet<String>) -> io::Result<()> {
        let whole = Collection::from(match api {
            Version::V1 => Resource::BUDGETS,
            Version::V1Beta1 => Resource::BETA_BUDGETS,
        });
        let part = |it: &String| whole.clone().in_namespace(it);
        let parts: Vec<_> = namespaces.iter().map(part).collect();
        let whole = match &parts[..] {
            [only] => only.clone(),
            _ => whole,
        };
        let mirror = BudgetMirror {
            out: self.out.clone(),
            api,
            namespaces,
            listed: None,
        };
        self.watch("drain_budgets", Watched::Budgets, parts, whole, mirror)
    }

    /// Watches one node.
    pub fn watch_node(&self, name: &str) -> io::Result<()> {
        let node = Collection::from(Resource::NODES).with_fields(format!("metadata.name={name}"));
        let mirror = NodeMirror {
            out: self.out.clone(),
            is_there: true,
        };
        self.watch(
            "drain_node",
            Watched::Node,
            vec![node.clone()],
            node,
            mirror,
        )
    }

    fn watch<M: Mirror + Send + 'scope>(
        &self,
        thread: &str,
        what: Watched,
        parts: Vec<Collection>,
        whole: Collection,
        mut mirror: M,
    ) -> io::Result<()> {
        let client = self.client.clone();
        let teller = Teller {
            out: self.out.clone(),
            what,
        };
        let run = move || {
            // It ends only because it is told to.
            let _ = reflector::run_parts(&client, &parts, &whole, &mut mirror, &teller);
        };
        Builder::new()
            .name(thread.to_owned())
            .stack_size(STACK)
            .spawn_scoped(self.scope, run)?;
        Ok(())
    }
}

impl Drop for Sight<'_, '_> {
    fn drop(&mut self) {
        // The threads see the stop, then their connections break, then nobody takes their news.
        drop(self.guard.take());
        self.client.close();
    }
}

/// Says how a watch goes.
struct Teller {
    out: Sender<News>,
    what: Watched,
}

impl Observer for Teller {
    fn beat(&self) {}

    fn running(&self) {}

    fn failed(&self, _: &str, err: &kube::Error) {
        let ended = Ended::api(&format!("to read the {}", self.what.name()), err);
        let _ = self.out.send(News::Trouble(self.what, Box::new(ended)));
    }
}

// That nobody listens any more is no failure: the watch ends in a moment.

struct Pods {
    out: Sender<News>,
    /// The uids of the list that is under way.
    listed: Option<HashSet<String>>,
}

impl Mirror for Pods {
    type Object<'de> = PodObject<'de>;

    fn version<'a>(object: &'a PodObject<'_>) -> &'a str {
        object.version()
    }

    fn list_began(&mut self) {
        self.listed = Some(HashSet::new());
    }

    fn applied(&mut self, object: PodObject<'_>) {
        let pod = object.facts();
        if let Some(listed) = &mut self.listed {
            listed.insert(pod.uid.clone());
        }
        let _ = self.out.send(News::Pod(Box::new(pod)));
    }

    fn deleted(&mut self, object: PodObject<'_>) {
        let _ = self.out.send(News::PodGone(object.uid().to_owned()));
    }

    fn list_ended(&mut self) {
        let _ = self
            .out
            .send(News::Pods(self.listed.take().unwrap_or_default()));
    }

    fn alive(&mut self) {}
}

struct BudgetMirror {
    out: Sender<News>,
    api: Version,
    namespaces: BTreeSet<String>,
    listed: Option<HashSet<Key>>,
}

impl Mirror for BudgetMirror {
    type Object<'de> = BudgetObject<'de>;

    fn version<'a>(object: &'a BudgetObject<'_>) -> &'a str {
        object.version()
    }

    fn list_began(&mut self) {
        self.listed = Some(HashSet::new());
    }

    fn applied(&mut self, object: BudgetObject<'_>) {
        if !self.namespaces.contains(object.namespace()) {
            return;
        }
        if let Some(listed) = &mut self.listed {
            listed.insert(object.key());
        }
        let budget = Box::new(object.facts(self.api));
        let _ = self.out.send(News::Budget(budget));
    }

    fn deleted(&mut self, object: BudgetObject<'_>) {
        if self.namespaces.contains(object.namespace()) {
            let _ = self.out.send(News::BudgetGone(object.key()));
        }
    }

    fn list_ended(&mut self) {
        let listed = self.listed.take().unwrap_or_default();
        let _ = self.out.send(News::Budgets(listed));
    }

    fn alive(&mut self) {}
}

/// A node's object.
#[derive(Deserialize)]
#[serde(transparent)]
struct NodeObject(Node);

struct NodeMirror {
    out: Sender<News>,
    is_there: bool,
}

impl Mirror for NodeMirror {
    type Object<'de> = NodeObject;

    fn version(object: &NodeObject) -> &str {
        object
            .0
            .metadata
            .resource_version
            .as_deref()
            .unwrap_or_default()
    }

    fn list_began(&mut self) {
        self.is_there = false;
    }

    fn applied(&mut self, object: NodeObject) {
        self.is_there = true;
        let _ = self.out.send(News::Node(Some(Box::new(object.0))));
    }

    fn deleted(&mut self, _: NodeObject) {
        let _ = self.out.send(News::Node(None));
    }

    fn list_ended(&mut self) {
        if !self.is_there {
            let _ = self.out.send(News::Node(None));
        }
    }

    fn alive(&mut self) {}
}
