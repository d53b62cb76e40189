//! What the peer says, and what follows from it.

use std::io;
use std::time::{Duration, Instant};

use log::{debug, info};
use tungstenite::{Error, Message};

use super::{BURST, Ended, Session, Step};
use crate::actions::envelope::RawEnvelope;
use crate::actions::id::EnvelopeId;
use crate::actuator::inbox::{Receipt, Source};
use crate::logging::WEBSOCKET;
use crate::websocket::frames::{self, Incoming, Outgoing};
use crate::websocket::schedule::End;

impl Session<'_> {
    /// Reads what is there; true if there may be more.
    pub(super) fn hear(&mut self) -> Result<bool, Ended> {
        for _ in 0..BURST {
            match self.socket.read() {
                Ok(message) => {
                    self.socket.get_mut().finished();
                    self.message(message)?;
                }
                Err(Error::Io(err)) if err.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(err) => return Err(Ended::broken(&err)),
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
                    (it.code.into(), self.client.backend.said(&it.reason))
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
                let why = format!(
                    "the backend asked to come back later: {}",
                    self.client.backend.said(&reason)
                );
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

    fn received(&self, kind: &str) {
        let received = &self.client.metrics.channel.received;
        received.with_label_values(&[kind]).inc();
    }
}
