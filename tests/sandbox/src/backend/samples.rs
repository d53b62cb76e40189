//! What a sample is: exactly the members that the protocol lists (protocol, section 2, Samples).

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::{Faults, Members, Place};
use super::quantities::{millicores, nullable_bytes, nullable_millicores, usage, window};
use super::rules::{FILLED, TEXT, TIME};

/// What a sample is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A pod in one cycle.
    Pod,
    /// A node in one cycle.
    Node,
    /// A cluster event.
    Event,
}

/// A stored sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// What it is of.
    pub kind: Kind,
    /// The object's uid.
    pub uid: String,
    /// The batch that brought it first.
    pub batch_id: String,
    /// All of it, as it came.
    pub body: Value,
}

impl Sample {
    /// A member, or null where there is none.
    pub fn get(&self, member: &str) -> &Value {
        &self.body[member]
    }
}

/// What tells a sample from others of its cycle: its object, and for an event also its state.
pub(super) fn identity(kind: Kind, body: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    kind.hash(&mut hasher);
    body["uid"].as_str().hash(&mut hasher);
    if kind == Kind::Event {
        body["count"].as_u64().hash(&mut hasher);
        body["last_seen"].as_str().hash(&mut hasher);
    }
    hasher.finish()
}

/// Reads a sample; nothing if it is of no known kind.
pub(super) fn check(value: &Value, place: &Place<'_>, faults: &Faults) -> Option<Kind> {
    let sample = Members::of(value, place, faults)?;
    match sample.word("kind", &["pod", "node", "event"]) {
        "pod" => {
            pod(&sample);
            Some(Kind::Pod)
        }
        "node" => {
            node(&sample);
            Some(Kind::Node)
        }
        "event" => {
            event(&sample);
            Some(Kind::Event)
        }
        _ => None,
    }
}

fn pod(pod: &Members<'_>) {
    pod.only(&[
        "kind",
        "namespace",
        "name",
        "uid",
        "node",
        "workload",
        "phase",
        "ready",
        "qos",
        "restarts",
        "timestamp",
        "window_seconds",
        "containers",
    ]);
    for name in ["namespace", "name", "uid"] {
        pod.text(name, &FILLED);
    }
    pod.nullable_text("node", &FILLED);
    if !pod.is_null("workload") {
        pod.object("workload", |workload| {
            workload.only(&["kind", "name"]);
            workload.text("kind", &FILLED);
            workload.text("name", &FILLED);
        });
    }
    pod.word(
        "phase",
        &["Pending", "Running", "Succeeded", "Failed", "Unknown"],
    );
    pod.boolean("ready");
    if !pod.is_null("qos") {
        pod.word("qos", &["Guaranteed", "Burstable", "BestEffort"]);
    }
    pod.integer("restarts", 0);
    let measured = window(pod);
    pod.items("containers", 1, usize::MAX, |item, place, faults| {
        if let Some(item) = Members::of(item, place, faults) {
            container(&item, measured);
        }
    });
}

fn container(container: &Members<'_>, measured: bool) {
    container.only(&[
        "name",
        "cpu_millicores",
        "memory_bytes",
        "cpu_request_millicores",
        "cpu_limit_millicores",
        "memory_request_bytes",
        "memory_limit_bytes",
        "restarts",
        "last_termination",
    ]);
    container.text("name", &FILLED);
    for name in ["cpu_request_millicores", "cpu_limit_millicores"] {
        nullable_millicores(container, name);
    }
    for name in ["memory_request_bytes", "memory_limit_bytes"] {
        nullable_bytes(container, name);
    }
    usage(container, measured);
    container.integer("restarts", 0);
    container.nullable_text("last_termination", &FILLED);
}

fn node(node: &Members<'_>) {
    node.only(&[
        "kind",
        "name",
        "uid",
        "timestamp",
        "window_seconds",
        "cpu_millicores",
        "memory_bytes",
        "capacity",
        "allocatable",
        "requested",
        "pods",
        "conditions",
        "unschedulable",
        "taints",
        "labels",
    ]);
    node.text("name", &FILLED);
    node.text("uid", &FILLED);
    let measured = window(node);
    usage(node, measured);
    node.object("capacity", |capacity| resources(&capacity));
    node.object("allocatable", |allocatable| resources(&allocatable));
    // Both null, where the agent may not read pods.
    if !node.is_null("requested") {
        node.object("requested", |requested| {
            requested.only(&["cpu_millicores", "memory_bytes"]);
            millicores(&requested, "cpu_millicores");
            requested.integer("memory_bytes", 0);
        });
    }
    if !node.is_null("pods") {
        node.integer("pods", 0);
    }
    node.entries("conditions", |_, value, place, faults| {
        if !matches!(value.as_str(), Some("True" | "False" | "Unknown")) {
            faults.add(place, "expected True, False or Unknown");
        }
    });
    node.boolean("unschedulable");
    node.items("taints", 0, usize::MAX, |taint, place, faults| {
        // key=value:effect, or key:effect
        let effect = taint
            .as_str()
            .and_then(|taint| taint.rsplit_once(':'))
            .map(|(_, effect)| effect);
        if !matches!(
            effect,
            Some("NoSchedule" | "PreferNoSchedule" | "NoExecute")
        ) {
            faults.add(
                place,
                format_args!("expected a taint as kubectl prints it, got {taint}"),
            );
        }
    });
    node.entries("labels", |_, value, place, faults| {
        if !value.is_string() {
            faults.add(place, "expected a text");
        }
    });
}

fn resources(resources: &Members<'_>) {
    resources.only(&[
        "cpu_millicores",
        "memory_bytes",
        "pods",
        "ephemeral_storage_bytes",
        "extended",
    ]);
    millicores(resources, "cpu_millicores");
    resources.integer("memory_bytes", 0);
    resources.integer("pods", 0);
    nullable_bytes(resources, "ephemeral_storage_bytes");
    resources.entries("extended", |_, value, place, faults| {
        if value.as_f64().is_none_or(|number| number < 0.0) {
            faults.add(place, "expected a number of at least 0");
        }
    });
}

fn event(event: &Members<'_>) {
    event.only(&[
        "kind",
        "uid",
        "namespace",
        "type",
        "reason",
        "message",
        "object",
        "source",
        "count",
        "first_seen",
        "last_seen",
    ]);
    event.text("uid", &FILLED);
    event.text("namespace", &FILLED);
    event.text("type", &TEXT);
    event.text("reason", &TEXT);
    event.short_text("message", 1024);
    event.object("object", |object| {
        object.only(&["kind", "namespace", "name", "uid"]);
        for name in ["kind", "namespace", "name", "uid"] {
            object.nullable_text(name, &FILLED);
        }
    });
    event.nullable_text("source", &FILLED);
    event.integer("count", 1);
    // Whether the first is before the last is for the cluster to say, not for the agent.
    event.text("first_seen", &TIME);
    event.text("last_seen", &TIME);
}
