//! Errors as Kubernetes answers them: a `Status` object and its HTTP code.

use serde_json::{Map, Value, json};

use super::resources::Resource;
use crate::http::Response;

/// A `Status` whose status is Failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The HTTP code, repeated in the body.
    pub code: u16,
    /// The machine's word for it; may be empty.
    pub reason: &'static str,
    /// The human's.
    pub message: String,
    /// `details`, without its causes; some failures show it though it is empty.
    pub details: Option<Map<String, Value>>,
    /// `details.causes`.
    pub causes: Vec<Value>,
    /// Both `details.retryAfterSeconds` and the Retry-After header. The server leaves out a zero.
    pub retry_after: u32,
    /// `metadata.continue`, with which an expired list may go on inconsistently.
    pub continue_token: Option<String>,
}

/// A result whose error is a [`Status`]. Boxed: it is larger than most of what succeeds.
pub(super) type Result<T> = std::result::Result<T, Box<Status>>;

impl Status {
    /// A failure without details, its reason that of the code.
    pub fn new(code: u16, message: impl Into<String>) -> Box<Status> {
        Box::new(Status {
            code,
            reason: reason(code),
            message: message.into(),
            details: None,
            causes: Vec::new(),
            retry_after: 0,
            continue_token: None,
        })
    }

    /// What is refused before it is known whose it is.
    pub fn generic(code: u16, message: impl Into<String>) -> Box<Status> {
        let mut status = Status::new(code, message);
        status.details = Some(Map::new());
        status
    }

    /// 404 for an object that does not exist.
    pub fn not_found(resource: &Resource, name: &str) -> Box<Status> {
        Status::new(404, format!("{} {name:?} not found", resource.qualified()))
            .about(resource, name)
    }

    /// 404 for a path within a known group that names no resource.
    pub fn no_such_resource() -> Box<Status> {
        Status::generic(404, "the server could not find the requested resource")
    }

    /// 405.
    pub fn method_not_allowed() -> Box<Status> {
        Status::generic(
            405,
            "the server does not allow this method on the requested resource",
        )
    }

    /// 410 for a watch whose version is no longer known.
    pub fn too_old(asked: u64, floor: u64) -> Box<Status> {
        Status::expired(format!("too old resource version: {asked} ({floor})"))
    }

    /// What is answered to a `resourceVersion` that is no number: a 500 without a reason.
    pub fn not_a_version(version: &str) -> Box<Status> {
        let why = format!(
            "Invalid value: {version:?}: strconv.ParseUint: parsing {version:?}: invalid syntax"
        );
        let mut status = Status::new(500, format!("resourceVersion: {why}"));
        status.reason = "";
        status
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Box<Status> {
        Status::new(400, message)
    }

    /// 409 because the object is not as the request expects it.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Box<Status> {
        let qualified = resource.qualified();
        Status::new(
            409,
            format!("Operation cannot be fulfilled on {qualified} {name:?}: {why}"),
        )
        .about(resource, name)
    }

    /// 409 because the object exists.
    pub fn already_exists(resource: &Resource, name: &str) -> Box<Status> {
        let mut status = Status::new(
            409,
            format!("{} {name:?} already exists", resource.qualified()),
        )
        .about(resource, name);
        status.reason = "AlreadyExists";
        status
    }

    /// 422 about one field. `why` starts with the kind of fault, as `Invalid value: -1: must be ...`.
    pub fn invalid(resource: &Resource, name: &str, field: &str, why: &str) -> Box<Status> {
        let kind = match resource.group {
            "" => resource.kind.to_owned(),
            group => format!("{}.{group}", resource.kind),
        };
        let mut status = Status::new(422, format!("{kind} {name:?} is invalid: {field}: {why}"));
        let cause = match why {
            why if why.starts_with("Required") => "FieldValueRequired",
            why if why.starts_with("Forbidden") => "FieldValueForbidden",
            why if why.starts_with("Unsupported") => "FieldValueNotSupported",
            _ => "FieldValueInvalid",
        };
        status = status.about(resource, name).caused(cause, why, Some(field));
        status
            .details
            .get_or_insert_default()
            .insert("kind".into(), resource.kind.into());
        status
    }

    /// 403, in the words of the authorizer or of an admission plugin.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Box<Status> {
        let named = if name.is_empty() {
            String::new()
        } else {
            format!(" {name:?}")
        };
        Status::new(
            403,
            format!("{}{named} is forbidden: {why}", resource.qualified()),
        )
        .about(resource, name)
    }

    /// 410 for a version that is compacted, as a list or a watch says it.
    pub fn expired(message: impl Into<String>) -> Box<Status> {
        Status::new(410, message)
    }

    /// Fills in whose error it is.
    #[must_use]
    pub fn about(mut self: Box<Status>, resource: &Resource, name: &str) -> Box<Status> {
        if !name.is_empty() {
            self.details
                .get_or_insert_default()
                .insert("name".into(), name.into());
        }
        if !resource.group.is_empty() {
            self.details
                .get_or_insert_default()
                .insert("group".into(), resource.group.into());
        }
        self.details
            .get_or_insert_default()
            .insert("kind".into(), resource.plural.into());
        self
    }

    /// Adds a cause.
    #[must_use]
    pub fn caused(
        mut self: Box<Status>,
        reason: &str,
        message: &str,
        field: Option<&str>,
    ) -> Box<Status> {
        let mut cause = json!({"reason": reason, "message": message});
        if let Some(field) = field {
            cause["field"] = field.into();
        }
        self.causes.push(cause);
        self
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(mut self: Box<Status>, seconds: u32) -> Box<Status> {
        self.retry_after = seconds;
        self
    }

    /// The body.
    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": self.message, "code": self.code,
        });
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = token.as_str().into();
        }
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        let mut details = self.details.clone().unwrap_or_default();
        if !self.causes.is_empty() {
            details.insert("causes".into(), self.causes.clone().into());
        }
        if self.retry_after > 0 {
            details.insert("retryAfterSeconds".into(), self.retry_after.into());
        }
        if self.details.is_some() || !details.is_empty() {
            status["details"] = details.into();
        }
        status
    }

    /// The answer.
    pub fn to_response(&self) -> Response {
        let response = Response::json(self.code, self.to_json().to_string());
        if self.retry_after > 0 {
            return response.with_header("retry-after", self.retry_after.to_string());
        }
        response
    }
}

/// The body of what succeeded and has no object to show.
pub(super) fn success(details: Value) -> Value {
    let mut status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    if !details.is_null() {
        status["details"] = details;
    }
    status
}

/// The reason that goes with a code where nothing more special is known.
pub(super) fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        409 => "Conflict",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    }
}
