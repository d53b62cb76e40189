//! The upgrade from HTTP (RFC 6455, section 4.2; protocol, section 3).

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tungstenite::handshake::derive_accept_key;

use crate::backend::answer::Refusal;
use crate::backend::fault::FaultKind;
use crate::http::Request;

/// Protocol, section 3.
const SUBPROTOCOL: &str = "mlopt.agent.v1";

/// The key of an upgrade that may be answered.
pub(super) fn check(request: &Request) -> Result<String, Refusal> {
    let header = |name: &str| request.header(name).unwrap_or_default();
    let lists = |name: &str, word: &str| {
        header(name)
            .split(',')
            .any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if !lists("upgrade", "websocket") || !lists("connection", "upgrade") {
        return Err(Refusal::broken(426, "expected an upgrade to websocket"));
    }
    if header("sec-websocket-version") != "13" {
        return Err(Refusal::broken(400, "Sec-WebSocket-Version: expected 13"));
    }
    if !lists("sec-websocket-protocol", SUBPROTOCOL) {
        return Err(Refusal::broken(
            400,
            format!("Sec-WebSocket-Protocol: expected {SUBPROTOCOL}"),
        ));
    }
    if request.header("sec-websocket-extensions").is_some() {
        return Err(Refusal::broken(
            400,
            "Sec-WebSocket-Extensions: expected none",
        ));
    }
    let key = header("sec-websocket-key");
    if STANDARD.decode(key).is_ok_and(|key| key.len() == 16) {
        return Ok(key.to_owned());
    }
    Err(Refusal::broken(
        400,
        "Sec-WebSocket-Key: expected 16 bytes in base64",
    ))
}

/// Answers it, in the way that the fault wants it.
pub(super) fn accept(
    mut out: impl Write,
    key: &str,
    date: &str,
    fault: Option<&FaultKind>,
) -> io::Result<()> {
    let padding = match fault {
        Some(FaultKind::LargeHeaders) => format!("X-Padding: {}\r\n", "x".repeat(10 << 20)),
        _ => String::new(),
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nDate: {date}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n{padding}\r\n",
        derive_accept_key(key.as_bytes())
    );
    let Some(FaultKind::Slow { interval_ms }) = fault else {
        return out.write_all(answer.as_bytes());
    };
    for byte in answer.bytes() {
        thread::sleep(Duration::from_millis(*interval_ms));
        out.write_all(&[byte])?;
    }
    Ok(())
}
