//! `/healthz`, `/readyz` and `/metrics`.
//!
//! tiny_http's own server has no deadlines, and a thread for each client that is slow; its accept thread ends for good
//! at the first client too many. So what is read and written here is tiny_http's, and who is listened to, how long and
//! how many at once is decided by [`gate`].

mod connection;
mod gate;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use log::info;
use serde_json::{Value, json};
use tiny_http::{HTTPVersion, Header, Method, Response};

use crate::health::{Component, Health, Leads, Verdict};
use crate::logging::HEARTBEAT;
use crate::metrics::Metrics;
use crate::resources::Resources;
use crate::thread::stop::Stop;
use crate::thread::waker::Waker;
use connection::{Asked, Malformed};
use gate::Gate;

/// Shows a sign of life this often while nobody asks.
const LOOK: Duration = Duration::from_secs(5);

/// The endpoints.
pub struct Endpoints {
    /// HTTP_PORT.
    pub port: u16,
    /// What the probes answer.
    pub health: Arc<Health>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Read when `/metrics` is asked for.
    pub resources: Arc<Resources>,
    /// Bound once, so that a probe that comes while the thread is restarted waits instead of being refused.
    pub listener: OnceLock<TcpListener>,
    /// Called after the stop fires: whoever waits for sockets does not see it.
    pub waker: Arc<Waker>,
}

impl Endpoints {
    /// Listens on all addresses, IPv6 and IPv4 where the host has both.
    pub fn bind(port: u16) -> io::Result<TcpListener> {
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        TcpListener::bind(both)
            .or_else(|_| TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))))
    }

    fn listener(&self) -> io::Result<&TcpListener> {
        if let Some(listener) = self.listener.get() {
            return Ok(listener);
        }
        let listener = Self::bind(self.port)?;
        let address = listener.local_addr()?;
        info!(target: HEARTBEAT, "Listening on port {}", address.port());
        Ok(self.listener.get_or_init(|| listener))
    }

    /// Answers until the stop.
    pub fn run(&self, component: &Component, stop: &Stop) -> io::Result<()> {
        let mut gate = Gate::new(self.listener()?.try_clone()?, self.waker.clone())?;
        while !stop.requested() {
            component.beat();
            gate.round(LOOK, |asked| self.answer(asked))?;
        }
        Ok(())
    }

    /// The bytes of the answer to what somebody asked.
    fn answer(&self, asked: Result<Asked<'_>, Malformed>) -> Vec<u8> {
        let (code, kind, body) = match &asked {
            Ok(asked) => self.page(&asked.method, asked.path),
            Err(malformed) => (
                malformed.code(),
                JSON,
                json!({"error": malformed.to_string()}).to_string(),
            ),
        };
        let mut response = Response::from_string(body).with_status_code(code);
        if let Ok(header) = Header::from_bytes("Content-Type", kind) {
            response.add_header(header);
        }
        let is_head = asked.is_ok_and(|it| it.method == Method::Head);
        let mut bytes = Vec::new();
        // In HTTP/1.0 an answer is the end of its connection. Writing to memory does not fail.
        let _ = response.raw_print(&mut bytes, HTTPVersion(1, 0), &[], is_head, None);
        bytes
    }

    /// What is switched off stands beside the verdict.
    fn ready(&self) -> (u16, &'static str, String) {
        let (code, mut body) = match self.health.ready() {
            Ok(()) => (200, ready(&self.health.leader())),
            Err(failing) => (503, json!({"status": "failing", "failing": failing})),
        };
        let off = self.health.off();
        if !off.is_empty() {
            body["switched_off"] = json!(off);
        }
        (code, JSON, body.to_string())
    }

    fn page(&self, method: &Method, path: &str) -> (u16, &'static str, String) {
        match (method, path) {
            (Method::Get | Method::Head, "/healthz") => verdict(self.health.live()),
            (Method::Get | Method::Head, "/readyz") => self.ready(),
            (Method::Get | Method::Head, "/metrics") => {
                self.resources.read();
                (
                    200,
                    "text/plain; version=0.0.4; charset=utf-8",
                    self.metrics.text(),
                )
            }
            (_, "/healthz" | "/readyz" | "/metrics") => (
                405,
                JSON,
                json!({"error": "only GET is served"}).to_string(),
            ),
            _ => (
                404,
                JSON,
                json!({"error": "no such path", "paths": ["/healthz", "/readyz", "/metrics"]})
                    .to_string(),
            ),
        }
    }
}

const JSON: &str = "application/json";

/// A standby is ready too: a rolling upgrade waits for it.
fn ready(Leads { leader, holder }: &Leads) -> Value {
    let mut body = json!({"status": "ready", "leader": leader});
    if let Some(holder) = holder {
        body["holder"] = holder.as_str().into();
    }
    body
}

fn verdict(verdict: Verdict) -> (u16, &'static str, String) {
    match verdict {
        Ok(()) => (200, JSON, json!({"status": "ok"}).to_string()),
        Err(failing) => (
            503,
            JSON,
            json!({"status": "failing", "failing": failing}).to_string(),
        ),
    }
}
