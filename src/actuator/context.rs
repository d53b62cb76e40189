//! What an executor works with: reads at will, and writes only after STARTED is on the disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::debug;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use ureq::http::Method;

use crate::actions::action::ActionKind;
use crate::actions::id::EnvelopeId;
use crate::actions::limiter::{EvictionLimiter, Permit};
use crate::actions::outcome::{Outcome, Reason, Status};
use crate::actions::policy::{Denial, Policy};
use crate::kube::client::{Call, Deadlines};
use crate::kube::{self, Client, Target};
use crate::logging::ACTUATOR;
use crate::metrics::Metrics;
use crate::rbac::capability::Lack;
use crate::thread::stop::Stop;

/// Who the agent is in its writes: `fieldManager` and the owner of its cordons.
pub const FIELD_MANAGER: &str = "kubernetes-agent";

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
    serde_json::json!({"code": status.code, "reason": status.reason, "message": status.message})
}

/// What the actuator provides for one action.
pub trait Record {
    /// STARTED is on the disk, or the action must not go on. Called before the first write, at most once.
    fn started(&self) -> Result<(), String>;
    /// A part of the action is done; `step` is JSON that its observer understands after a crash.
    fn step(&self, step: &Value);
    /// For whoever watches: so many of so many are done.
    fn progress(&self, message: &str, done: u64, total: u64);
}

/// Everything that one action works with.
pub struct Context<'a> {
    /// The action's id.
    pub id: &'a EnvelopeId,
    /// The API server. Reads are made with it directly; writes only through [`Context::begin`].
    pub kube: &'a Client,
    /// What the local configuration allows.
    pub policy: &'a Policy,
    /// MAX_EVICTIONS_PER_MINUTE.
    pub limiter: &'a Mutex<EvictionLimiter>,
    /// The agent's own counters.
    pub metrics: &'a Metrics,
    /// Fires when the agent stops: end at the next safe point with [`Ended::interrupted`].
    pub stop: &'a Stop,
    /// Everything is checked, nothing is written, and the result is the plan.
    pub dry_run: bool,
    /// When the action must have ended.
    pub deadline: Instant,
    /// The agent's own pod, namespace and name, where it runs in one: evicted last.
    pub own_pod: Option<(&'a str, &'a str)>,
    /// Where the steps are written down.
    pub record: &'a dyn Record,
}

impl<'a> Context<'a> {
    /// The right to write: STARTED is on the disk. In a dry run there is none, and the executor, which returns its
    /// plan instead of asking, would make a mistake to ask.
    pub fn begin(&self) -> Result<Writes<'a>, Ended> {
        if self.dry_run {
            return Err(Ended::new(
                Status::Failed,
                Some(Reason::Internal),
                "a dry run must not write",
            ));
        }
        match self.record.started() {
            Ok(()) => Ok(Writes { kube: self.kube }),
            Err(why) => Err(Ended::new(
                Status::Failed,
                Some(Reason::JournalUnavailable),
                why,
            )),
        }
    }

    /// Time left until the deadline.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Pauses, at most until the deadline; `Err` at the stop.
    pub fn pause(&self, pause: Duration) -> Result<(), Ended> {
        if self.stop.wait(pause.min(self.left())) {
            return Err(Ended::interrupted("the agent was told to stop"));
        }
        Ok(())
    }

    /// Gets one object; `None` where it does not exist. Tries again what may pass, until the deadline.
    pub fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        resource: &'static str,
    ) -> Result<Option<T>, Ended> {
        let target = Target::new(path);
        let doing = format!("to read {path}");
        let mut backoff = crate::thread::backoff::Backoff::new(RETRY_FIRST, RETRY_MOST);
        loop {
            match self.kube.get(&target, resource) {
                Ok(found) => return Ok(Some(found)),
                Err(err) if err.is_not_found() => return Ok(None),
                Err(err) if err.is_transient() && !self.left().is_zero() => {
                    debug!(target: ACTUATOR, "Failed {doing}: {err}");
                    self.pause(kube::client::pause_after(&err, &mut backoff))?;
                }
                Err(err) => return Err(Ended::api(&doing, &err)),
            }
        }
    }

    /// Takes one eviction from the local budget of evictions a minute, or says how long there is none.
    pub fn take_eviction(&self) -> Result<Permit, Duration> {
        self.limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(Instant::now())
    }

    /// Gives back an eviction that the API server did not allow.
    pub fn give_back_eviction(&self, permit: Permit) {
        self.limiter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .give_back(permit);
    }
}

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// The form of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 7386.
    Merge,
    /// Kubernetes' own: lists are merged by their keys.
    Strategic,
}

/// The right to write to the cluster; made by [`Context::begin`] alone.
pub struct Writes<'a> {
    kube: &'a Client,
}

impl Writes<'_> {
    /// Patches the object at `path` and returns what the server made of it. One try: whether a write whose answer
    /// was lost took place is for the executor to find out by reading.
    pub fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        resource: &'static str,
        kind: PatchType,
        patch: &Value,
    ) -> Result<T, kube::Error> {
        let target = Target::new(path).with("fieldManager", FIELD_MANAGER);
        let content = match kind {
            PatchType::Merge => "application/merge-patch+json",
            PatchType::Strategic => "application/strategic-merge-patch+json",
        };
        write(
            self.kube,
            Method::PATCH,
            "patch",
            &target,
            resource,
            content,
            patch,
        )
    }

    /// Creates an object in the collection at `path`, such as an eviction of a pod.
    pub fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        resource: &'static str,
        object: &Value,
    ) -> Result<T, kube::Error> {
        let target = Target::new(path).with("fieldManager", FIELD_MANAGER);
        write(
            self.kube,
            Method::POST,
            "create",
            &target,
            resource,
            "application/json",
            object,
        )
    }
}

/// Asks the server what it would say to a creation, with `dryRun=All`: nothing is written.
pub fn create_dry_run<T: DeserializeOwned>(
    kube: &Client,
    path: &str,
    resource: &'static str,
    object: &Value,
) -> Result<T, kube::Error> {
    let target = Target::new(path)
        .with("dryRun", "All")
        .with("fieldManager", FIELD_MANAGER);
    write(
        kube,
        Method::POST,
        "create",
        &target,
        resource,
        "application/json",
        object,
    )
}

fn write<T: DeserializeOwned>(
    kube: &Client,
    method: Method,
    verb: &'static str,
    target: &Target,
    resource: &'static str,
    content: &'static str,
    body: &Value,
) -> Result<T, kube::Error> {
    let body = body.to_string();
    kube.send(&Call {
        method,
        target,
        verb,
        resource,
        accept: "application/json",
        compressed: false,
        body: Some((content, body.as_bytes())),
        deadlines: Deadlines::OBJECT,
    })
}
