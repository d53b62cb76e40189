//! The backend's certificate: proven as the agent proves it, and what a person wants to know of it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use time::OffsetDateTime;

use super::backend::CERTIFICATE;
use super::certificate::Certificate;
use super::remedy;
use super::report::Line;
use crate::config::Config;
use crate::net::tls;

/// The handshake.
const ANSWER: Duration = Duration::from_secs(8);
/// A certificate that ends sooner should be renewed by now.
const RENEWAL_DAYS: i64 = 14;

/// The handshake, as the agent makes it, and what the server has shown.
pub(super) fn look(config: &Config, socket: TcpStream) -> Line {
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
}
