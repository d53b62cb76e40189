//! One connection pool to the API server, with fresh credentials, deadlines and counted requests.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{self, HeaderValue, header};
use ureq::unversioned::transport::DefaultConnector;

use super::body::Body;
use super::call::{Call, Deadlines};
use super::credentials::Credentials;
use super::fence::Fence;
use super::kubeconfig::Access;
use super::refusals::Refusals;
use super::request::Target;
use super::status::{Error, Status};
use crate::metrics::Metrics;
use crate::net::clock::ClockOffset;
use crate::net::names::Names;
use crate::secret::Secret;
use crate::thread::stop::Stop;
use crate::{USER_AGENT, thread};

/// A name that does not resolve or a host that does not answer is noticed within this.
const CONNECT: Duration = Duration::from_secs(10);
/// The most that is read of an answer that is held whole: a single object, or a refusal.
const MAX_BODY: u64 = 4 << 20;
/// ureq's buffers, for each connection: reads of a TLS record or more at once, and small requests.
const INPUT_BUFFER: usize = 32 << 10;
const OUTPUT_BUFFER: usize = 8 << 10;

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
    session: Mutex<Session>,
}

#[derive(Default)]
struct Session {
    closed: bool,
    current: Option<Current>,
}

struct Current {
    agent: ureq::Agent,
    fingerprint: u64,
    credentials: Credentials,
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
            session: Mutex::default(),
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
        let mut session = self.session();
        session.closed = true;
        if let Some(current) = session.current.take() {
            current.agent.shutdown();
        }
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
    /// A 401 is tried once more with credentials read anew.
    pub fn open(&self, call: &Call<'_>) -> Result<Body, Error> {
        match self.attempt(call, false) {
            Err(err) if err.code() == Some(401) => self.attempt(call, true),
            other => other,
        }
    }

    fn attempt(&self, call: &Call<'_>, renew: bool) -> Result<Body, Error> {
        let (agent, bearer) = self.credentials(renew)?;
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
        let mut text = Vec::new();
        // What the refusal says is welcome; that it could not be read does not change that it is one.
        let _ = body.take(MAX_BODY).read_to_end(&mut text);
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

    /// The pool and token to use now, read anew when they are stale or `renew` asks for it.
    fn credentials(&self, renew: bool) -> Result<(ureq::Agent, Option<Secret>), Error> {
        let mut session = self.session();
        if session.closed {
            return Err(Error::Stopped);
        }
        if renew
            || session
                .current
                .as_ref()
                .is_none_or(|it| it.credentials.are_stale())
        {
            let read = Credentials::read(&self.access, &self.stop)
                .and_then(|it| Self::connectable(&session, it));
            match (read, session.current.as_mut()) {
                (Ok(read), _) => session.current = Some(read),
                // The last good ones may serve on: the kubelet may be writing the file at this moment.
                (Err(_), Some(current)) if !renew => current.credentials.keep(),
                (Err(err), _) => return Err(err),
            }
        }
        match &session.current {
            Some(current) => Ok((current.agent.clone(), current.credentials.bearer.clone())),
            None => Err(Error::Stopped),
        }
    }

    /// The pool for `credentials`: the one in use where their certificates are the same.
    fn connectable(session: &Session, credentials: Credentials) -> Result<Current, Error> {
        let fingerprint = credentials.tls.fingerprint();
        let agent = match &session.current {
            Some(current) if current.fingerprint == fingerprint => current.agent.clone(),
            _ => agent(credentials.tls.config()?),
        };
        Ok(Current {
            agent,
            fingerprint,
            credentials,
        })
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn agent(tls: ureq::tls::TlsConfig) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        // Traffic to the API server must never go through a proxy that the environment names.
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .timeout_resolve(Some(CONNECT))
        .input_buffer_size(INPUT_BUFFER)
        .output_buffer_size(OUTPUT_BUFFER)
        .build();
    ureq::Agent::with_parts(config, DefaultConnector::default(), Names::default())
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
