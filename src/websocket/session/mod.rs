//! One connection, from hello to its end (protocol, section 3).

mod ended;
mod hear;

use std::io;
use std::time::{Duration, Instant};

use tungstenite::protocol::CloseFrame;
use tungstenite::{Bytes, Error, Message, WebSocket};

pub(super) use ended::Ended;

use super::Client;
use super::frames;
use super::liveness::{Due, Liveness};
use super::schedule::End;
use super::stream::Stream;
use crate::health::Component;
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
            Err(err) => return Err(Ended::broken(&err)),
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
            Err(err) => Err(Ended::broken(&err)),
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

    fn sent(&self, kind: &str) {
        self.client
            .metrics
            .channel
            .sent
            .with_label_values(&[kind])
            .inc();
    }
}
