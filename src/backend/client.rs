//! One connection pool to the backend: the API key, deadlines, the proxy and the measured clock offset.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use ureq::http::{self, HeaderValue, Method, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;

use super::call::{Body, Call, TOTAL, bearer};
use super::hold::KEY_LOOK;
use super::protocol::Problem;
use super::retry::{Failure, http_date, retry_after};
use crate::USER_AGENT;
use crate::config::key_file::Key;
use crate::config::url::BackendUrl;
use crate::metrics::Metrics;
use crate::net::clock::ClockOffset;
use crate::net::excerpt::excerpt;
use crate::net::names::Names;
use crate::net::proxy::ProxySettings;
use crate::net::tls::certificates;
use crate::thread::stop::Stop;

const CONNECT: Duration = Duration::from_secs(10);
/// No answer of the contract is larger.
const MAX_ANSWER: u64 = 1 << 20;

/// What the calls of this process have in common.
pub struct Client {
    url: BackendUrl,
    key: Arc<Key>,
    metrics: Arc<Metrics>,
    agent: Mutex<ureq::Agent>,
    config: ureq::config::Config,
    clock: ClockOffset,
}

impl Client {
    /// A client of the backend at `url`; nothing is connected yet. The error says what is wrong with `ca`.
    pub fn new(
        url: BackendUrl,
        key: Arc<Key>,
        ca: Option<&str>,
        proxy: &ProxySettings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let mut tls = TlsConfig::builder();
        if let Some(pem) = ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(pem)?));
        }
        let config = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .proxy(proxy_of(&url, proxy)?)
            .http_status_as_error(false)
            // The API key must not be led elsewhere.
            .max_redirects(0)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .input_buffer_size(16 << 10)
            // The body of most batches leaves in one piece.
            .output_buffer_size(32 << 10)
            .build();
        let agent = Mutex::new(pool(&config));
        Ok(Self {
            url,
            key,
            metrics,
            agent,
            config,
            clock: ClockOffset::default(),
        })
    }

    /// A client of the same backend with connections of its own, which [`Client::interrupt`] breaks without touching
    /// these: for what ends apart from the rest.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            url: self.url.clone(),
            key: self.key.clone(),
            metrics: self.metrics.clone(),
            agent: Mutex::new(self.config.new_agent()),
            config: self.config.clone(),
            clock: ClockOffset::default(),
        }
    }

    /// Breaks every call under way. The next one connects anew.
    pub fn interrupt(&self) {
        let mut agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *agent, pool(&self.config)).shutdown();
    }

    /// The backend's clock less ours, as last measured.
    pub fn clock_offset_ms(&self) -> Option<i64> {
        self.clock.millis()
    }

    /// Sends JSON and reads a JSON answer.
    pub fn json<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        method: Method,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(message).map_err(|err| Failure::Garbled(err.to_string()))?;
        let answer = self.call(Call {
            endpoint,
            method,
            path,
            body: Body::Json(body),
            deadline: TOTAL,
            success: &[200],
        })?;
        serde_json::from_slice(&answer).map_err(|err| Failure::Garbled(self.said(&err.to_string())))
    }

    /// Sends `call` and returns the body of a successful answer.
    pub fn call(&self, call: Call<'_>) -> Result<Vec<u8>, Failure> {
        let (endpoint, success) = (call.endpoint, call.success);
        let began = Instant::now();
        let outcome = self.exchange(call);
        let code = match &outcome {
            Ok((code, ..)) => code.to_string(),
            Err(_) => "none".to_owned(),
        };
        self.metrics
            .backend_requests
            .with_label_values(&[endpoint, &code])
            .inc();
        self.metrics
            .backend_seconds
            .with_label_values(&[endpoint])
            .observe(began.elapsed().as_secs_f64());
        let (code, headers, body) = outcome?;
        let header = |name| {
            headers
                .get(name)
                .and_then(|it: &HeaderValue| it.to_str().ok())
        };
        let offset = header(header::DATE).and_then(|it| self.clock.measure(it, began));
        if let Some(millis) = offset {
            #[expect(clippy::cast_precision_loss, reason = "a clock is not 2^52 ms off")]
            self.metrics.clock_offset.set(millis as f64 / 1000.0);
        }
        if success.contains(&code) {
            return Ok(body);
        }
        if (200..300).contains(&code) {
            return Err(Failure::Garbled(format!("it came with status {code}")));
        }
        // A date is one of the backend's clock, which need not be ours.
        let now = header(header::DATE).and_then(http_date);
        let now = now.unwrap_or_else(OffsetDateTime::now_utc);
        let asked = header(header::RETRY_AFTER).and_then(|it| retry_after(it, now));
        let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        let why = problem.detail.or(problem.title);
        let why = why.map_or_else(|| "no reason given".to_owned(), |it| self.said(&it));
        Err(Failure::from_status(code, why, asked, self.key.version()))
    }

    /// What the backend said, as it may be shown: it may echo what it was sent.
    pub fn said(&self, text: &str) -> String {
        let (key, _) = self.key.current();
        excerpt(&text.replace(key.expose(), "<redacted>"))
    }

    fn exchange(&self, call: Call<'_>) -> Result<(u16, http::HeaderMap, Vec<u8>), Failure> {
        let (key, _) = self.key.current();
        let request = http::Request::builder()
            .method(call.method)
            .uri(self.url.join(call.path))
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::AUTHORIZATION, bearer(&key)?);
        let agent = self
            .agent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let json = "application/json";
        let sent = match call.body {
            Body::Empty => agent.run(within(
                &agent,
                request.body(()).map_err(|err| bad(&err))?,
                call.deadline,
            )),
            Body::Json(text) => {
                self.metrics.backend_sent_bytes.inc_by(text.len() as u64);
                let request = request
                    .header(header::CONTENT_TYPE, json)
                    .body(&text[..])
                    .map_err(|err| bad(&err))?;
                agent.run(within(&agent, request, call.deadline))
            }
            Body::Gzip { bytes, key } => {
                self.metrics.backend_sent_bytes.inc_by(bytes.len() as u64);
                let request = request
                    .header(header::CONTENT_TYPE, json)
                    .header(header::CONTENT_ENCODING, "gzip")
                    .header("Idempotency-Key", key);
                agent.run(within(
                    &agent,
                    request.body(bytes).map_err(|err| bad(&err))?,
                    call.deadline,
                ))
            }
        };
        let (parts, body) = sent.map_err(|err| transport(&err))?.into_parts();
        let mut text = Vec::new();
        let read = body
            .into_with_config()
            .limit(u64::MAX)
            .reader()
            .take(MAX_ANSWER + 1)
            .read_to_end(&mut text);
        self.metrics
            .backend_received_bytes
            .inc_by(text.len() as u64);
        // A success that breaks off may have done its work; the caller repeats it under the same key.
        read.map_err(|err| Failure::Transient {
            why: format!("the answer broke off: {err}"),
            retry_after: None,
        })?;
        if text.len() as u64 > MAX_ANSWER {
            return Err(Failure::Garbled("it is larger than 1 MiB".to_owned()));
        }
        Ok((parts.status.as_u16(), parts.headers, text))
    }

    /// Pauses after `failure`; true if the stop came first. A changed API key ends the pause of a refused one.
    pub fn pause(&self, pause: Duration, failure: &Failure, stop: &Stop) -> bool {
        let Failure::Unauthorized { key_version, .. } = failure else {
            return stop.wait(pause);
        };
        let deadline = Instant::now() + pause;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.key.version() != *key_version {
                return false;
            }
            if stop.wait(left.min(KEY_LOOK)) {
                return true;
            }
        }
    }

    /// How often the API key has changed.
    pub fn key_version(&self) -> u64 {
        self.key.version()
    }
}

fn pool(config: &ureq::config::Config) -> ureq::Agent {
    ureq::Agent::with_parts(
        config.clone(),
        DefaultConnector::default(),
        Names::default(),
    )
}

fn within<B: ureq::AsSendBody>(
    agent: &ureq::Agent,
    request: http::Request<B>,
    deadline: Duration,
) -> http::Request<B> {
    agent
        .configure_request(request)
        .timeout_global(Some(deadline))
        .build()
}

fn bad(err: &http::Error) -> Failure {
    Failure::Garbled(format!("no request can be made of it: {err}"))
}

/// Everything below HTTP is worth another try, a certificate that expired included: somebody may renew it.
fn transport(err: &ureq::Error) -> Failure {
    let why = match err {
        ureq::Error::Timeout(which) => format!("no answer in time ({which})"),
        ureq::Error::HostNotFound => "the host's name does not resolve".to_owned(),
        other => other.to_string(),
    };
    Failure::Transient {
        why,
        retry_after: None,
    }
}

fn proxy_of(url: &BackendUrl, settings: &ProxySettings) -> Result<Option<ureq::Proxy>, String> {
    let Some(proxy) = settings.for_host(url.host(), url.port()) else {
        return Ok(None);
    };
    let mut builder = ureq::Proxy::builder(ureq::ProxyProtocol::Http)
        .host(&proxy.host)
        .port(proxy.port);
    if let Some((user, password)) = &proxy.credentials {
        builder = builder.username(user).password(password.expose());
    }
    builder
        .build()
        .map(Some)
        .map_err(|_| "HTTPS_PROXY: expected http://host:port".to_owned())
}
