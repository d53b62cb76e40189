//! The forms in which requests are answered.

use serde::Serialize;
use serde_json::json;

use crate::http::Response;

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The status to answer with.
    pub(super) status: u16,
    /// What is wrong, one text a fault.
    pub(super) faults: Vec<String>,
    /// Whether an agent that keeps to the protocol would not have asked.
    pub(super) is_violation: bool,
}

impl Refusal {
    /// An answer that any agent can come to get.
    pub(super) fn fair(status: u16, fault: impl Into<String>) -> Refusal {
        Refusal {
            status,
            faults: vec![fault.into()],
            is_violation: false,
        }
    }

    /// The answer to what is against the protocol.
    pub(super) fn broken(status: u16, fault: impl Into<String>) -> Refusal {
        Refusal {
            status,
            faults: vec![fault.into()],
            is_violation: true,
        }
    }

    /// The answer to a body that is JSON but not what was asked for.
    pub(super) fn invalid(faults: Vec<String>) -> Refusal {
        Refusal {
            status: 422,
            faults,
            is_violation: true,
        }
    }

    pub(super) fn response(&self) -> Response {
        problem(self.status, &self.faults.join("; "))
    }
}

/// JSON of anything that can be written as such.
pub(super) fn json(status: u16, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => Response::json(status, body),
        Err(err) => problem(500, &err.to_string()),
    }
}

/// No body, as 202 and 204 have it.
pub(super) fn empty(status: u16) -> Response {
    Response::new(status, [])
}

/// `application/problem+json` (RFC 9457).
pub(super) fn problem(status: u16, detail: &str) -> Response {
    let title = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Problem",
    };
    let body = json!({"type": "about:blank", "title": title, "status": status, "detail": detail});
    Response::new(status, body.to_string()).with_header("content-type", "application/problem+json")
}
