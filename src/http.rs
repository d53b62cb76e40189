//! `/healthz`, `/readyz` and `/metrics`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use log::info;
use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response, Server};

use crate::health::{Component, Health, Leads, Verdict};
use crate::logging::HEARTBEAT;
use crate::metrics::Metrics;
use crate::resources::Resources;
use crate::thread::stop::Stop;

/// The server looks this often whether it should stop.
const LOOK: Duration = Duration::from_millis(500);

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
        let listener = self.listener()?.try_clone()?;
        let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
        while !stop.requested() {
            component.beat();
            if let Some(request) = server.recv_timeout(LOOK)? {
                // Whoever asked and left is no concern of ours.
                let _ = self.answer(request);
            }
        }
        Ok(())
    }

    fn answer(&self, request: Request) -> io::Result<()> {
        let path = request.url().split('?').next().unwrap_or_default();
        let (code, kind, body) = match (request.method(), path) {
            (Method::Get | Method::Head, "/healthz") => {
                verdict(self.health.live(), json!({"status": "ok"}))
            }
            (Method::Get | Method::Head, "/readyz") => {
                verdict(self.health.ready(), ready(&self.health.leader()))
            }
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
        };
        let mut response = Response::from_string(body).with_status_code(code);
        if let Ok(header) = Header::from_bytes("Content-Type", kind) {
            response.add_header(header);
        }
        request.respond(response)
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

#[expect(clippy::needless_pass_by_value, reason = "made in place at each call")]
fn verdict(verdict: Verdict, fine: Value) -> (u16, &'static str, String) {
    match verdict {
        Ok(()) => (200, JSON, fine.to_string()),
        Err(failing) => (
            503,
            JSON,
            json!({"status": "failing", "failing": failing}).to_string(),
        ),
    }
}
