//! From a socket to a WebSocket: TLS where the URL wants it, and the upgrade (RFC 6455, section 4.1).

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use time::OffsetDateTime;
use tungstenite::client::client_with_config;
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::client::{Request, Response, generate_key};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, WebSocket};
use ureq::http::{HeaderMap, HeaderValue, header};

use super::frames::MAX_FRAME;
use super::stream::Stream;
use crate::USER_AGENT;
use crate::backend::call::bearer;
use crate::backend::retry::retry_after;
use crate::config::url::WebSocketUrl;
use crate::secret::Secret;
use crate::thread::waker::Waiter;

/// TLS and upgrade together, however slowly the server speaks.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// The only version of the protocol that is spoken (protocol, section 3).
const SUBPROTOCOL: &str = "mlopt.agent.v1";

/// Why there is no WebSocket.
#[derive(Debug)]
pub enum UpgradeError {
    /// The server's certificate or TLS.
    Tls(io::Error),
    /// This status instead of 101, and the pause it asks for. A redirect too: it is not followed.
    Status(u16, Option<Duration>),
    /// The connection broke, or the answer was none.
    Broken(String),
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(err) if err.kind() == io::ErrorKind::TimedOut => {
                f.write_str("no TLS handshake in time")
            }
            Self::Tls(err) => write!(f, "TLS: {err}"),
            Self::Status(code @ (401 | 403), _) => {
                write!(
                    f,
                    "the upgrade was answered {code}: the API key was not accepted"
                )
            }
            Self::Status(code, _) => write!(f, "the upgrade was answered {code}"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

/// Makes a WebSocket of a connection to the server of `url`; `tls` where its scheme is wss.
pub fn upgrade(
    socket: TcpStream,
    url: &WebSocketUrl,
    tls: Option<&Arc<ClientConfig>>,
    key: &Secret,
    waiter: &Waiter<'_>,
) -> Result<WebSocket<Stream>, UpgradeError> {
    let deadline = Instant::now() + HANDSHAKE;
    let stream = match tls {
        None => Stream::plain(socket),
        Some(config) => {
            let name = ServerName::try_from(url.host().to_owned())
                .map_err(|err| UpgradeError::Tls(io::Error::other(err)))?;
            Stream::secure(socket, Arc::clone(config), name, waiter, deadline)
                .map_err(UpgradeError::Tls)?
        }
    };
    let request = request(url, key).map_err(|err| UpgradeError::Broken(err.to_string()))?;
    // tungstenite reads at most 64 KiB and 124 headers of an answer.
    let mut outcome = client_with_config(request, stream, Some(config()));
    loop {
        match outcome {
            Ok((socket, answer)) => return accepted(socket, &answer),
            Err(HandshakeError::Failure(err)) => return Err(refused(&err)),
            Err(HandshakeError::Interrupted(half)) => {
                let stream = half.get_ref().get_ref();
                waiter
                    .wait_for(stream.fd(), stream.wants_write(), deadline)
                    .map_err(|err| match err.kind() {
                        io::ErrorKind::TimedOut => "no answer to the upgrade in time".to_owned(),
                        _ => "the agent stops".to_owned(),
                    })
                    .map_err(UpgradeError::Broken)?;
                outcome = half.handshake();
            }
        }
    }
}

/// Bounds on what a server can make us hold. The buffers are small: idle connections are the rule.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 << 10)
        .write_buffer_size(8 << 10)
        .max_write_buffer_size(1 << 20)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
}

fn request(url: &WebSocketUrl, key: &Secret) -> Result<Request, Box<dyn std::error::Error>> {
    let mut request = Request::new(());
    *request.uri_mut() = url.as_str().parse()?;
    let host = request.uri().authority().map_or("", |it| it.as_str());
    let host = HeaderValue::from_str(host)?;
    let bearer = bearer(key).map_err(|err| err.to_string())?;
    let headers: &mut HeaderMap = request.headers_mut();
    headers.insert(header::HOST, host);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        header::SEC_WEBSOCKET_VERSION,
        HeaderValue::from_static("13"),
    );
    headers.insert(header::SEC_WEBSOCKET_KEY, generate_key().parse()?);
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.insert(header::AUTHORIZATION, bearer);
    Ok(request)
}

fn accepted(
    socket: WebSocket<Stream>,
    answer: &Response,
) -> Result<WebSocket<Stream>, UpgradeError> {
    // The one thing that tungstenite leaves to us (RFC 6455, section 4.1, 5.): none was asked for.
    if answer
        .headers()
        .contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
    {
        return Err(UpgradeError::Broken(
            "the server speaks an extension that was not asked for".to_owned(),
        ));
    }
    Ok(socket)
}

fn refused(err: &Error) -> UpgradeError {
    match err {
        Error::Http(answer) => {
            let asked = answer.headers().get(header::RETRY_AFTER);
            let asked = asked
                .and_then(|it| it.to_str().ok())
                .and_then(|it| retry_after(it, OffsetDateTime::now_utc()));
            UpgradeError::Status(answer.status().as_u16(), asked)
        }
        Error::AttackAttempt => UpgradeError::Broken(
            "the answer to the upgrade is over 64 KiB, or comes in too many pieces".to_owned(),
        ),
        other => UpgradeError::Broken(other.to_string()),
    }
}
