//! What is heard over one WebSocket connection, from hello to its end (protocol, section 3).

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::backend::state::Core;
use crate::http::Connection;

use super::line::{Line, Outlet};
use super::record::{ChannelMode, Closed, ClosedBy};
use super::session::Session;

/// Protocol, section 3: the most in one text.
const MAX_FRAME: usize = 256 << 10;
/// How often a connection that is silent is looked after.
const TICK: Duration = Duration::from_millis(250);
/// How long the peer has to answer a close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// An agent pings every 20 s: it is gone.
const SILENCE: Duration = Duration::from_secs(90);

/// Serves a connection whose upgrade was answered, until it ends.
pub(super) fn serve(core: &Arc<Core>, connection: Connection, mode: &ChannelMode) {
    let id = core.channel.open();
    core.notify();
    // A socket without a timeout cannot be looked after; one that refuses it is broken already.
    let _ = connection.socket().set_read_timeout(Some(TICK));
    let out = Outlet::new(connection.clone());
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME));
    let line = Line::new(connection, Arc::clone(&out));
    let mut reader = Reader {
        core,
        id,
        at: format!("websocket {id}"),
        opened: Instant::now(),
        heard: Instant::now(),
        socket: WebSocket::from_raw_socket(line, Role::Server, Some(config)),
        out,
        session: None,
    };
    let closed = reader.run(mode);
    let linger = closed.by == ClosedBy::Server;
    core.channel.leave(id);
    core.channel.note(id, |record| record.closed = Some(closed));
    core.notify();
    if linger {
        reader.linger();
    }
    reader.out.mute();
}

/// The side of a connection that listens.
pub(super) struct Reader<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) id: u64,
    /// As violations name it.
    at: String,
    opened: Instant,
    heard: Instant,
    socket: WebSocket<Line>,
    pub(super) out: Arc<Outlet>,
    pub(super) session: Option<Arc<Session>>,
}

/// What a message leads to.
pub(super) type Step = Result<(), Closed>;

impl Reader<'_> {
    fn run(&mut self, mode: &ChannelMode) -> Closed {
        if let Some(code) = mode.close_at_once {
            return self.close(code, "not welcome");
        }
        let hello_until = self.opened + Duration::from_millis(mode.hello_within_ms);
        loop {
            let step = match self.socket.read() {
                Ok(message) => self.message(message, mode),
                Err(Error::Io(err)) if is_tick(&err) => self.tick(hello_until),
                Err(err) => Err(self.broken(&err)),
            };
            if let Err(closed) = step {
                return closed;
            }
        }
    }

    /// Lets the agent read the close frame: a socket that is closed with something unread resets the connection.
    fn linger(&mut self) {
        self.out.fall_silent();
        self.out.end_writing();
        let until = Instant::now() + CLOSE_WITHIN;
        while Instant::now() < until {
            match self.socket.get_mut().read(&mut [0; 4096]) {
                Err(err) if is_tick(&err) => {}
                _ => return,
            }
        }
    }

    fn message(&mut self, message: Message, mode: &ChannelMode) -> Step {
        self.heard = Instant::now();
        match message {
            Message::Text(text) => self.text(&text, mode),
            Message::Binary(_) => Err(self.refuse(1003, "a binary frame")),
            Message::Ping(_) => {
                let since = self.opened.elapsed();
                self.core
                    .channel
                    .note(self.id, |record| record.pings.push(since));
                self.core.notify();
                Ok(())
            }
            Message::Close(frame) => {
                // The library has its answer ready, and gives it out when it is read from again.
                let _ = self.socket.read();
                if let Some(closed) = self.closed_by_us() {
                    return Err(closed);
                }
                let (code, reason) = frame.map_or((None, String::new()), |frame| {
                    (Some(u16::from(frame.code)), frame.reason.to_string())
                });
                Err(Closed {
                    by: ClosedBy::Agent,
                    code,
                    reason,
                })
            }
            Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    /// Nothing came for a while.
    fn tick(&mut self, hello_until: Instant) -> Step {
        if self.session.is_none() && Instant::now() > hello_until {
            return Err(self.refuse(4400, "no hello in time"));
        }
        let closing = self.session.as_ref().and_then(|session| session.closing());
        match closing {
            Some((at, ..)) if at.elapsed() > CLOSE_WITHIN => {
                Err(self.ended("no answer to the close frame"))
            }
            None if self.heard.elapsed() > SILENCE => Err(self.ended("silent for too long")),
            _ => Ok(()),
        }
    }

    pub(super) fn violation(&self, detail: &str) {
        self.core.journal.violation(&self.at, detail);
    }

    pub(super) fn refuse(&self, code: u16, why: &str) -> Closed {
        self.refuse_all(code, &[why.to_owned()])
    }

    /// Closes because of something that is against the protocol.
    pub(super) fn refuse_all(&self, code: u16, faults: &[String]) -> Closed {
        for fault in faults {
            self.violation(fault);
        }
        self.close(code, &faults.join("; "))
    }

    fn close(&self, code: u16, reason: &str) -> Closed {
        self.out.close(code, reason);
        Closed {
            by: ClosedBy::Server,
            code: Some(code),
            reason: reason.to_owned(),
        }
    }

    fn closed_by_us(&self) -> Option<Closed> {
        let closing = self.session.as_ref()?.closing();
        closing.map(|(_, code, reason)| Closed {
            by: ClosedBy::Server,
            code: Some(code),
            reason,
        })
    }

    /// The connection is over without the agent's close frame.
    pub(super) fn ended(&self, why: &str) -> Closed {
        self.closed_by_us().unwrap_or_else(|| Closed {
            by: ClosedBy::Nobody,
            code: None,
            reason: why.to_owned(),
        })
    }

    /// The library gave up: the peer broke RFC 6455, or the connection broke.
    fn broken(&self, err: &Error) -> Closed {
        use tungstenite::error::ProtocolError;
        match err {
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            | Error::Io(_)
            | Error::ConnectionClosed
            | Error::AlreadyClosed => self.ended(&err.to_string()),
            Error::Capacity(_) => self.refuse(1009, &err.to_string()),
            Error::Utf8(_) => self.refuse(1007, &err.to_string()),
            _ => self.refuse(1002, &err.to_string()),
        }
    }
}

fn is_tick(err: &io::Error) -> bool {
    // A process that was stopped, as with the container that it is in, is interrupted where it waits for so long.
    matches!(
        err.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
