//! One request to the API server, and how long its phases may take.

use std::time::Duration;

use ureq::http;

use super::request::Target;

/// How long the phases of a request may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From the request to the answer's head.
    pub answer: Duration,
    /// From one read of the body to the next.
    pub silence: Duration,
    /// Everything together.
    pub total: Option<Duration>,
}

impl Deadlines {
    /// A single object.
    pub const OBJECT: Self = Self {
        answer: Duration::from_secs(25),
        silence: Duration::from_secs(10),
        total: Some(Duration::from_secs(30)),
    };
    /// A page of a list: the server may gather for long, and the answer may be large, but it must keep coming.
    pub const LIST: Self = Self {
        answer: Duration::from_mins(1),
        silence: Duration::from_secs(30),
        total: Some(Duration::from_mins(10)),
    };
    /// The usage of a whole cluster: as a page, but sent on while it is read. A slow backend holds the reading back,
    /// and no time over all of it would say anything about the server.
    pub const USAGE: Self = Self {
        total: None,
        ..Self::LIST
    };
    /// A watch: bookmarks come each minute, so two silent ones mean a dead connection. The server is asked to end it
    /// within six minutes; one that does not, and drips, must not hold the watcher for ever.
    pub const WATCH: Self = Self {
        answer: Duration::from_secs(30),
        silence: Duration::from_secs(130),
        total: Some(Duration::from_mins(8)),
    };
}

impl Deadlines {
    /// The same, and over after `left` at the latest.
    #[must_use]
    pub fn within(self, left: Duration) -> Self {
        Self {
            answer: self.answer.min(left),
            silence: self.silence.min(left),
            total: Some(self.total.unwrap_or(Duration::MAX).min(left)),
        }
    }
}

/// The media type of JSON.
const JSON: &str = "application/json";

/// One request.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The HTTP method.
    pub method: http::Method,
    /// Path and query.
    pub target: &'a Target,
    /// The Kubernetes verb, as RBAC and /metrics know it: get, list, watch, create, patch.
    pub verb: &'static str,
    /// The resource, as /metrics knows it.
    pub resource: &'static str,
    /// The wanted form of the answer.
    pub accept: &'static str,
    /// Content type and body.
    pub body: Option<(&'static str, &'a [u8])>,
    /// How long it may take.
    pub deadlines: Deadlines,
}

impl<'a> Call<'a> {
    /// A GET of one object.
    pub fn get(target: &'a Target, resource: &'static str) -> Self {
        Self {
            method: http::Method::GET,
            target,
            verb: "get",
            resource,
            accept: JSON,
            body: None,
            deadlines: Deadlines::OBJECT,
        }
    }

    /// A request that brings an object in JSON, and gets one.
    pub fn json(
        method: http::Method,
        verb: &'static str,
        target: &'a Target,
        resource: &'static str,
        body: &'a str,
    ) -> Self {
        Self {
            method,
            verb,
            body: Some((JSON, body.as_bytes())),
            ..Self::get(target, resource)
        }
    }
}

impl Call<'_> {
    /// Whether it changes the cluster. A review is asked for by a POST, and changes nothing.
    pub(super) fn writes(&self) -> bool {
        self.method != http::Method::GET && !self.target.as_str().starts_with(REVIEWS)
    }
}

/// The API of questions such as "may I", which are asked by creating them.
const REVIEWS: &str = "/apis/authorization.k8s.io/";
