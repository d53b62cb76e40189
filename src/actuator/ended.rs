//! How an action ended: what an executor returns, and everything on the way there that ends it.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::actions::action::ActionKind;
use crate::actions::outcome::{Outcome, Reason, Status};
use crate::actions::policy::Denial;
use crate::journal::Stage;
use crate::kube;
use crate::rbac::capability::Lack;

/// How an action ended, before times are put to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How.
    pub status: Status,
    /// Why, where the status does not say enough.
    pub reason: Option<Reason>,
    /// One sentence for a person.
    pub message: String,
    /// Every target touched, what was observed before and after, the Status of a refusal.
    pub details: Map<String, Value>,
}

/// What is known of the write of an action that failed after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It took place.
    Done,
    /// Its answer was lost: it may have.
    Unknown,
}

/// Under this name `details` hold it.
const WRITE: &str = "write";

impl Ended {
    /// With nothing in its details.
    pub fn new(status: Status, reason: Option<Reason>, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
            details: Map::new(),
        }
    }

    /// The wanted state was made, and seen.
    pub fn succeeded(message: impl Into<String>) -> Self {
        Self::new(Status::Succeeded, None, message)
    }

    /// The wanted state held already.
    pub fn noop(message: impl Into<String>) -> Self {
        Self::new(Status::Noop, None, message)
    }

    /// The object is not as the action expects it; nothing was written.
    pub fn precondition(message: impl Into<String>) -> Self {
        Self::new(Status::Rejected, Some(Reason::PreconditionFailed), message)
    }

    /// The local policy forbids it; nothing was written.
    pub fn denied(denial: &Denial) -> Self {
        Self::new(
            Status::Rejected,
            Some(Reason::PolicyDenied),
            denial.to_string(),
        )
    }

    /// The cluster does not permit it to the agent; nothing was tried.
    pub fn not_permitted(kind: ActionKind, lack: &Lack) -> Self {
        let message = format!("{} is switched off: {lack}", kind.as_str());
        Self::new(Status::Rejected, Some(Reason::PolicyDenied), message)
    }

    /// The API server refused or did not answer; `doing` says what was tried.
    pub fn api(doing: &str, err: &kube::Error) -> Self {
        let reason = match err {
            kube::Error::Stopped | kube::Error::Fenced => {
                return Self::interrupted(format!("stopped before {doing}"));
            }
            err if err.is_forbidden() => Reason::Forbidden,
            _ => Reason::ApiError,
        };
        let ended = Self::new(
            Status::Failed,
            Some(reason),
            format!("failed {doing}: {err}"),
        );
        match err.status() {
            Some(status) => ended.with("status", status_details(status)),
            None => ended,
        }
    }

    /// The agent was told to stop in the middle of it.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Status::Interrupted, Some(Reason::Shutdown), message)
    }

    /// The end of a dry run that found something to do: everything was checked, nothing was written, and `plan` is
    /// what would be. One that found nothing to do ends with [`Ended::noop`], one that may not with the same
    /// rejection as without the dry run.
    pub fn plan(message: impl Into<String>, plan: impl Into<Value>) -> Self {
        Self::succeeded(message)
            .with("dry_run", true)
            .with("plan", plan)
    }

    /// The result that an order is owed of which a run before this one had come to `stage`, and which cannot be proven
    /// any more, for this reason; and when it was begun. What was begun may have changed the cluster, and says so.
    pub fn unproven(why: &str, stage: Stage) -> (Self, Option<OffsetDateTime>) {
        match stage {
            Stage::Received | Stage::Claimed => {
                (Self::new(Status::Failed, Some(Reason::Internal), why), None)
            }
            Stage::Started { at, steps } => {
                let ended = Self::new(Status::Interrupted, Some(Reason::Restarted), why);
                (ended.with_steps(&steps), Some(at))
            }
        }
    }

    /// With the steps that were done before a crash.
    #[must_use]
    pub fn with_steps(self, steps: &[String]) -> Self {
        let steps = steps.iter().filter_map(|it| serde_json::from_str(it).ok());
        self.with("steps", steps.collect::<Vec<Value>>())
    }

    /// What an observer makes of an object that is not there, or cannot be read: nothing is known of the wanted
    /// state, and the action is not run again.
    #[must_use]
    pub fn not_observed(self) -> Self {
        match self.reason {
            Some(Reason::Shutdown) => self,
            _ => Self {
                status: Status::Interrupted,
                reason: Some(Reason::Restarted),
                ..self
            },
        }
    }

    /// What a check that fails after the write makes of it: not a rejection, for something was written.
    #[must_use]
    pub fn after_write(self) -> Self {
        match self.status {
            Status::Rejected => Self {
                status: Status::Failed,
                reason: Some(Reason::ApiError),
                ..self
            },
            _ => self,
        }
    }

    /// The same, after a write that took place or may have.
    #[must_use]
    pub fn having_written(self, written: Written) -> Self {
        let written = match written {
            Written::Done => "done",
            Written::Unknown => "unknown",
        };
        self.with(WRITE, written)
    }

    /// Whether a write took place or may have.
    pub fn has_written(&self) -> bool {
        self.details.contains_key(WRITE)
    }

    /// With one more member in its details.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The outcome of it.
    pub fn outcome(
        self,
        started_at: Option<OffsetDateTime>,
        finished_at: OffsetDateTime,
    ) -> Outcome {
        let Self {
            status,
            reason,
            message,
            details,
        } = self;
        Outcome {
            status,
            reason,
            message,
            started_at,
            finished_at,
            details,
        }
    }
}

/// A refusal of the API server as `details` show it.
pub fn status_details(status: &kube::Status) -> Value {
    json!({"code": status.code, "reason": status.reason, "message": status.message})
}
