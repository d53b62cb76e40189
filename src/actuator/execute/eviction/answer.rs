//! What the answer to an eviction means.
//!
//! The answers are those of the server's eviction storage (`pkg/registry/core/pod/storage/eviction.go`), as it is in
//! current versions and as Kubernetes 1.20.2 was seen to give them: two budgets over a pod are a 500 without a reason,
//! a budget that is not counted yet is a 429 without `Retry-After`, and another uid is a 409, but only after the
//! budget was asked.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde_json::Value;

use crate::actuator::ended::status_details;
use crate::actuator::execute::budgets::block::Block;
use crate::kube::{self, Status};

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The pod is being deleted.
    Accepted,
    /// 404: there is no such pod.
    Gone,
    /// 409: the pod is another one, or it changed too often.
    Conflict,
    /// A budget allows no disruption, or is not counted yet.
    Budget(Block),
    /// API priority and fairness, or a rate limit: nothing was decided, and we ask too often.
    Throttled,
    /// More than one budget selects the pod.
    Overlap,
    /// Not sent, since this agent does not lead; or refused for a reason that may pass: a 401 while the token is
    /// rotated, a 403 because the namespace is ending or a budget's state is odd for now, a 429 of an admission webhook
    /// that moves this one pod itself.
    NotNow,
    /// Not sent: there was no connection, or no token to be had.
    NotSent,
    /// The agent may not evict.
    Forbidden,
    /// 400: the server does not know this version of the body.
    WrongVersion,
    /// Refused for good.
    Refused,
    /// The server failed; what became of the eviction is not known.
    Failed,
    /// No answer; what became of the eviction is not known.
    Lost,
}

impl Answer {
    /// As /metrics and `details` name it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::Budget(_) => "budget",
            Self::Throttled => "throttled",
            Self::Overlap => "overlapping_budgets",
            Self::NotNow => "not_now",
            Self::NotSent => "not_sent",
            Self::Forbidden => "forbidden",
            Self::WrongVersion => "wrong_version",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Lost => "no_answer",
        }
    }
}

/// What came back: what it means, the pause that the server asked for, and the Status of a refusal.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// What it means.
    pub answer: Answer,
    /// The pause before the next try.
    pub retry_after: Option<Duration>,
    /// For `details`.
    pub status: Option<Value>,
    /// For a person.
    pub text: String,
}

impl Answered {
    /// Reads the answer to an eviction. A refusal may come inside a 201.
    pub fn of(outcome: Result<meta::Status, kube::Error>) -> Self {
        let err = match outcome {
            Ok(status) if status.status.as_deref().unwrap_or("Success") == "Success" => {
                return Self {
                    answer: Answer::Accepted,
                    retry_after: None,
                    status: None,
                    text: "accepted".to_owned(),
                };
            }
            Ok(status) => {
                let code = status
                    .code
                    .and_then(|it| u16::try_from(it).ok())
                    .unwrap_or(500);
                let body = serde_json::to_vec(&status).unwrap_or_default();
                kube::Error::Status(Box::new(Status::from_answer(code, None, &body)))
            }
            Err(err) => err,
        };
        let answer = match err.status() {
            Some(status) => meaning(status),
            None if matches!(err, kube::Error::Fenced) => Answer::NotNow,
            None if matches!(err, kube::Error::Connect(_) | kube::Error::Credentials(_)) => {
                Answer::NotSent
            }
            // Also an answer that could not be read.
            None => Answer::Lost,
        };
        Self {
            answer,
            retry_after: err.retry_after(),
            status: err.status().map(status_details),
            text: err.to_string(),
        }
    }
}

impl Answered {
    /// The HTTP status of a refusal.
    pub fn code(&self) -> Option<u64> {
        self.status.as_ref().and_then(|it| it["code"].as_u64())
    }

    /// Whether `other` says the same.
    pub fn is_like(&self, other: &Self) -> bool {
        self.answer == other.answer && self.code() == other.code()
    }
}

fn meaning(status: &Status) -> Answer {
    let says = |text: &str| status.message.contains(text);
    match status.code {
        401 => Answer::NotNow,
        404 => Answer::Gone,
        409 => Answer::Conflict,
        429 => match status.cause("DisruptionBudget") {
            Some(cause) => Answer::Budget(Block::read(cause)),
            // Old servers and proxies drop the causes.
            None if says("disruption budget") => Answer::Budget(Block::read(&status.message)),
            // As KubeVirt answers while it migrates the machine in the pod: nothing about the others.
            None if says("denied the request") => Answer::NotNow,
            None => Answer::Throttled,
        },
        403 if status.cause("NamespaceTerminating").is_some()
            || says("disruptions allowed is negative")
            || says("DisruptedPods map too big") =>
        {
            Answer::NotNow
        }
        403 => Answer::Forbidden,
        400 if says("cannot be handled as a Eviction") || says("no kind \"Eviction\"") => {
            Answer::WrongVersion
        }
        500 if says("more than one PodDisruptionBudget") => Answer::Overlap,
        408 | 500.. => Answer::Failed,
        _ => Answer::Refused,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(code: u16, header: Option<&str>, body: &Value) -> Answered {
        let status = Status::from_answer(code, header, body.to_string().as_bytes());
        Answered::of(Err(kube::Error::Status(Box::new(status))))
    }

    #[test]
    fn the_table_of_answers() {
        let budget = |message: &str| {
            json!({"reason": "TooManyRequests", "message": "Cannot evict pod as it would violate the pod's disruption budget.",
                "details": {"causes": [{"reason": "DisruptionBudget", "message": message}]}})
        };
        let exhausted = "The disruption budget web needs 3 healthy pods and has 3 currently";
        let stale = "The disruption budget web is still being processed by the server.";
        let message = |text: &str| json!({"message": text});
        let ending = json!({"reason": "Forbidden", "message": "pods \"a\" is forbidden: unable to create new content",
            "details": {"causes": [{"reason": "NamespaceTerminating", "message": "namespace x is being terminated"}]}});
        let cases = [
            (401, json!({"reason": "Unauthorized"}), Answer::NotNow),
            (404, json!({"reason": "NotFound"}), Answer::Gone),
            (409, json!({"reason": "Conflict"}), Answer::Conflict),
            (
                429,
                budget(exhausted),
                Answer::Budget(Block::read(exhausted)),
            ),
            (429, budget(stale), Answer::Budget(Block::read(stale))),
            (
                429,
                message("Cannot evict pod as it would violate the pod's disruption budget."),
                Answer::Budget(Block::read(
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                )),
            ),
            (
                429,
                message("Too many requests, please try again later."),
                Answer::Throttled,
            ),
            (
                429,
                message(
                    "admission webhook \"evict.example\" denied the request: evacuation triggered",
                ),
                Answer::NotNow,
            ),
            (403, ending, Answer::NotNow),
            (
                403,
                message(
                    "poddisruptionbudget.policy \"web\" is forbidden: pdb disruptions allowed is negative",
                ),
                Answer::NotNow,
            ),
            (
                403,
                message(
                    "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
                ),
                Answer::NotNow,
            ),
            (
                403,
                json!({"reason": "Forbidden", "message": "pods \"a\" is forbidden: User \"x\" cannot create resource \"pods/eviction\""}),
                Answer::Forbidden,
            ),
            (
                400,
                message("Eviction in version \"v1\" cannot be handled as a Eviction: no kind"),
                Answer::WrongVersion,
            ),
            (
                400,
                message("name in URL does not match name in Eviction object"),
                Answer::Refused,
            ),
            (
                500,
                message(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ),
                Answer::Overlap,
            ),
            (500, message("etcdserver: leader changed"), Answer::Failed),
            (
                504,
                message("couldn't update PodDisruptionBudget \"web\" due to conflicts"),
                Answer::Failed,
            ),
            (502, message("Bad Gateway"), Answer::Failed),
            (
                405,
                message("the server does not allow this method"),
                Answer::Refused,
            ),
            (422, message("invalid"), Answer::Refused),
        ];
        for (code, body, expected) in cases {
            let answered = refused(code, None, &body);
            assert_eq!(answered.answer, expected, "{code} {body}");
            assert_eq!(answered.status.unwrap()["code"], code);
        }
    }

    #[test]
    fn pauses_that_are_asked_for() {
        assert_eq!(
            refused(429, Some("7"), &json!({})).retry_after,
            Some(Duration::from_secs(7))
        );
        let body = json!({"details": {"retryAfterSeconds": 10}});
        assert_eq!(
            refused(504, None, &body).retry_after,
            Some(Duration::from_secs(10))
        );
        assert_eq!(refused(429, None, &json!({})).retry_after, None);
    }

    #[test]
    fn success_is_what_the_status_says() {
        let of = |value: Value| Answered::of(Ok(serde_json::from_value(value).unwrap())).answer;
        assert_eq!(
            of(
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
            ),
            Answer::Accepted
        );
        let hidden = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 429,
            "message": "no", "details": {"causes": [{"reason": "DisruptionBudget", "message": "x"}]},
        });
        assert_eq!(of(hidden), Answer::Budget(Block::read("x")));
        let lost = Answered::of(Err(kube::Error::Timeout("global".to_owned())));
        assert_eq!((lost.answer, lost.status), (Answer::Lost, None));
        for err in [
            kube::Error::Connect("refused".to_owned()),
            kube::Error::Credentials("no token".to_owned()),
        ] {
            assert_eq!(Answered::of(Err(err)).answer, Answer::NotSent);
        }
    }
}
