//! Failures on demand.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::Status;
use crate::http::{Misbehaviour, Response};

/// A failure, and the requests it befalls. Empty members match anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// get, list, watch, create, update, patch or delete.
    pub verb: String,
    /// With its subresource, as `pods/eviction`; the Metrics API's is `pods.metrics.k8s.io`; the path for what is no
    /// resource, as `/version`.
    pub resource: String,
    /// The object's name.
    pub name: String,
    /// How many matching requests go well first.
    pub skip: u32,
    /// How many fail then; zero for all of them.
    pub times: u32,
    /// What happens to them.
    pub effect: Effect,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// A `Status` with this code, and Retry-After where it is given.
    Status {
        /// The HTTP code.
        code: u16,
        /// Seconds; none leaves the header out.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// A plain text, as filters before the API answer: API priority and fairness with 429, a proxy with 502.
    Text {
        /// The HTTP code.
        code: u16,
        /// The Retry-After header as it stands.
        #[serde(default)]
        retry_after: Option<String>,
        /// The body.
        #[serde(default)]
        text: String,
    },
    /// Any JSON, such as a `Status` of a failure within a 201.
    Json {
        /// The HTTP code.
        code: u16,
        /// The body.
        body: Value,
    },
    /// Goes on after so many milliseconds.
    Delay(u64),
    /// Ends the body early, as if that were all.
    Cut(usize),
    /// Resets the connection within the body.
    Reset(usize),
    /// A byte each so many milliseconds.
    Drip(u64),
    /// Bytes that are no HTTP.
    Garbage,
    /// A body that is no JSON, well framed.
    NotJson,
    /// Carried out, and no answer.
    Hang,
    /// Not carried out, and no answer.
    Ignore,
}

impl Default for Fault {
    fn default() -> Fault {
        let effect = Effect::Status {
            code: 500,
            retry_after: None,
        };
        Fault {
            verb: String::new(),
            resource: String::new(),
            name: String::new(),
            skip: 0,
            times: 0,
            effect,
        }
    }
}

impl Fault {
    /// A failure of every request of a verb on a resource; empty for any.
    pub fn on(verb: &str, resource: &str, effect: Effect) -> Fault {
        Fault {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            effect,
            ..Fault::default()
        }
    }

    /// A failure answered with a code.
    pub fn status(verb: &str, resource: &str, code: u16) -> Fault {
        Fault::on(
            verb,
            resource,
            Effect::Status {
                code,
                retry_after: None,
            },
        )
    }

    /// The same, for so many requests only.
    #[must_use]
    pub fn times(self, times: u32) -> Fault {
        Fault { times, ..self }
    }

    /// The same, after so many requests went well.
    #[must_use]
    pub fn skip(self, skip: u32) -> Fault {
        Fault { skip, ..self }
    }

    /// The same, for one object only.
    #[must_use]
    pub fn named(self, name: &str) -> Fault {
        Fault {
            name: name.to_owned(),
            ..self
        }
    }

    fn befalls(&self, verb: &str, resource: &str, name: &str) -> bool {
        let any_or = |wanted: &str, actual: &str| wanted.is_empty() || wanted == actual;
        any_or(&self.verb, verb) && any_or(&self.resource, resource) && any_or(&self.name, name)
    }
}

/// The failures that are due.
#[derive(Default)]
pub(super) struct Faults(Mutex<Vec<Fault>>);

/// What is to be done to a request, all its faults taken together.
#[derive(Default)]
pub(super) struct Verdict {
    /// How long it waits first.
    pub delay: Duration,
    /// What is answered in place of the truth.
    pub answer: Option<Response>,
    /// How the answer is sent.
    pub misbehaviour: Option<Misbehaviour>,
}

impl Faults {
    /// Adds one.
    pub(super) fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Removes all.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Those that are still due.
    pub(super) fn list(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    /// Judges a request, and counts it against the faults that match.
    pub(super) fn judge(&self, verb: &str, resource: &str, name: &str) -> Verdict {
        let mut verdict = Verdict::default();
        self.lock().retain_mut(|fault| {
            if !fault.befalls(verb, resource, name) {
                return true;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return true;
            }
            // One answer to a request: a later fault waits for the next.
            if verdict.answer.is_some() || verdict.misbehaviour.is_some() {
                return true;
            }
            fault.effect.apply(&mut verdict);
            if fault.times == 0 {
                return true;
            }
            fault.times -= 1;
            fault.times > 0
        });
        verdict
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Effect {
    fn apply(&self, verdict: &mut Verdict) {
        match self {
            Effect::Status { code, retry_after } => {
                let status = Status::new(*code, format!("simulated failure {code}"));
                verdict.answer = Some(
                    status
                        .retry_after(retry_after.unwrap_or_default())
                        .to_response(),
                );
            }
            Effect::Text {
                code,
                retry_after,
                text,
            } => {
                let response = Response::text(*code, text.as_str());
                verdict.answer = Some(match retry_after {
                    Some(value) => response.with_header("retry-after", value.as_str()),
                    None => response,
                });
            }
            Effect::Json { code, body } => {
                verdict.answer = Some(Response::json(*code, body.to_string()));
            }
            Effect::Delay(millis) => verdict.delay += Duration::from_millis(*millis),
            Effect::NotJson => {
                verdict.answer = Some(Response::json(200, "<html>not what you think</html>"));
            }
            Effect::Cut(after) => verdict.misbehaviour = Some(Misbehaviour::CutBody(*after)),
            Effect::Reset(after) => verdict.misbehaviour = Some(Misbehaviour::ResetBody(*after)),
            Effect::Drip(millis) => {
                verdict.misbehaviour = Some(Misbehaviour::Drip(Duration::from_millis(*millis)));
            }
            Effect::Garbage => {
                verdict.misbehaviour = Some(Misbehaviour::Garbage(
                    b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(),
                ));
            }
            Effect::Hang => verdict.misbehaviour = Some(Misbehaviour::Hang),
            Effect::Ignore => {
                // Never sent: it tells the audit that nothing was written.
                verdict.answer = Some(Response::text(504, ""));
                verdict.misbehaviour = Some(Misbehaviour::Hang);
            }
        }
    }
}
