//! One connection pool to the API server, with fresh credentials, deadlines and counted requests.

mod session;

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{self, HeaderValue, header};

use super::body::Body;
use super::call::{Call, Deadlines};
use super::fence::Fence;
use super::kubeconfig::Access;
use super::refusals::Refusals;
use super::request::Target;
use super::status::{Error, Status};
use crate::metrics::Metrics;
use crate::net::clock::ClockOffset;
use crate::secret::Secret;
use crate::thread::stop::Stop;
use crate::{USER_AGENT, thread};
use session::Session;

/// The most that is read of an answer that is held whole: a single object, or a refusal.
const MAX_BODY: u64 = 4 << 20;
/// How long a refusal may take to say why.
const REFUSAL: Duration = Duration::from_secs(10);

/// As requests for the server's version are counted.
const VERSION: &str = "version";

/// The API server.
pub struct Client {
    access: Access,
    stop: Stop,
    metrics: Arc<Metrics>,
    fence: Option<Arc<dyn Fence>>,
    clock: ClockOffset,
    refusals: Arc<Refusals>,
    session: Session,
}

impl Client {
    /// A client of the server that `access` names; nothing is read or connected yet. It writes nothing.
    pub fn new(access: Access, stop: Stop, metrics: Arc<Metrics>) -> Self {
        Self {
            access,
            stop,
            metrics,
            fence: None,
            clock: ClockOffset::default(),
            refusals: Arc::default(),
            session: Session::default(),
        }
    }

    /// The same client with the right to write, whenever `fence` says so.
    #[must_use]
    pub fn writing(self, fence: Arc<dyn Fence>) -> Self {
        Self {
            fence: Some(fence),
            ..self
        }
    }

    /// A client of the same server with connections of its own, which [`Client::close`] breaks without touching
    /// these: for what ends apart from the rest. It writes nothing.
    #[must_use]
    pub fn apart(&self, stop: Stop) -> Self {
        Self::new(self.access.clone(), stop, self.metrics.clone()).telling(self.refusals.clone())
    }

    /// The same client, which tells `refusals` what authorization refuses.
    #[must_use]
    pub fn telling(self, refusals: Arc<Refusals>) -> Self {
        Self { refusals, ..self }
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        &self.access.server
    }

    /// Fires when the agent stops.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Breaks every connection, so that no thread goes on waiting, and refuses new requests.
    pub fn close(&self) {
        self.session.close();
    }

    /// The server's version, such as `v1.20.2`.
    pub fn version(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            git_version: String,
        }
        let version: Version = self.get(&Target::new("/version"), VERSION)?;
        Ok(version.git_version)
    }

    /// The server's clock less ours, as the last answer to a question for its version said it.
    pub fn clock_offset_ms(&self) -> Option<i64> {
        self.clock.millis()
    }

    /// Gets one object.
    pub fn get<T: DeserializeOwned>(
        &self,
        target: &Target,
        resource: &'static str,
    ) -> Result<T, Error> {
        self.send(&Call::get(target, resource))
    }

    /// Sends a request whose answer is one object.
    pub fn send<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Error> {
        let mut body = Vec::new();
        self.open(call)?.take(MAX_BODY).read_to_end(&mut body)?;
        serde_json::from_slice(&body).map_err(|err| Error::Decode(err.to_string()))
    }

    /// Sends a request and returns the body of the answer, to be read as it comes. A refusal is an error.
    ///
    /// A 401 is tried once more with credentials read anew. So is what found its connection closed, as happens to one
    /// that lay idle, unless it writes: the server may have heard it.
    pub fn open(&self, call: &Call<'_>) -> Result<Body, Error> {
        match self.attempt(call, false) {
            Err(err) if err.code() == Some(401) => self.attempt(call, true),
            Err(Error::Cut(_)) if !call.writes() => self.attempt(call, false),
            other => other,
        }
    }

    fn attempt(&self, call: &Call<'_>, renew: bool) -> Result<Body, Error> {
        let (agent, bearer) = self.session.current(&self.access, &self.stop, renew)?;
        // Last of all, so that nothing that takes time stands between the question and the request.
        let deadlines = self.admitted(call)?;
        let began = Instant::now();
        let answer = self.exchange(&agent, bearer.as_ref(), call, deadlines);
        let code = match &answer {
            Ok(answer) => answer.status().as_str().to_owned(),
            Err(_) => "none".to_owned(),
        };
        self.metrics
            .api_requests
            .with_label_values(&[call.verb, call.resource, &code])
            .inc();
        // A watch's answer begins at once and then lasts: only the wait for its head is a latency.
        self.metrics
            .api_seconds
            .with_label_values(&[call.verb, call.resource])
            .observe(began.elapsed().as_secs_f64());
        let answer = answer?;
        let code = answer.status();
        let (parts, body) = answer.into_parts();
        let header = |name| {
            parts
                .headers
                .get(name)
                .and_then(|it: &HeaderValue| it.to_str().ok())
        };
        if call.resource == VERSION
            && let Some(date) = header(header::DATE)
        {
            self.clock.measure(date, began);
        }
        let received = self.metrics.api_received_bytes.clone();
        let body = Body::new(&parts.headers, body, received);
        if code.is_success() {
            self.refusals.granted(call.verb, call.resource);
            return Ok(body);
        }
        // What the refusal says is welcome; that it could not be read does not change that it is one.
        let text = body.beginning(MAX_BODY, REFUSAL);
        let status = Status::from_answer(code.as_u16(), header(header::RETRY_AFTER), &text);
        self.refusals.refused(call.verb, call.resource, &status);
        Err(Error::Status(Box::new(status)))
    }

    /// How long `call` may take, or that it may not be sent.
    fn admitted(&self, call: &Call<'_>) -> Result<Deadlines, Error> {
        if !call.writes() {
            return Ok(call.deadlines);
        }
        let fence = self.fence.as_ref().ok_or(Error::Fenced)?;
        let left = fence.admits().ok_or(Error::Fenced)?;
        Ok(call.deadlines.within(left))
    }

    fn exchange(
        &self,
        agent: &ureq::Agent,
        bearer: Option<&Secret>,
        call: &Call<'_>,
        deadlines: Deadlines,
    ) -> Result<http::Response<ureq::Body>, Error> {
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.access.server, call.target.as_str()))
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, call.accept)
            // The API server is near: to pack and unpack costs both sides more than to send as it is.
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(token) = bearer {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| {
                    Error::Credentials("the token holds characters that no header may".to_owned())
                })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some((kind, body)) = call.body {
            request = request.header(header::CONTENT_TYPE, kind);
            self.metrics.api_sent_bytes.inc_by(body.len() as u64);
            let request = request
                .body(body)
                .map_err(|err| Error::Decode(err.to_string()))?;
            return Ok(agent.run(with(agent, request, deadlines))?);
        }
        let request = request
            .body(())
            .map_err(|err| Error::Decode(err.to_string()))?;
        Ok(agent.run(with(agent, request, deadlines))?)
    }
}

fn with<B: ureq::AsSendBody>(
    agent: &ureq::Agent,
    request: http::Request<B>,
    deadlines: Deadlines,
) -> http::Request<B> {
    agent
        .configure_request(request)
        .timeout_recv_response(Some(deadlines.answer))
        .timeout_per_read(Some(deadlines.silence))
        .timeout_per_write(Some(deadlines.silence))
        .timeout_global(deadlines.total)
        .build()
}

/// The pause before a failed request to the API server is tried again: what the server asked for, else a back-off.
pub fn pause_after(err: &Error, backoff: &mut thread::backoff::Backoff) -> Duration {
    let drawn = backoff.next_pause();
    match err.retry_after() {
        // A thousand agents told the same second must not all come back in it.
        Some(asked) => asked + drawn.min(Duration::from_secs(1)),
        None => drawn,
    }
}

#[cfg(test)]
mod tests;
