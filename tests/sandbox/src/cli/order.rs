//! `sandbox action` and `sandbox settings`: sign an order at the backend of a running sandbox, and show what becomes
//! of it.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::running::Running;
use super::{print, say};

/// How often it is asked how far the order is.
const LOOK: Duration = Duration::from_millis(100);
/// How long the agent may take to answer settings.
const PATIENCE: Duration = Duration::from_mins(1);

/// An action to be signed.
#[derive(Debug, PartialEq)]
pub(crate) struct Action {
    /// Its name.
    pub(crate) name: String,
    /// Its params.
    pub(crate) params: Map<String, Value>,
    /// To be checked but not executed.
    pub(crate) dry_run: bool,
}

/// Signs it, prints its progress, and then its result as JSON. An error unless it succeeded or nothing was to be done.
pub(crate) fn act(action: &Action, running: &Running) -> Result<(), String> {
    let new = json!({"action": action.name, "params": action.params, "dry_run": action.dry_run.then_some(true)});
    let envelope = running.post("actions", &new)?;
    let id = envelope["id"].as_str().ok_or("the backend gave no id")?;
    say(&format!(
        "{} {} as {id}",
        action.name,
        Value::Object(action.params.clone())
    ));
    let mut shown = Progress::default();
    loop {
        let seen = running.get(&format!("actions/{id}"))?;
        shown.show(&seen);
        let result = &seen["result"];
        if !result.is_null() {
            print(&serde_json::to_string_pretty(result).unwrap_or_default());
            return match result["status"].as_str() {
                Some("succeeded" | "noop") => Ok(()),
                status => Err(format!("{id} {}", status.unwrap_or("has no status"))),
            };
        }
        if let Some(state @ ("cancelled" | "expired")) = seen["state"].as_str() {
            return Err(format!("{id} is {state}"));
        }
        thread::sleep(LOOK);
    }
}

/// Signs settings and waits until the agent says what it makes of them.
pub(crate) fn set(settings: &Map<String, Value>, running: &Running) -> Result<(), String> {
    let envelope = running.post("settings", &json!({"settings": settings}))?;
    let id = envelope["id"].as_str().ok_or("the backend gave no id")?;
    let payload: Value =
        serde_json::from_str(envelope["payload"].as_str().unwrap_or_default()).unwrap_or_default();
    let version = payload["config_version"].as_i64().unwrap_or_default();
    say(&format!(
        "settings {} as {id}, version {version}",
        Value::Object(settings.clone())
    ));
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let agents = running.get("agents")?;
        if agents["heartbeat"]["body"]["config_version"].as_i64() >= Some(version) {
            print("applied");
            return Ok(());
        }
        let rejected = agents["rejected"]
            .as_object()
            .into_iter()
            .flat_map(|it| it.values());
        let ours = rejected
            .filter_map(Value::as_array)
            .flatten()
            .find(|it| it["id"] == id);
        if let Some(ours) = ours {
            return Err(format!(
                "{id} rejected: {}",
                ours["reason"].as_str().unwrap_or_default()
            ));
        }
        thread::sleep(LOOK);
    }
    Err(format!(
        "{id}: no heartbeat tells of it within {} s",
        PATIENCE.as_secs()
    ))
}

/// What has been shown of an action.
#[derive(Default)]
struct Progress {
    state: String,
    frames: usize,
}

impl Progress {
    fn show(&mut self, action: &Value) {
        let frames = action["frames"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for frame in frames
            .iter()
            .skip(self.frames)
            .filter(|it| it["type"] == "progress")
        {
            let message = frame["message"].as_str().unwrap_or_default();
            say(&format!(
                "  {message} ({} of {})",
                frame["done"], frame["total"]
            ));
        }
        self.frames = frames.len();
        let state = action["state"].as_str().unwrap_or_default();
        if state != self.state {
            state.clone_into(&mut self.state);
            say(&format!("  {state}"));
        }
    }
}
