//! What came of an action, and how the backend is told (protocol, section 2, `PUT /v1/actions/{id}/result`).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::details;
use super::id::PayloadHash;
use super::members::cut;
use super::refusal::ProvenRefusal;
use crate::timestamp::rfc3339_millis;

/// The longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// The wanted state was made, and seen.
    Succeeded,
    /// The wanted state held already.
    Noop,
    /// A part of it was made.
    Partial,
    /// It was tried in vain.
    Failed,
    /// It was proven and not tried.
    Rejected,
    /// It came, or was to begin, past its time.
    Expired,
    /// It was begun and not ended: by a shutdown, or by a crash whose outcome cannot be seen.
    Interrupted,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Succeeded,
        Self::Noop,
        Self::Partial,
        Self::Failed,
        Self::Rejected,
        Self::Expired,
        Self::Interrupted,
    ];

    /// The status as the wire writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Noop => "noop",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why an action ended so, where the status does not say enough. A closed set, so that it can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Rejected: no such action.
    Unsupported,
    /// Rejected: a param is unknown, missing or illegal.
    InvalidParams,
    /// Rejected: the local policy forbids it.
    PolicyDenied,
    /// Rejected: the object is not as the action expects it.
    PreconditionFailed,
    /// Failed: the journal could not be written after the claim.
    JournalUnavailable,
    /// Failed: the API server forbids it to the agent.
    Forbidden,
    /// Failed or partial: the time it may take was over.
    TimedOut,
    /// Failed: the API server answered with an error, or not at all.
    ApiError,
    /// Failed: the agent itself made an error.
    Internal,
    /// Interrupted: the agent was told to stop.
    Shutdown,
    /// Interrupted: the agent was ended in the middle of it.
    Restarted,
    /// Interrupted: the agent could not renew its lease, so another replica may act now.
    LeadershipLost,
}

impl Reason {
    /// The reason as the wire writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::InvalidParams => "invalid_params",
            Self::PolicyDenied => "policy_denied",
            Self::PreconditionFailed => "precondition_failed",
            Self::JournalUnavailable => "journal_unavailable",
            Self::Forbidden => "forbidden",
            Self::TimedOut => "timed_out",
            Self::ApiError => "api_error",
            Self::Internal => "internal",
            Self::Shutdown => "shutdown",
            Self::Restarted => "restarted",
            Self::LeadershipLost => "leadership_lost",
        }
    }
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Why, where that is to be said.
    pub reason: Option<Reason>,
    /// One sentence for a person; cut to [`MAX_MESSAGE_BYTES`].
    pub message: String,
    /// When it began; none if it never did.
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    pub finished_at: OffsetDateTime,
    /// Every target touched, what was observed before and after, the Status of a refusal; cut to 64 KiB.
    pub details: Map<String, Value>,
}

impl Outcome {
    /// The outcome of an action that is proven and cannot be carried out.
    pub fn refused(refusal: &ProvenRefusal, now: OffsetDateTime) -> Self {
        let (status, reason) = match refusal {
            ProvenRefusal::Expired => (Status::Expired, None),
            ProvenRefusal::Unsupported { .. } => (Status::Rejected, Some(Reason::Unsupported)),
            ProvenRefusal::InvalidParams(_) => (Status::Rejected, Some(Reason::InvalidParams)),
        };
        let message = refusal.to_string();
        Self {
            status,
            reason,
            message,
            started_at: None,
            finished_at: now,
            details: Map::new(),
        }
    }

    /// The body of the result. It is made once, when the action ends, and kept: a repeat must be the same.
    pub fn body(&self, reporter: &Reporter<'_>, payload_hash: PayloadHash) -> ResultBody {
        let (details, is_cut) = details::cut(self.details.clone());
        let mut body = Map::new();
        let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
        set("agent_id", reporter.agent_id.into());
        set("instance_id", reporter.instance_id.into());
        set("status", self.status.as_str().into());
        if let Some(reason) = self.reason {
            set("reason", reason.as_str().into());
        }
        set("message", cut(&self.message, MAX_MESSAGE_BYTES).into());
        set(
            "started_at",
            self.started_at
                .map_or(Value::Null, |at| rfc3339_millis(at).into()),
        );
        set("finished_at", rfc3339_millis(self.finished_at).into());
        set("details", Value::Object(details));
        if is_cut {
            set("details_truncated", true.into());
        }
        set("payload_sha256", payload_hash.to_string().into());
        ResultBody(Value::Object(body).to_string().into())
    }
}

/// Who reports.
#[derive(Clone, Copy, Debug)]
pub struct Reporter<'a> {
    /// This agent's id.
    pub agent_id: &'a str,
    /// The journal's id.
    pub instance_id: &'a str,
}

/// The JSON of a result: at most about 100 KiB, and the same bytes at every repeat.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResultBody(Box<str>);

impl ResultBody {
    /// The JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResultBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResultBody({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::actions::details::MAX_DETAILS_BYTES;

    const REPORTER: Reporter<'static> = Reporter {
        agent_id: "agent-1",
        instance_id: "i-1",
    };

    fn outcome() -> Outcome {
        Outcome {
            status: Status::Succeeded,
            reason: None,
            message: "cordoned worker-7".into(),
            started_at: Some(datetime!(2026-01-01 00:00:00.1239 UTC)),
            finished_at: datetime!(2026-01-01 02:00:01 +02:00),
            details: Map::new(),
        }
    }

    fn body(outcome: &Outcome) -> Value {
        let body = outcome.body(&REPORTER, PayloadHash::of("{}"));
        serde_json::from_str(body.as_str()).expect("JSON")
    }

    fn details(value: Value) -> Map<String, Value> {
        let Value::Object(details) = value else {
            panic!("an object")
        };
        details
    }

    #[test]
    fn exactly_the_members_of_the_protocol() {
        let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let expected = json!({
            "agent_id": "agent-1", "instance_id": "i-1", "status": "succeeded",
            "message": "cordoned worker-7", "started_at": "2026-01-01T00:00:00.123Z",
            "finished_at": "2026-01-01T00:00:01.000Z", "details": {}, "payload_sha256": hash,
        });
        assert_eq!(body(&outcome()), expected);

        let rejected = Outcome {
            status: Status::Rejected,
            reason: Some(Reason::PolicyDenied),
            started_at: None,
            details: details(json!({"rule": "x"})),
            ..outcome()
        };
        let expected = json!({
            "agent_id": "agent-1", "instance_id": "i-1", "status": "rejected",
            "reason": "policy_denied", "message": "cordoned worker-7", "started_at": null,
            "finished_at": "2026-01-01T00:00:01.000Z", "details": {"rule": "x"},
            "payload_sha256": hash,
        });
        assert_eq!(body(&rejected), expected);
    }

    #[test]
    fn a_repeat_is_the_same() {
        let hash = PayloadHash::of("");
        assert_eq!(
            outcome().body(&REPORTER, hash),
            outcome().body(&REPORTER, hash)
        );
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = Outcome {
            message: format!("a{}", "é".repeat(5000)),
            ..outcome()
        };
        assert_eq!(body(&long)["message"], format!("a{}", "é".repeat(2047)));
        let fits = Outcome {
            message: "é".repeat(2048),
            ..outcome()
        };
        assert_eq!(body(&fits)["message"], "é".repeat(2048));
    }

    #[test]
    fn details_that_fit_stay_whole() {
        let filler = "x".repeat(MAX_DETAILS_BYTES - r#"{"a":"",}"#.len());
        let fits = Outcome {
            details: details(json!({"a": filler})),
            ..outcome()
        };
        let body = body(&fits);
        assert_eq!(body["details"]["a"], filler);
        assert_eq!(body.get("details_truncated"), None);
    }

    #[test]
    fn long_details_keep_what_they_can() {
        let pod = |n: u32| json!({"pod": format!("shop/web-{n}"), "outcome": "evicted"});
        let pods: Vec<Value> = (0..5000).map(pod).collect();
        let long = details(json!({
            "pods": pods, "before": {"unschedulable": false}, "status": "x".repeat(70_000),
            "list": ["y".repeat(80_000)],
        }));
        let body = body(&Outcome {
            details: long,
            ..outcome()
        });
        assert_eq!(body["details_truncated"], true);
        let details = &body["details"];
        assert!(details.to_string().len() <= MAX_DETAILS_BYTES);
        assert!(
            details.to_string().len() > MAX_DETAILS_BYTES - 200,
            "more was cut than needed"
        );
        // The small one is whole, the list kept its start and says how many are missing.
        assert_eq!(details["before"], json!({"unschedulable": false}));
        assert_eq!(details.get("status"), None);
        assert_eq!(details["list_left_off"], 1);
        let kept = details["pods"].as_array().expect("a list");
        assert_eq!(kept[0], pod(0));
        assert_eq!(details["pods_left_off"], 5000 - kept.len());
    }

    #[test]
    fn refusals() {
        let now = datetime!(2026-01-01 00:00:00 UTC);
        let expired = Outcome::refused(&ProvenRefusal::Expired, now);
        assert_eq!((expired.status, expired.reason), (Status::Expired, None));
        let unsupported = ProvenRefusal::Unsupported {
            name: "\"x\"".into(),
        };
        let rejected = Outcome::refused(&unsupported, now);
        assert_eq!(rejected.status, Status::Rejected);
        assert_eq!(
            rejected.reason.map(Reason::as_str),
            Some(unsupported.reason())
        );
        assert_eq!(rejected.started_at, None);
        assert_eq!(rejected.message, unsupported.to_string());
    }
}
