//! One connection, from hello to its end (protocol, section 3).

use std::io;
use std::time::{Duration, Instant};

use log::{debug, info};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Bytes, Error, Message, WebSocket};

use super::Client;
use super::frames::{self, Incoming, Outgoing};
use super::liveness::{Due, Liveness};
use super::schedule::End;
use super::stream::Stream;
use crate::actions::envelope::RawEnvelope;
use crate::actions::id::EnvelopeId;
use crate::actuator::inbox::{Receipt, Source};
use crate::health::Component;
use crate::logging::WEBSOCKET;
use crate::thread::backoff::random_fraction;
use crate::thread::waker::Waiter;

/// Bytes that the peer does not take for so long are the end of the connection.
const WRITE: Duration = Duration::from_secs(10);
/// What is queued may take so long to leave before an end of our own (protocol, section 3, goaway).
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the peer may take to hear the close frame.
const LINGER: Duration = Duration::from_secs(1);
/// Messages read, and frames sent, before the other direction and the clock have their turn.
const BURST: usize = 256;

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// What follows from it.
    pub(super) end: End,
    /// In words.
    pub(super) why: String,
}

impl Ended {
    fn new(end: End, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { end, why }
    }

    fn violated(code: u16, why: &str) -> Self {
        Self::new(End::Violated(code), format!("{why}, closed with {code}"))
    }
}

type Step = Result<(), Ended>;

/// A connection whose upgrade was accepted.
pub(super) struct Session<'a> {
    socket: WebSocket<Stream>,
    client: &'a Client,
    component: &'a Component,
    waiter: Waiter<'a>,
    liveness: Liveness,
    welcomed: Option<Instant>,
    /// Since when bytes wait for the peer to take them.
    stuck: Option<Instant>,
    /// We go, with this end, when everything queued has left, or at this time.
    leaving: Option<(Ended, Instant)>,
    ping_logged: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Nothing said yet.
    pub(super) fn new(
        socket: WebSocket<Stream>,
        client: &'a Client,
        component: &'a Component,
        waiter: Waiter<'a>,
    ) -> Self {
        Self {
            socket,
            client,
            component,
            waiter,
            liveness: Liveness::new(Instant::now(), random_fraction()),
            welcomed: None,
            stuck: None,
            leaving: None,
            ping_logged: None,
        }
    }

    /// Speaks until the end. Returns how it ended and how long it was welcome.
    pub(super) fn run(mut self) -> (Ended, Duration) {
        let hello = frames::hello(&self.client.identity, self.client.channel.next_seq());
        let mut step = self.write(Message::text(hello));
        let ended = loop {
            match step {
                Ok(()) => step = self.round(),
                Err(ended) => break ended,
            }
        };
        self.client.channel.set_connected(false);
        self.part(&ended);
        (
            ended,
            self.welcomed.map_or(Duration::ZERO, |it| it.elapsed()),
        )
    }

    /// Hears what has come, does what is due, sends what is queued, and waits for more of any of it.
    fn round(&mut self) -> Step {
        self.component.beat();
        let more_to_hear = self.hear()?;
        self.clock()?;
        let more_to_send = self.send()?;
        self.leave()?;
        if !more_to_hear && !more_to_send {
            let stream = self.socket.get_ref();
            self.waiter
                .wait(stream.fd(), stream.wants_write(), self.next());
        }
        Ok(())
    }

    /// When something is to be done even if nothing happens.
    fn next(&self) -> Instant {
        let stuck = self.stuck.map(|it| it + WRITE);
        let leaving = self.leaving.as_ref().map(|it| it.1);
        [stuck, leaving]
            .into_iter()
            .flatten()
            .fold(self.liveness.next(), Instant::min)
    }

    /// Reads what is there; true if there may be more.
    fn hear(&mut self) -> Result<bool, Ended> {
        for _ in 0..BURST {
            match self.socket.read() {
                Ok(message) => self.message(message)?,
                Err(Error::Io(err)) if err.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(err) => return Err(broken(&err)),
            }
        }
        Ok(true)
    }

    fn message(&mut self, message: Message) -> Step {
        let now = Instant::now();
        self.liveness.heard(now);
        match message {
            Message::Text(text) => self.text(&text),
            Message::Binary(_) => Err(Ended::violated(1003, "it sent a binary frame")),
            Message::Ping(_) => {
                self.received("ping");
                // Not each of a flood.
                if self
                    .ping_logged
                    .is_none_or(|it| now >= it + Duration::from_secs(1))
                {
                    self.ping_logged = Some(now);
                    debug!(target: WEBSOCKET, "Received ping");
                }
                self.useless()
            }
            Message::Close(frame) => {
                let (code, reason) = frame.map_or((1005, String::new()), |it| {
                    (it.code.into(), it.reason.chars().take(100).collect())
                });
                let why = format!("the backend closed it with {code} {reason}");
                Err(Ended::new(End::Closed(code), why.trim_end()))
            }
            Message::Pong(_) | Message::Frame(_) => {
                self.received("pong");
                self.useless()
            }
        }
    }

    fn text(&mut self, text: &str) -> Step {
        let Some(incoming) = frames::parse(text) else {
            return Err(Ended::violated(
                1008,
                "it sent something that is no message",
            ));
        };
        self.received(incoming.kind());
        match incoming {
            Incoming::Welcome { last_seq } if self.welcomed.is_none() => {
                self.client.channel.welcomed(last_seq);
                self.client.channel.set_connected(true);
                self.liveness.welcomed();
                self.welcomed = Some(Instant::now());
                self.component.running();
                info!(target: WEBSOCKET, "WebSocket connection established");
                Ok(())
            }
            Incoming::Goaway { after, reason } => {
                let reason: String = reason.chars().take(100).collect();
                let why = format!("the backend asked to come back later: {reason}");
                self.go(Ended::new(End::Goaway(after), why));
                Ok(())
            }
            Incoming::Envelope { json, .. } if self.welcomed.is_some() => self.envelope(json),
            Incoming::Ack { seq } if self.client.channel.acked(seq) => Ok(()),
            _ => self.useless(),
        }
    }

    /// A pushed envelope goes through the one door and is answered. What cannot be taken at present is not
    /// answered: it comes again, by this channel or the other.
    fn envelope(&mut self, json: &str) -> Step {
        let Some(inbox) = &self.client.inbox else {
            return Ok(());
        };
        // An agent that stops takes no orders.
        if self.client.gathering.requested() {
            return Ok(());
        }
        let receipt = inbox.offer(RawEnvelope::parse(json), Source::Pushed);
        debug!(target: WEBSOCKET, "Pushed: {receipt:?}");
        let (id, outcome, reason) = match &receipt {
            Receipt::Accepted(id) | Receipt::Settled { id, .. } => (Some(id), "accepted", None),
            Receipt::Duplicate(id) => (Some(id), "duplicate", None),
            Receipt::Rejected {
                id,
                reason,
                loud: true,
            } => (id.as_ref(), "rejected", Some(*reason)),
            Receipt::Rejected { .. } | Receipt::Later => return self.useless(),
        };
        let id = id.map_or("", EnvelopeId::as_str);
        self.client.channel.send(&Outgoing::Received {
            id,
            outcome,
            reason,
        });
        self.client.channel.settled(&receipt);
        match outcome {
            "accepted" => Ok(()),
            _ => self.useless(),
        }
    }

    /// A frame that brings nothing: endlessly many of them are an attack.
    fn useless(&mut self) -> Step {
        if self.liveness.useless(Instant::now()) {
            return Err(Ended::violated(
                1008,
                "it sent over 100 useless frames a second",
            ));
        }
        Ok(())
    }

    fn clock(&mut self) -> Step {
        if self.waiter.stop.requested() {
            self.go(Ended::new(End::Done, "the agent stops"));
        }
        match self.liveness.due(Instant::now(), random_fraction()) {
            None => Ok(()),
            Some(Due::Ping) => {
                self.sent("ping");
                self.write(Message::Ping(Bytes::new()))
            }
            Some(Due::NoWelcome) => Err(Ended::violated(4408, "no welcome in time")),
            Some(Due::Silent) => Err(Ended::new(End::Silent, "nothing was heard for 60 s")),
            Some(Due::Renewal) => {
                self.go(Ended::new(End::Done, "it was old enough"));
                Ok(())
            }
        }
    }

    /// Sends what is queued while the peer takes it; true if there may be more.
    fn send(&mut self) -> Result<bool, Ended> {
        for _ in 0..BURST {
            if self.welcomed.is_none() || self.socket.get_ref().wants_write() {
                break;
            }
            let Some(text) = self.client.channel.next() else {
                break;
            };
            self.sent("text");
            self.write(Message::text(text))?;
        }
        match self.socket.flush() {
            Ok(()) => self.stuck = None,
            Err(Error::Io(err)) if err.kind() == io::ErrorKind::WouldBlock => {
                let since = *self.stuck.get_or_insert_with(Instant::now);
                if since.elapsed() >= WRITE {
                    return Err(Ended::new(End::Broken, "it took nothing for 10 s"));
                }
            }
            Err(err) => return Err(broken(&err)),
        }
        Ok(self.stuck.is_none() && self.has_unsent())
    }

    fn has_unsent(&self) -> bool {
        self.welcomed.is_some() && self.client.channel.has_unsent()
    }

    fn write(&mut self, message: Message) -> Step {
        match self.socket.write(message) {
            // It is in the buffer then, which holds more than one frame.
            Err(Error::Io(err)) if err.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(err) => Err(broken(&err)),
            Ok(()) => Ok(()),
        }
    }

    /// From now on the connection is to be left; the first reason counts.
    fn go(&mut self, ended: Ended) {
        self.leaving
            .get_or_insert_with(|| (ended, Instant::now() + FAREWELL));
    }

    /// Leaves, if that is wanted and everything has gone out, or takes too long.
    fn leave(&mut self) -> Step {
        let is_time = self.leaving.as_ref().is_some_and(|(_, until)| {
            (self.stuck.is_none() && !self.has_unsent()) || Instant::now() >= *until
        });
        match self.leaving.take_if(|_| is_time) {
            Some((ended, _)) => Err(ended),
            None => Ok(()),
        }
    }

    /// Says goodbye as far as the peer still listens.
    fn part(&mut self, ended: &Ended) {
        let code = match ended.end {
            End::Done | End::Goaway(_) | End::Silent => Some(1000),
            End::Violated(code) => Some(code),
            // The answer to the peer's close frame is in the buffer.
            End::Closed(_) | End::Refused(..) | End::Broken => None,
        };
        if let Some(code) = code {
            let _ = self.socket.close(Some(CloseFrame {
                code: code.into(),
                reason: "".into(),
            }));
        }
        let _ = self.socket.flush();
        let deadline = Instant::now() + LINGER;
        self.socket.get_mut().end(&self.waiter, deadline);
    }

    fn received(&self, kind: &str) {
        let received = &self.client.metrics.channel.received;
        received.with_label_values(&[kind]).inc();
    }

    fn sent(&self, kind: &str) {
        self.client
            .metrics
            .channel
            .sent
            .with_label_values(&[kind])
            .inc();
    }
}

/// What tungstenite found, by what follows from it.
fn broken(err: &Error) -> Ended {
    use tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    match err {
        Error::Protocol(ResetWithoutClosingHandshake)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => Ended::new(End::Broken, "the backend hung up"),
        Error::Protocol(what) => Ended::violated(1002, &what.to_string()),
        Error::Utf8(_) => Ended::violated(1007, "it sent a text that is no UTF-8"),
        Error::Capacity(_) => Ended::violated(1009, "it sent more than 256 KiB in a message"),
        other => Ended::new(End::Broken, other.to_string()),
    }
}
