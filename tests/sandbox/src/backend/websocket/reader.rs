//! What is heard over one WebSocket connection, from hello to its end (protocol, section 3).

use std::io::{self, Read as _};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::backend::rules::ID;
use crate::backend::state::Core;
use crate::http::Connection;

use super::frames::{self, AgentFrame, FrameKind};
use super::line::{Line, Outlet};
use super::record::{ChannelMode, Closed, ClosedBy, Cut};
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
struct Reader<'a> {
    core: &'a Arc<Core>,
    id: u64,
    /// As violations name it.
    at: String,
    opened: Instant,
    heard: Instant,
    socket: WebSocket<Line>,
    out: Arc<Outlet>,
    session: Option<Arc<Session>>,
}

/// What a message leads to.
type Step = Result<(), Closed>;

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

    fn text(&mut self, text: &str, mode: &ChannelMode) -> Step {
        self.core.channel.note(self.id, |record| record.texts += 1);
        let body: Value =
            serde_json::from_str(text).map_err(|err| self.refuse(1008, &err.to_string()))?;
        match self.session.clone() {
            None => self.hello(body, mode),
            Some(session) => self.frame(&session, body),
        }
    }

    fn hello(&mut self, body: Value, mode: &ChannelMode) -> Step {
        let hello = match frames::hello(&body) {
            Ok(hello) => hello,
            Err(faults) if body["type"] == "hello" => return Err(self.refuse_all(1008, &faults)),
            Err(faults) => return Err(self.refuse_all(4400, &faults)),
        };
        let ours = self.core.options.cluster_id.as_ref();
        if ours.is_some_and(|ours| *ours != hello.run.cluster_id) {
            return Err(self.refuse(4403, "not the cluster of this key"));
        }
        self.core
            .channel
            .note(self.id, |record| record.hello = Some(body));
        let (last_seq, old) = self.core.channel.take_over(self.id, &hello.run);
        if let Some(old) = old {
            old.cut(&Cut::HangUp);
        }
        if hello.next_seq <= last_seq {
            self.violation(&format!(
                "next_seq: {} though {last_seq} is stored",
                hello.next_seq
            ));
        }
        let session = match Session::start(self.id, hello.run, Arc::clone(&self.out)) {
            Ok(session) => session,
            Err(err) => return Err(self.ended(&err.to_string())),
        };
        self.session = Some(Arc::clone(&session));
        if !mode.welcomes {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(mode.welcome_after_ms));
        session.send(&json!({
            "type": "welcome", "server_time": self.core.clock.rfc3339(), "last_seq": last_seq,
        }));
        self.core
            .channel
            .note(self.id, |record| record.welcomed = Some(SystemTime::now()));
        self.core.channel.join(self.id, Arc::clone(&session));
        session.push_waiting(self.core);
        if let Some(attack) = &mode.attack {
            session.attack(attack.clone());
        }
        self.core.notify();
        Ok(())
    }

    fn frame(&mut self, session: &Session, body: Value) -> Step {
        let frame = match frames::frame(&body) {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                self.violation(&format!("type: {} is of no known one", body["type"]));
                return Ok(());
            }
            Err(faults) => return Err(self.refuse_all(1008, &faults)),
        };
        match self
            .core
            .channel
            .store(self.id, &session.run, &frame, body.clone())
        {
            Ok(true) => session.send(&json!({"type": "ack", "seq": frame.seq, "cumulative": true})),
            Ok(false) => {}
            Err(fault) => self.violation(&fault),
        }
        self.note(session, &frame, body);
        self.core.notify();
        Ok(())
    }

    /// Writes down what a frame says of an action.
    fn note(&self, session: &Session, frame: &AgentFrame, body: Value) {
        let Some(id) = &frame.id else { return };
        let agent_id = &session.run.agent_id;
        // An id that is none may have been cut.
        let is_received = frame.kind == FrameKind::Received;
        if is_received && !self.core.channel.received(agent_id, id) && (ID.holds)(id) {
            self.violation(&format!("received: {id} was never pushed"));
        }
        let mut state = self.core.state();
        // An id that is not known may come from before this backend was started.
        let Some(action) = state.actions.get_mut(id) else {
            return;
        };
        let by = Some((agent_id.clone(), session.run.instance_id.clone()));
        if !is_received && action.claimed_by != by {
            self.violation(&format!(
                "{}: {id} is not claimed by this instance",
                body["type"]
            ));
        }
        action.frames.push(body);
    }

    fn violation(&self, detail: &str) {
        self.core.journal.violation(&self.at, detail);
    }

    fn refuse(&self, code: u16, why: &str) -> Closed {
        self.refuse_all(code, &[why.to_owned()])
    }

    /// Closes because of something that is against the protocol.
    fn refuse_all(&self, code: u16, faults: &[String]) -> Closed {
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
    fn ended(&self, why: &str) -> Closed {
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
    matches!(
        err.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
