//! What the API server refused and why: its `Status` object, and every other way in which a request fails.

use std::fmt;
use std::io;
use std::time::Duration;

use super::protobuf;
use crate::net::excerpt::excerpt;

/// Why a request to the API server did not succeed.
#[derive(Debug)]
pub enum Error {
    /// The server answered, and refused.
    Status(Box<Status>),
    /// No connection: refused, unreachable, or the name does not resolve.
    Connect(String),
    /// The server's certificate, or ours, was not accepted.
    Tls(String),
    /// A deadline passed; the text says which.
    Timeout(String),
    /// The connection broke while the answer was under way.
    Cut(String),
    /// The answer is not what the API promises.
    Decode(String),
    /// Nothing to authenticate with: the token or the exec plugin failed.
    Credentials(String),
    /// The agent is stopping and its connections are closed.
    Stopped,
    /// Not sent: a write, and this agent does not lead (any more).
    Fenced,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Connect(why) => write!(f, "failed to connect to the API server: {why}"),
            Self::Tls(why) => write!(f, "failed to agree on TLS with the API server: {why}"),
            Self::Timeout(what) => write!(f, "the API server did not answer in time: {what}"),
            Self::Cut(why) => write!(f, "the API server's answer broke off: {why}"),
            Self::Decode(why) => write!(f, "failed to read the API server's answer: {why}"),
            Self::Credentials(why) => write!(f, "failed to get credentials: {why}"),
            Self::Stopped => f.write_str("stopping"),
            Self::Fenced => f.write_str("this agent does not lead, nothing is written"),
        }
    }
}

impl std::error::Error for Error {}

/// A refusal of the API server (`kind: Status`), with the HTTP status it came under.
///
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// Machine-readable, such as `NotFound`; empty where the server gave none.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The server's wish for a pause before the next try: the `Retry-After` header, or the body's seconds.
    pub retry_after: Option<Duration>,
    /// The causes, each a (reason, message), such as `DisruptionBudget`.
    pub causes: Vec<(String, String)>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// No pause asked for by a server is kept longer than this. An API server means seconds; and a watch that waits for
/// three times its period counts as stuck.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

impl Status {
    /// Reads an answer with the HTTP status `code`, its `Retry-After` header in whole seconds, and its body, which
    /// may be JSON or protobuf, and need not be a `Status`: a proxy in between answers as it likes.
    pub fn from_answer(code: u16, retry_after: Option<&str>, body: &[u8]) -> Self {
        let parsed = protobuf::status(body)
            .or_else(|| serde_json::from_slice(body).ok())
            .unwrap_or_default();
        let details = parsed.details.unwrap_or_default();
        let seconds = retry_after
            .and_then(|it| it.trim().parse().ok())
            .or_else(|| {
                details
                    .retry_after_seconds
                    .and_then(|it| u64::try_from(it).ok())
                    .filter(|it| *it > 0)
            });
        let causes = details.causes.unwrap_or_default();
        Self {
            code,
            reason: parsed.reason.unwrap_or_default(),
            message: parsed
                .message
                .map_or_else(|| unread(body), |it| excerpt(&it)),
            retry_after: seconds.map(|it| Duration::from_secs(it).min(MAX_RETRY_AFTER)),
            causes: causes
                .into_iter()
                .map(|it| {
                    (
                        it.reason.unwrap_or_default(),
                        excerpt(&it.message.unwrap_or_default()),
                    )
                })
                .collect(),
        }
    }

    /// A cause by its reason.
    pub fn cause(&self, reason: &str) -> Option<&str> {
        self.causes
            .iter()
            .find(|(it, _)| it == reason)
            .map(|(_, message)| message.as_str())
    }
}

/// The start of a body that is no `Status`.
fn unread(body: &[u8]) -> String {
    const MOST: usize = 200;
    let text = excerpt(&String::from_utf8_lossy(&body[..body.len().min(MOST)]));
    if text.is_empty() {
        "no message".to_owned()
    } else {
        text
    }
}

impl Error {
    /// The HTTP status of a refusal.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status.code),
            _ => None,
        }
    }

    /// The refusal itself.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }

    /// 404: no such object, or no such API.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// 403: the service account may not.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// 410: the resource version or continue token is too old; list anew.
    pub fn is_gone(&self) -> bool {
        self.status()
            .is_some_and(|it| it.code == 410 || it.reason == "Expired" || it.reason == "Gone")
    }

    /// The pause that the server asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        self.status().and_then(|it| it.retry_after)
    }

    /// True where the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            // A 401 was tried with credentials read anew already. It passes all the same: while a token is rotated the
            // file may be behind, and an API server that starts knows nobody.
            Self::Status(status) => matches!(status.code, 401 | 408 | 429 | 500..),
            Self::Connect(_) | Self::Timeout(_) | Self::Cut(_) | Self::Credentials(_) => true,
            Self::Tls(_) | Self::Decode(_) | Self::Stopped | Self::Fenced => false,
        }
    }
}

impl From<ureq::Error> for Error {
    fn from(err: ureq::Error) -> Self {
        match err {
            ureq::Error::Io(err) => err.into(),
            ureq::Error::Timeout(which) => Self::Timeout(which.to_string()),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::BadUri(_) => {
                Self::Connect(err.to_string())
            }
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => {
                Self::Tls(err.to_string())
            }
            other => Self::Cut(other.to_string()),
        }
    }
}

impl From<io::Error> for Error {
    fn from(err: io::Error) -> Self {
        // ureq wraps its own errors, and rustls its own, when they pass through `Read`.
        if err.get_ref().is_some_and(|it| it.is::<ureq::Error>()) {
            return match err.into_inner().map(|it| it.downcast::<ureq::Error>()) {
                Some(Ok(err)) => (*err).into(),
                _ => Self::Cut("unknown".to_owned()),
            };
        }
        if err.get_ref().is_some_and(|it| it.is::<rustls::Error>()) {
            return Self::Tls(err.to_string());
        }
        match err.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable => Self::Connect(err.to_string()),
            io::ErrorKind::NotConnected => Self::Stopped,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Timeout(err.to_string()),
            _ => Self::Cut(err.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_whole() {
        let body = br#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Cannot evict pod as it would violate the pod's disruption budget.","reason":"TooManyRequests","details":{"causes":[{"reason":"DisruptionBudget","message":"The disruption budget web needs 3 healthy pods and has 3 currently"}],"retryAfterSeconds":10},"code":429}"#;
        let status = Status::from_answer(429, None, body);
        assert_eq!(status.reason, "TooManyRequests");
        assert_eq!(status.retry_after, Some(Duration::from_secs(10)));
        assert_eq!(
            status.cause("DisruptionBudget"),
            Some("The disruption budget web needs 3 healthy pods and has 3 currently")
        );
        assert!(Error::Status(Box::new(status)).is_transient());
    }

    #[test]
    fn what_may_be_tried_again() {
        let of = |code| {
            let status = Status::from_answer(code, None, b"");
            Error::Status(Box::new(status)).is_transient()
        };
        for code in [401, 408, 429, 500, 503, 504] {
            assert!(of(code), "{code}");
        }
        for code in [400, 403, 404, 409, 410, 422] {
            assert!(!of(code), "{code}");
        }
    }

    #[test]
    fn the_header_wins_and_is_clamped() {
        let retry_after = |header| Status::from_answer(503, Some(header), b"").retry_after;
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("99999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("-5"), None);
    }

    #[test]
    fn a_body_that_is_no_status_still_says_something() {
        let status = Status::from_answer(502, None, b"<html>\n <h1>Bad Gateway</h1>");
        assert_eq!(status.to_string(), "502: <html> <h1>Bad Gateway</h1>");
        assert_eq!(
            Status::from_answer(500, None, b"").to_string(),
            "500: no message"
        );
    }

    #[test]
    fn a_message_of_megabytes_is_cut() {
        let body = format!(
            r#"{{"kind":"Status","message":"no\n{}"}}"#,
            "x".repeat(1 << 20)
        );
        let message = Status::from_answer(400, None, body.as_bytes()).message;
        assert!(
            message.starts_with("no xxx") && message.len() < 2000,
            "{}",
            message.len()
        );
    }

    #[test]
    fn gone_is_told_by_code_or_reason() {
        let gone = |code, reason: &str| {
            let body = format!(r#"{{"kind":"Status","reason":"{reason}"}}"#);
            Error::Status(Box::new(Status::from_answer(code, None, body.as_bytes()))).is_gone()
        };
        assert!(gone(410, "Expired"));
        assert!(gone(410, ""));
        assert!(gone(200, "Expired"));
        assert!(!gone(404, "NotFound"));
    }
}
