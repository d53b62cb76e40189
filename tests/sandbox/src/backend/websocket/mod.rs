//! The server side of the WebSocket (protocol, section 3): pushes what waits, acknowledges what comes, refuses what
//! breaks the protocol, and goes wrong on demand.
//!
//! `upgrade` answers the request, `reader` (with `heard`) and `session` are the two directions of one connection,
//! `channel` knows all of them; `frames` says what an agent may send, `wire` and `attack` what a server must not, and `line` lets several
//! threads send over one connection.

mod attack;
mod channel;
mod frames;
mod heard;
mod line;
mod reader;
mod record;
mod session;
#[cfg(test)]
mod tests;
mod upgrade;
mod wire;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::http::{Request, Response};

use super::answer::Refusal;
use super::fault::Fault;
use super::state::Core;

pub use attack::Attack;
pub(super) use channel::Channel;
pub use record::{ChannelMode, ChannelRecord, Closed, ClosedBy, Cut, Frame};

/// Answers the upgrade, in the way that the fault wants it, and serves the connection.
pub(super) fn upgrade(
    core: &Arc<Core>,
    request: &Request,
    fault: Option<&Fault>,
) -> Result<Response, Refusal> {
    let key = upgrade::check(request)?;
    let fault = fault.map(|fault| fault.kind.clone());
    let core = Arc::clone(core);
    Ok(Response::take_over(move |mut connection| {
        let mode = core.channel.mode();
        let date = core.clock.http_date();
        if upgrade::accept(&mut connection, &key, &date, fault.as_ref()).is_ok() {
            reader::serve(&core, connection, &mode);
        }
    }))
}

impl Core {
    /// All WebSocket connections so far, oldest first.
    pub fn connections(&self) -> Vec<ChannelRecord> {
        self.channel.records()
    }

    /// How many WebSocket connections are welcomed and open.
    pub fn connected(&self) -> usize {
        self.channel.sessions().len()
    }

    /// The numbered frames that came, each once, in the order in which they were stored.
    pub fn frames(&self) -> Vec<Frame> {
        self.channel.frames()
    }

    /// Those of one type.
    pub fn frames_of(&self, kind: &str) -> Vec<Frame> {
        let mut frames = self.channel.frames();
        frames.retain(|frame| frame.kind() == kind);
        frames
    }

    /// How the server behaves towards those who connect.
    pub fn channel_mode(&self) -> ChannelMode {
        self.channel.mode()
    }

    /// Behaves so towards those who connect from now on; acknowledging and pushing change for those who are there.
    pub fn set_channel_mode(&self, mode: ChannelMode) {
        let acks_again = mode.acks && !self.channel.mode().acks;
        self.channel.set_mode(mode);
        for session in self.channel.sessions() {
            let seq = self.channel.last_seq(&session.run);
            if acks_again && seq > 0 {
                session.send(&json!({"type": "ack", "seq": seq, "cumulative": true}));
            }
            session.push_waiting(self);
        }
    }

    /// Ends every open WebSocket connection in this way. Returns how many there were.
    pub fn cut_websockets(&self, cut: &Cut) -> usize {
        let sessions = self.channel.sessions();
        for session in &sessions {
            session.cut(cut);
        }
        sessions.len()
    }

    /// Sends this over every open WebSocket connection, as it is.
    pub fn push_frame(&self, frame: &Value) {
        for session in self.channel.sessions() {
            let id = frame["envelope"]["id"].as_str().unwrap_or_default();
            self.channel.pushed(&session.run.agent_id, id);
            session.send(frame);
        }
    }

    /// Attacks every open WebSocket connection.
    pub fn attack(&self, attack: &Attack) {
        for session in self.channel.sessions() {
            session.attack(attack.clone());
        }
    }

    /// Pushes what waits to those who are connected.
    pub(super) fn push_waiting(&self) {
        for session in self.channel.sessions() {
            session.push_waiting(self);
        }
    }
}
