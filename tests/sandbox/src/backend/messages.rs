//! The bodies that an agent sends, read strictly (protocol, section 2).

use serde_json::Value;

use super::check::{Faults, Members, Place};
use super::rules::{
    ACTIONS, CLUSTER, FILLED, ID, NAME, REASON, REFUSALS, REJECTIONS, SHA256, STATUSES, TEXT, TIME,
    UUID,
};
use super::samples::{self, Kind};

/// A body that is JSON but not what the protocol asks for: everything that is wrong with it.
pub(super) type Invalid = Vec<String>;

/// Which run of which agent speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the protocol's names")]
pub(super) struct Run {
    pub(super) cluster_id: String,
    pub(super) agent_id: String,
    pub(super) instance_id: String,
    pub(super) run_id: String,
}

#[derive(Debug)]
pub(super) struct HeartbeatMessage {
    pub(super) run: Run,
    pub(super) seq: u64,
    pub(super) config_version: u64,
    pub(super) in_progress: Vec<String>,
    pub(super) rejected: Vec<(String, String, u64)>,
}

#[derive(Debug)]
pub(super) struct BatchMessage {
    pub(super) run: Run,
    pub(super) batch_id: String,
    pub(super) seq: u64,
    pub(super) collected_at: String,
    pub(super) kinds: Vec<Kind>,
}

#[derive(Debug)]
pub(super) struct ClaimMessage {
    pub(super) agent_id: String,
    pub(super) instance_id: String,
    pub(super) payload_sha256: String,
}

/// Reads the body of a registration.
pub(super) fn registration(body: &Value) -> Result<Run, Invalid> {
    read(body, |message| {
        let run = run(message, None);
        message.text("agent_version", &FILLED);
        let mut speaks_ours = false;
        message.items("protocols", 1, 16, |item, _, _| speaks_ours |= item == "1");
        if !speaks_ours {
            message.fault("protocols", r#"expected "1" among them"#);
        }
        let mut seen = Vec::new();
        message.items("capabilities", 0, ACTIONS.len(), |item, place, faults| {
            if !item.as_str().is_some_and(|name| ACTIONS.contains(&name)) {
                faults.add(
                    place,
                    format_args!("expected one of {}", ACTIONS.join(", ")),
                );
            }
            unique(&mut seen, item, place, faults);
        });
        message.text("kubernetes_version", &TEXT);
        message.text("started_at", &TIME);
        run
    })
}

/// Reads the body of a heartbeat of this agent.
pub(super) fn heartbeat(agent_id: &str, body: &Value) -> Result<HeartbeatMessage, Invalid> {
    read(body, |message| {
        message.word("status", &["ok", "degraded"]);
        message.entries("components", |_, value, place, faults| {
            let Some(component) = Members::of(value, place, faults) else {
                return;
            };
            component.word("state", &["running", "degraded", "restarting", "standby"]);
            component.text("since", &TIME);
            component.optional_text("reason", &TEXT);
            component.integer("restarts", 0);
        });
        message.object("resources", |resources| {
            resources.number("cpu_percent");
            for name in [
                "memory_bytes",
                "disk_free_bytes",
                "disk_total_bytes",
                "network_sent_bytes",
                "network_received_bytes",
            ] {
                resources.integer(name, 0);
            }
        });
        for name in ["outbox_depth", "metrics_buffered", "metrics_dropped"] {
            message.integer(name, 0);
        }
        message.nullable_signed("clock_offset_ms");
        message.boolean("ws_connected");
        HeartbeatMessage {
            run: run(message, Some(agent_id)),
            seq: message.integer("seq", 1),
            config_version: message.integer("config_version", 0),
            in_progress: in_progress(message),
            rejected: rejected(message),
        }
    })
}

fn in_progress(message: &Members<'_>) -> Vec<String> {
    let mut seen = Vec::new();
    let mut ids = Vec::new();
    message.items("in_progress", 0, usize::MAX, |item, place, faults| {
        unique(&mut seen, item, place, faults);
        match item.as_str().filter(|id| (ID.holds)(id)) {
            Some(id) => ids.push(id.to_owned()),
            None => faults.add(place, format_args!("expected {}", ID.expected)),
        }
    });
    ids
}

fn rejected(message: &Members<'_>) -> Vec<(String, String, u64)> {
    let mut all = Vec::new();
    message.items("rejected", 0, 20, |item, place, faults| {
        let Some(item) = Members::of(item, place, faults) else {
            return;
        };
        let id = item.short_text("id", 64).to_owned();
        all.push((
            id,
            item.word("reason", &REJECTIONS).to_owned(),
            item.integer("count", 1),
        ));
    });
    all
}

/// Reads the body of a batch of at most `max` samples.
pub(super) fn batch(body: &Value, max: usize) -> Result<BatchMessage, Invalid> {
    read(body, |message| {
        let mut kinds = Vec::new();
        message.items("samples", 1, max, |sample, place, faults| {
            kinds.extend(samples::check(sample, place, faults));
        });
        BatchMessage {
            run: run(message, None),
            batch_id: message.text("batch_id", &UUID).to_owned(),
            seq: message.integer("seq", 1),
            collected_at: message.text("collected_at", &TIME).to_owned(),
            kinds,
        }
    })
}

/// Reads the body of a claim.
pub(super) fn claim(body: &Value) -> Result<ClaimMessage, Invalid> {
    read(body, claimant)
}

/// Reads the body of a result: by whom and of what.
pub(super) fn result(body: &Value) -> Result<ClaimMessage, Invalid> {
    read(body, |message| {
        let status = message.word("status", &STATUSES);
        if status == "rejected" {
            message.word("reason", &REFUSALS);
        } else {
            message.optional_text("reason", &REASON);
        }
        message.short_text("message", 4 << 10);
        message.nullable_text("started_at", &TIME);
        message.text("finished_at", &TIME);
        message.object("details", |_| ());
        let details = body["details"].to_string().len();
        if details > 64 << 10 {
            message.fault("details", format_args!("{details} bytes, more than 65536"));
        }
        if message.has("details_truncated") && !message.boolean("details_truncated") {
            message.fault("details_truncated", "true or not there");
        }
        claimant(message)
    })
}

fn claimant(message: &Members<'_>) -> ClaimMessage {
    ClaimMessage {
        agent_id: message.text("agent_id", &NAME).to_owned(),
        instance_id: message.text("instance_id", &NAME).to_owned(),
        payload_sha256: message.text("payload_sha256", &SHA256).to_owned(),
    }
}

/// Who speaks; the agent's id is in the body, or was in the path.
pub(super) fn run(message: &Members<'_>, agent_id: Option<&str>) -> Run {
    Run {
        cluster_id: message.text("cluster_id", &CLUSTER).to_owned(),
        agent_id: agent_id
            .unwrap_or_else(|| message.text("agent_id", &NAME))
            .to_owned(),
        instance_id: message.text("instance_id", &NAME).to_owned(),
        run_id: message.text("run_id", &NAME).to_owned(),
    }
}

/// Reads a message, and fails with everything that was wrong with it.
pub(super) fn read<T>(body: &Value, read: impl FnOnce(&Members<'_>) -> T) -> Result<T, Invalid> {
    let faults = Faults::default();
    let message = Members::of(body, &Place::Root, &faults).map(|members| read(&members));
    let faults = faults.into_list();
    match message {
        Some(message) if faults.is_empty() => Ok(message),
        _ => Err(faults),
    }
}

fn unique<'a>(seen: &mut Vec<&'a Value>, item: &'a Value, place: &Place<'_>, faults: &Faults) {
    if seen.contains(&item) {
        faults.add(place, "named twice");
    }
    seen.push(item);
}
