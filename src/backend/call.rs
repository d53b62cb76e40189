//! One call of the contract, and what stands in it.

use std::borrow::Cow;
use std::time::Duration;

use ureq::http::{HeaderValue, Method};

use super::retry::Failure;
use crate::kube;
use crate::secret::Secret;

/// One call from beginning to end, whatever the backend does.
pub const TOTAL: Duration = Duration::from_secs(30);

/// One call of the contract.
pub struct Call<'a> {
    /// Its name in /metrics.
    pub endpoint: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The path below BACKEND_URL, with its query.
    pub path: &'a str,
    /// The body.
    pub body: Body<'a>,
    /// How long it may take from beginning to end.
    pub deadline: Duration,
    /// What the contract answers where it went well. Another 2xx is not from our backend: something in between,
    /// such as a captive portal, says OK to everything, and what was sent is lost if it is believed.
    pub success: &'static [u16],
}

/// The body of a call.
pub enum Body<'a> {
    /// None.
    Empty,
    /// JSON text.
    Json(Vec<u8>),
    /// JSON text, gzipped, under an idempotency key.
    Gzip {
        /// The compressed text.
        bytes: &'a [u8],
        /// The Idempotency-Key.
        key: &'a str,
    },
}

/// The API key as a header shows it.
pub fn bearer(key: &Secret) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| {
        Failure::Garbled("the API key holds characters that no header may".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A path segment or query value.
pub fn segment(text: &str) -> Cow<'_, str> {
    kube::request::encode(text)
}
