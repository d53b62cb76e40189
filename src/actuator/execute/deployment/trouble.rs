//! What holds up the pods of a rollout that does not come to its end: an image that cannot be pulled, a container that
//! crashes, no node that has room. The deployment itself only counts them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Named;
use crate::actions::members::cut;
use crate::actuator::context::Context;
use crate::actuator::execute::selector::Selector;
use crate::kube::request::encode;

/// So many pods are looked at: a rollout has few that are not ready, and mostly for one reason.
const LOOKED_AT: u32 = 100;
/// So many of those that are held up are told of.
const TOLD: usize = 10;
/// The longest of what is said of one pod, in bytes.
const MAX_WHY_BYTES: usize = 300;

/// A pod that is held up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pod: String,
    why: String,
}

impl Trouble {
    /// As `details` show it.
    pub fn details(&self) -> Value {
        json!({"pod": self.pod, "why": self.why})
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pod {}: {}", self.pod, self.why)
    }
}

/// Looks at the pods of a deployment. Nothing is found where the agent may not look: what is told is told beside.
pub fn look(named: Named<'_>, context: &Context<'_>) -> Vec<Trouble> {
    let deployment = context.get::<Selecting>(&named.path(), "deployments");
    let Ok(Some(Selecting { spec })) = deployment else {
        return Vec::new();
    };
    // An empty one would mean every pod of the namespace; the API server refuses such a deployment.
    if spec.selector.is_empty() {
        return Vec::new();
    }
    let path = format!(
        "/api/v1/namespaces/{}/pods?limit={LOOKED_AT}&labelSelector={}",
        named.namespace,
        encode(&spec.selector.query())
    );
    let page = context.get::<Page>(&path, "pods").ok().flatten();
    let pods = page.map(|it| it.items).unwrap_or_default();
    let troubles = pods.iter().filter_map(|it| {
        let why = it.trouble()?;
        Some(Trouble {
            pod: it.metadata.name.clone(),
            why: cut(&why, MAX_WHY_BYTES).to_owned(),
        })
    });
    troubles.take(TOLD).collect()
}

#[derive(Deserialize)]
struct Selecting {
    spec: SelectingSpec,
}

#[derive(Deserialize)]
struct SelectingSpec {
    selector: Selector,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Pod>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    metadata: Metadata,
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    conditions: Option<Vec<Condition>>,
    init_container_statuses: Option<Vec<Container>>,
    container_statuses: Option<Vec<Container>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    ready: bool,
    state: State,
    last_state: State,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct State {
    waiting: Option<Waiting>,
    terminated: Option<Terminated>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Waiting {
    reason: Option<String>,
    message: Option<String>,
}

/// Its message is not read: it may hold what the container has logged last.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    reason: Option<String>,
    exit_code: i32,
}

impl Pod {
    /// What it waits for; none if it is ready.
    fn trouble(&self) -> Option<String> {
        let status = &self.status;
        let condition = |kind: &str| {
            let mut all = status.conditions.iter().flatten();
            all.find(|it| it.kind == kind)
        };
        if self.metadata.deletion_timestamp.is_some() {
            return Some("it is still ending".to_owned());
        }
        if condition("Ready").is_some_and(|it| it.status == "True") {
            return None;
        }
        if let Some(it) = condition("PodScheduled").filter(|it| it.status == "False") {
            return Some(joined(it.reason.as_deref(), it.message.as_deref()));
        }
        // The containers start only after the init containers have ended.
        let containers = [&status.init_container_statuses, &status.container_statuses];
        let containers = || containers.into_iter().flatten().flatten();
        let trouble = containers().find_map(Container::trouble);
        trouble.or_else(|| {
            let unready = status.container_statuses.iter().flatten();
            let mut unready = unready.filter(|it| !it.ready);
            Some(match unready.next() {
                Some(it) => format!("container {} is not ready", it.name),
                None => format!("it is {}", status.phase),
            })
        })
    }
}

/// What a container waits for while it is made ready in good order.
const IN_ORDER: [&str; 2] = ["ContainerCreating", "PodInitializing"];

impl Container {
    fn trouble(&self) -> Option<String> {
        let why = match &self.state {
            State {
                waiting: Some(it), ..
            } => {
                let reason = it.reason.as_deref()?;
                if IN_ORDER.contains(&reason) {
                    return None;
                }
                let last = self.last_state.terminated.as_ref();
                let last = last.map_or_else(String::new, |it| format!(" ({})", it.describe()));
                format!("{}{last}", joined(Some(reason), it.message.as_deref()))
            }
            State {
                terminated: Some(it),
                ..
            } if it.exit_code != 0 => it.describe(),
            _ => return None,
        };
        Some(format!("container {}: {why}", self.name))
    }
}

impl Terminated {
    fn describe(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or("it has ended");
        format!("{reason}, exit code {}", self.exit_code)
    }
}

fn joined(reason: Option<&str>, message: Option<&str>) -> String {
    let both = [reason, message].into_iter().flatten();
    let told: Vec<_> = both.filter(|it| !it.is_empty()).collect();
    told.join(": ")
}

#[cfg(test)]
mod tests;
