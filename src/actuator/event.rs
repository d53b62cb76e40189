//! The Kubernetes Event that an action leaves on its object: who looks at the object with kubectl sees what was done
//! to it or refused, and the action's id.
//!
//! An event is a courtesy: the result is stored before it is written, and nothing depends on it. There is none for an
//! action that found nothing to do, and none of a dry run, which writes nothing at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::{debug, warn};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use time::OffsetDateTime;
use ureq::http::Method;

use super::context::writes::FIELD_MANAGER;
use crate::actions::action::Action;
use crate::actions::id::{EnvelopeId, PayloadHash};
use crate::actions::outcome::{Outcome, Reason, Status};
use crate::kube::call::{Call, Deadlines};
use crate::kube::{Client, Error, Resource, Target};
use crate::logging::ACTUATOR;

/// The longest message of an event, in bytes: the API server's bound on events of its newer version.
const MAX_MESSAGE_BYTES: usize = 1024;
/// The longest name of an object.
const MAX_NAME_BYTES: usize = 253;
/// Hexadecimal digits of the action's id in the name.
const HASH_DIGITS: usize = 16;
/// The worker waits for the event, so this is short; at the stop it must fit into the time that actions have to end.
const DEADLINE: Duration = Duration::from_secs(2);

/// Writes events.
pub struct Recorder {
    kube: Arc<Client>,
    is_forbidden: AtomicBool,
}

impl Recorder {
    /// One that writes by this client.
    pub fn new(kube: Arc<Client>) -> Self {
        Self {
            kube,
            is_forbidden: AtomicBool::new(false),
        }
    }

    /// Leaves an event on the object of `action` that says how it ended. That the agent may not is said once; each
    /// try is counted among the requests to the API server.
    pub fn record(&self, action: &Action, id: &EnvelopeId, outcome: &Outcome) {
        let event = event(action, id, outcome, OffsetDateTime::now_utc());
        match self.write(&event) {
            Ok(()) => (),
            // The name says which action it is of: it was written before a restart, or its answer was lost.
            Err(err) if err.code() == Some(409) => (),
            Err(err) if err.is_forbidden() && !is_of_ending_namespace(&err) => {
                if !self.is_forbidden.swap(true, Ordering::Relaxed) {
                    warn!(target: ACTUATOR, "No events are left on objects of actions, the agent may not create them: {err}");
                }
            }
            Err(err) => debug!(target: ACTUATOR, "Failed to leave an event of action {id}: {err}"),
        }
    }

    fn write(&self, event: &Value) -> Result<(), Error> {
        let namespace = event["metadata"]["namespace"].as_str().unwrap_or_default();
        let Resource { root, plural, .. } = Resource::EVENTS;
        let path = format!("{root}/namespaces/{namespace}/{plural}");
        let target = Target::new(path).with("fieldManager", FIELD_MANAGER);
        let body = event.to_string();
        let written = self.kube.send::<IgnoredAny>(&Call {
            deadlines: Deadlines {
                answer: DEADLINE,
                silence: DEADLINE,
                total: Some(DEADLINE),
            },
            ..Call::json(Method::POST, "create", &target, plural, &body)
        });
        written.map(drop)
    }
}

/// A namespace that is being deleted takes nothing new, whatever one may.
fn is_of_ending_namespace(err: &Error) -> bool {
    err.status()
        .is_some_and(|it| it.cause("NamespaceTerminating").is_some())
}

/// The event of an action that ended so.
fn event(action: &Action, id: &EnvelopeId, outcome: &Outcome, now: OffsetDateTime) -> Value {
    let object = action.target();
    // An event about an object without a namespace stands in this one (validation of the API server).
    let namespace = object.namespace().map_or("default", |it| it.as_str());
    let mut involved = json!({
        "kind": object.kind().as_str(),
        "apiVersion": object.kind().api_version(),
        "name": object.name(),
    });
    if let Some(namespace) = object.namespace() {
        involved["namespace"] = namespace.as_str().into();
    }
    let uid = outcome.details.get("uid").and_then(Value::as_str);
    if let Some(uid) = uid.filter(|it| !it.is_empty()) {
        involved["uid"] = uid.into();
    }
    let (kind, reason) = reason(outcome.status);
    let time = timestamp(now);
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name(object.name().as_str(), id), "namespace": namespace},
        "involvedObject": involved,
        "type": kind, "reason": reason, "message": message(action, id, outcome),
        "source": {"component": FIELD_MANAGER}, "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": time, "lastTimestamp": time, "count": 1,
    })
}

/// Type and reason of the event.
fn reason(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Succeeded => ("Normal", "ActionSucceeded"),
        Status::Noop => ("Normal", "ActionNotNeeded"),
        Status::Partial => ("Warning", "ActionPartial"),
        Status::Failed => ("Warning", "ActionFailed"),
        Status::Rejected => ("Warning", "ActionRejected"),
        Status::Expired => ("Warning", "ActionExpired"),
        Status::Interrupted => ("Warning", "ActionInterrupted"),
    }
}

fn message(action: &Action, id: &EnvelopeId, outcome: &Outcome) -> String {
    let reason = outcome.reason.map(Reason::as_str);
    let reason = reason.map(|it| format!(" ({it})")).unwrap_or_default();
    let mut text = format!(
        "{} {id} {}{reason}: {}",
        action.kind().as_str(),
        outcome.status.as_str(),
        outcome.message
    );
    text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
    text
}

/// Unique for the action, and the same at every try: `web.44136fa355b3678a`.
fn name(object: &str, id: &EnvelopeId) -> String {
    let hash = PayloadHash::of(id.as_str()).to_string();
    let most = MAX_NAME_BYTES - HASH_DIGITS - 1;
    let start = object[..object.floor_char_boundary(most)].trim_end_matches(['-', '.']);
    format!("{start}.{}", &hash[..HASH_DIGITS])
}

/// Kubernetes' own times have no fractions of a second.
fn timestamp(at: OffsetDateTime) -> String {
    let text = crate::timestamp::rfc3339_millis(at);
    let seconds = text.split_once('.').map_or(text.as_str(), |(it, _)| it);
    format!("{seconds}Z")
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use time::macros::datetime;

    use super::*;
    use crate::actions::action::ActionKind;

    fn action(kind: ActionKind, params: Value) -> Action {
        let Value::Object(params) = params else {
            panic!("an object")
        };
        Action::parse(kind, params).unwrap()
    }

    fn outcome(status: Status, reason: Option<Reason>, uid: Option<&str>) -> Outcome {
        let at = datetime!(2026-01-02 03:04:05.678 UTC);
        let details = uid.map(|it| ("uid".to_owned(), json!(it)));
        Outcome {
            status,
            reason,
            message: "what came of it".to_owned(),
            started_at: None,
            finished_at: at,
            details: Map::from_iter(details),
        }
    }

    #[test]
    fn what_stands_in_it() {
        let now = datetime!(2026-01-02 03:04:05.678 UTC);
        let id = EnvelopeId::parse("act_1").unwrap();
        let scale = json!({"namespace": "shop", "name": "web", "replicas": 3});
        let scale = action(ActionKind::ScaleDeployment, scale);
        let done = outcome(Status::Succeeded, None, Some("u-1"));
        let expected = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name("web", &id), "namespace": "shop"},
            "involvedObject": {
                "kind": "Deployment", "apiVersion": "apps/v1", "namespace": "shop", "name": "web", "uid": "u-1",
            },
            "type": "Normal", "reason": "ActionSucceeded",
            "message": "scale_deployment act_1 succeeded: what came of it",
            "source": {"component": "kubernetes-agent"}, "reportingComponent": "kubernetes-agent",
            "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:05Z", "count": 1,
        });
        assert_eq!(event(&scale, &id, &done, now), expected);

        let cordon = action(ActionKind::CordonNode, json!({"node": "n-1"}));
        let refused = outcome(Status::Rejected, Some(Reason::PolicyDenied), None);
        let event = event(&cordon, &id, &refused, now);
        let involved = json!({"kind": "Node", "apiVersion": "v1", "name": "n-1"});
        assert_eq!(event["involvedObject"], involved);
        assert_eq!(event["metadata"]["namespace"], "default");
        assert_eq!(
            (&event["type"], &event["reason"]),
            (&json!("Warning"), &json!("ActionRejected"))
        );
        let message = "cordon_node act_1 rejected (policy_denied): what came of it";
        assert_eq!(event["message"], message);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let id = EnvelopeId::parse("a").unwrap();
        let cordon = action(ActionKind::CordonNode, json!({"node": "n-1"}));
        let long = Outcome {
            message: "é".repeat(1000),
            ..outcome(Status::Failed, None, None)
        };
        let length = message(&cordon, &id, &long).len();
        assert!((MAX_MESSAGE_BYTES - 1..=MAX_MESSAGE_BYTES).contains(&length));
    }

    #[test]
    fn names_are_legal_unique_and_repeatable() {
        let (one, other) = (
            EnvelopeId::parse("A_1").unwrap(),
            EnvelopeId::parse("A_2").unwrap(),
        );
        assert_eq!(name("web", &one), name("web", &one));
        assert_ne!(name("web", &one), name("web", &other));
        let cut_at_dot = format!("{}.{}", "a".repeat(235), "b".repeat(17));
        for object in ["web", "ip-10-0-0-1.internal", &"a".repeat(253), &cut_at_dot] {
            let name = name(object, &one);
            assert!(name.len() <= MAX_NAME_BYTES, "{name}");
            let is_part = |it: &str| !it.is_empty() && !it.starts_with('-') && !it.ends_with('-');
            assert!(name.split('.').all(is_part), "{name}");
        }
    }
}
