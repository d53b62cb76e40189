//! The backend over REST: the way there, its certificate, the API key, the cluster id and its clock.
//!
//! The one call that is made is a list of waiting actions: it claims nothing, and no run of the agent is registered or
//! replaced by it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use time::OffsetDateTime;
use ureq::http::Method;

use super::certificate::Certificate;
use super::clock;
use super::report::Line;
use super::{Sink, remedy};
use crate::backend::Client;
use crate::backend::client::{Body, Call, segment};
use crate::backend::retry::Failure;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::tls;
use crate::websocket::dial::{DialError, dial};
use crate::websocket::waker::Waiter;

/// The handshake, and the call, each.
const ANSWER: Duration = Duration::from_secs(8);
/// A certificate that ends sooner should be renewed by now.
const RENEWAL_DAYS: i64 = 14;

const REACHED: &str = "backend";
const CERTIFICATE: &str = "backend_certificate";
const KEY: &str = "api_key";
const CLUSTER: &str = "cluster_id";
const CLOCK: &str = "clock_backend";

/// The names of its lines.
pub(super) const LINES: [&str; 5] = [REACHED, CERTIFICATE, KEY, CLUSTER, CLOCK];

pub(super) fn look(config: &Config, waiter: &Waiter<'_>, sink: &Sink) {
    let url = &config.backend_url;
    let proxy = config.proxy.for_host(url.host(), url.port());
    let began = Instant::now();
    let socket = match dial(url.host(), url.port(), proxy, waiter) {
        Ok(socket) => socket,
        Err(err) => {
            let found = format!("{} cannot be reached: {err}", authority(config));
            sink.tell(Line::failed(REACHED, found, reaching(&err)));
            return sink.skip(&LINES, "the backend cannot be reached");
        }
    };
    let way = proxy.map_or(String::new(), |it| {
        format!(" through the proxy {}:{}", it.host, it.port)
    });
    let took = began.elapsed().as_millis();
    let found = format!("{} can be reached{way} in {took} ms", authority(config));
    sink.tell(Line::ok(REACHED, found));
    if url.is_secure() {
        let line = secure(config, socket);
        let is_proven = line.outcome != super::Outcome::Failed;
        sink.tell(line);
        if !is_proven {
            return sink.skip(
                &LINES,
                "nothing is sent to a backend that does not prove itself",
            );
        }
    } else {
        sink.tell(Line::skipped(
            CERTIFICATE,
            "BACKEND_URL is http, there is none",
        ));
    }
    call(config, sink);
}

fn authority(config: &Config) -> String {
    let url = &config.backend_url;
    crate::websocket::dial::authority(url.host(), url.port())
}

/// What to do about a backend that cannot be reached.
pub(super) fn reaching(err: &DialError) -> String {
    let text = match err {
        DialError::Name(_) => {
            "look at the host in the URL and at the cluster's DNS; the network policy must let names out (port 53)"
        }
        DialError::Connect(..) => {
            "look whether the backend runs, at the port in the URL, and whether firewall and network policy \
             (networkPolicy.backend.ports) let it out; where only a proxy leads out, set HTTPS_PROXY"
        }
        DialError::Proxy(_) => {
            "the proxy of HTTPS_PROXY blocks the way: have it allow CONNECT to this host and port, put right its \
             credentials, or name the host in NO_PROXY where there is a way without"
        }
    };
    text.to_owned()
}

/// The handshake, as the agent makes it, and what the server has shown.
fn secure(config: &Config, socket: TcpStream) -> Line {
    let url = &config.backend_url;
    let tls = tls::client_config(config.backend_ca.as_deref()).map_err(io::Error::other);
    let shown = tls.and_then(|tls| handshake(tls, url.host(), socket));
    match shown {
        Ok(certificate) => judge(certificate, OffsetDateTime::now_utc()),
        Err(err) => Line::failed(
            CERTIFICATE,
            format!("TLS: {err}"),
            remedy::tls(&err, config.backend_ca.is_some()),
        ),
    }
}

fn handshake(
    tls: Arc<ClientConfig>,
    host: &str,
    socket: TcpStream,
) -> io::Result<Option<Certificate>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(tls, name).map_err(io::Error::other)?;
    let mut socket = Bounded::new(socket, Instant::now() + ANSWER)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    let chain = connection.peer_certificates().unwrap_or_default();
    Ok(chain.first().and_then(|it| Certificate::read(it)))
}

fn judge(certificate: Option<Certificate>, now: OffsetDateTime) -> Line {
    let Some(it) = certificate else {
        return Line::ok(CERTIFICATE, "it is trusted");
    };
    let days = (it.until - now).whole_days();
    let quoted = |name: &str| {
        if name.is_empty() {
            "no common name".to_owned()
        } else {
            format!("{name:?}")
        }
    };
    let found = format!(
        "of {}, issued by {}, is trusted until {}, {days} more days",
        quoted(&it.subject),
        quoted(&it.issuer),
        it.until.date()
    );
    if days < RENEWAL_DAYS {
        let remedy = "have the backend's certificate renewed before it ends";
        return Line::warning(CERTIFICATE, found, remedy);
    }
    Line::ok(CERTIFICATE, found)
}

/// A socket that is given up at a time, however slowly the other side speaks.
struct Bounded {
    socket: TcpStream,
    until: Instant,
}

impl Bounded {
    fn new(socket: TcpStream, until: Instant) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        Ok(Self { socket, until })
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
        }
        Ok(Some(left))
    }
}

impl Read for Bounded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buf).map_err(|err| match err.kind() {
            io::ErrorKind::WouldBlock => {
                io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
            }
            _ => err,
        })
    }
}

impl Write for Bounded {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn call(config: &Config, sink: &Sink) {
    let client = Metrics::new()
        .map_err(|err| err.to_string())
        .and_then(|it| {
            let (url, key) = (config.backend_url.clone(), config.api_key.clone());
            Client::new(
                url,
                key,
                config.backend_ca.as_deref(),
                &config.proxy,
                Arc::new(it),
            )
        });
    let client = match client {
        Ok(client) => client,
        Err(why) => return sink.skip(&LINES, &why),
    };
    let path = format!(
        "/v1/clusters/{}/actions?agent_id={}&limit=1",
        segment(&config.cluster_id),
        segment(&config.agent_id)
    );
    let answer = client.call(Call {
        endpoint: "actions",
        method: Method::GET,
        path: &path,
        body: Body::Empty,
        deadline: ANSWER,
        success: &[200, 204],
    });
    let (key, cluster) = access(answer.map(drop), &config.cluster_id);
    sink.tell(key);
    sink.tell(cluster);
    sink.tell(clock::judge(CLOCK, "the backend", client.clock_offset_ms()));
}

/// What the answer to the list says of the API key and of the cluster id.
fn access(answer: Result<(), Failure>, cluster_id: &str) -> (Line, Line) {
    let no_cluster = |why: &str| Line::skipped(CLUSTER, why);
    let Err(failure) = answer else {
        return (
            Line::ok(KEY, "the backend accepts it"),
            Line::ok(CLUSTER, format!("the backend knows {cluster_id:?}")),
        );
    };
    match failure {
        Failure::Unauthorized { code: 403, .. } => (
            Line::ok(KEY, "the backend accepts it"),
            Line::failed(
                CLUSTER,
                format!("403: the API key does not cover the cluster {cluster_id:?}"),
                "set CLUSTER_ID (the chart's value cluster.id) to the name under which the backend knows this cluster, \
                 or have it give out a key for this one",
            ),
        ),
        Failure::Unauthorized { code, .. } => (
            Line::failed(
                KEY,
                format!("{code}: the backend does not accept it"),
                "put the backend's present key into the secret agent-credentials (api-key); a file that changes is \
                 read again without a restart",
            ),
            no_cluster("the backend answers no one without a key"),
        ),
        Failure::Refused { code, why } => (
            Line::failed(
                KEY,
                format!("the backend answers {code}: {why}"),
                "look at BACKEND_URL: it must be what stands before /v1, with its path and no more",
            ),
            no_cluster("the backend does not answer as it should"),
        ),
        Failure::Transient { why, .. } => (
            Line::failed(
                KEY,
                format!("the backend does not answer: {why}"),
                "look at the backend and at what stands before it; the agent tries again by itself",
            ),
            no_cluster("the backend does not answer"),
        ),
        failure @ (Failure::Garbled(_) | Failure::TooLarge) => (
            Line::failed(
                KEY,
                failure.to_string(),
                "look at BACKEND_URL: something else than the backend answers there, such as a proxy's login page",
            ),
            no_cluster("the backend does not answer as it should"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Outcome;
    use time::macros::datetime;

    #[test]
    fn a_certificate_is_judged_by_the_days_that_are_left() {
        let certificate = |until| {
            Some(Certificate {
                subject: "backend.example".to_owned(),
                issuer: String::new(),
                until,
            })
        };
        let now = datetime!(2026-01-01 00:00:00 UTC);
        let line = judge(certificate(datetime!(2026-03-01 00:00:01 UTC)), now);
        assert_eq!(line.outcome, Outcome::Ok);
        assert_eq!(
            line.found,
            "of \"backend.example\", issued by no common name, is trusted until 2026-03-01, 59 more days"
        );
        let line = judge(certificate(datetime!(2026-01-14 00:00:00 UTC)), now);
        assert_eq!(line.outcome, Outcome::Warning);
    }

    #[test]
    fn the_answer_tells_the_key_from_the_cluster() {
        let unauthorized = |code| Failure::Unauthorized {
            code,
            key_version: 0,
        };
        let (ok, failed, skipped) = (Outcome::Ok, Outcome::Failed, Outcome::Skipped);
        for (answer, expected) in [
            (Ok(()), (ok, ok)),
            (Err(unauthorized(401)), (failed, skipped)),
            (Err(unauthorized(403)), (ok, failed)),
            (Err(Failure::TooLarge), (failed, skipped)),
        ] {
            let (key, cluster) = access(answer.clone(), "c");
            assert_eq!((key.outcome, cluster.outcome), expected, "{answer:?}");
        }
    }
}
