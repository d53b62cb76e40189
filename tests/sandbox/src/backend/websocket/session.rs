//! What is sent over one WebSocket connection (protocol, section 3).

use std::collections::HashSet;
use std::io;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::backend::messages::Run;
use crate::backend::state::Core;

use super::attack::Attack;
use super::line::Outlet;
use super::record::Cut;
use super::wire;

/// The side of a connection that others send to.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) run: Run,
    out: Arc<Outlet>,
    queue: Mutex<Sender<Outgoing>>,
    /// Envelopes that went over this connection.
    sent: Mutex<HashSet<String>>,
    /// When the server sent a close frame, and which.
    closing: Mutex<Option<(Instant, u16, String)>>,
}

#[derive(Debug)]
enum Outgoing {
    Frame(Vec<u8>),
    Attack(Attack),
}

impl Session {
    /// Starts the thread that sends what is queued, so that nobody who sends waits for the peer.
    pub(super) fn start(id: u64, run: Run, out: Arc<Outlet>) -> io::Result<Arc<Session>> {
        let (queue, outgoing) = mpsc::channel();
        let outlet = Arc::clone(&out);
        let writer = thread::Builder::new().name(format!("websocket {id}"));
        writer.spawn(move || write(&outlet, &outgoing))?;
        let (queue, sent, closing) = (Mutex::new(queue), Mutex::default(), Mutex::default());
        Ok(Arc::new(Session {
            run,
            out,
            queue,
            sent,
            closing,
        }))
    }

    /// When the server sent a close frame, with which code and reason.
    pub(super) fn closing(&self) -> Option<(Instant, u16, String)> {
        self.closing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Queues a message; nothing that is sent waits for the peer to read it.
    pub(super) fn send(&self, message: &Value) {
        self.queue(Outgoing::Frame(wire::whole(
            wire::TEXT,
            message.to_string().as_bytes(),
        )));
    }

    pub(super) fn attack(&self, attack: Attack) {
        self.queue(Outgoing::Attack(attack));
    }

    fn queue(&self, outgoing: Outgoing) {
        // The writer ends only with the connection.
        let _ = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(outgoing);
    }

    /// Ends the connection, in this way.
    pub(super) fn cut(&self, cut: &Cut) {
        match cut {
            Cut::Reset => self.out.reset(),
            Cut::HangUp => self.out.hang_up(),
            Cut::Silence => self.out.fall_silent(),
            Cut::Close { code, reason } => self.close(*code, reason),
            Cut::Goaway {
                reconnect_after_ms,
                reason,
            } => {
                self.send(&json!({
                    "type": "goaway", "reconnect_after_ms": reconnect_after_ms, "reason": reason,
                }));
            }
        }
    }

    fn close(&self, code: u16, reason: &str) {
        let closing = (Instant::now(), code, reason.to_owned());
        self.closing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(closing);
        self.out.close(code, reason);
    }

    /// Pushes every envelope that waits for this agent and was neither received nor sent here.
    pub(super) fn push_waiting(&self, core: &Core) {
        if !core.channel.mode().pushes {
            return;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let agent_id = &self.run.agent_id;
        let is_new = |id: &str| !sent.contains(id) && !core.channel.has_received(agent_id, id);
        let mut state = core.advanced();
        let state = &mut *state;
        let unix = core.clock.unix();
        let settings = state
            .settings
            .offered(&self.run.cluster_id, agent_id, &state.agents, unix);
        let mut waiting = Vec::new();
        if let Some(settings) = settings.filter(|settings| is_new(&settings.envelope.id)) {
            waiting.push(("config", settings.envelope.clone()));
        }
        for action in state.actions.pending(&self.run.cluster_id, agent_id) {
            if is_new(&action.id) {
                action.pushed += 1;
                waiting.push(("action", action.envelope.clone()));
            }
        }
        for (kind, envelope) in waiting {
            core.channel.pushed(agent_id, &envelope.id);
            self.send(&json!({"type": kind, "envelope": envelope}));
            sent.insert(envelope.id);
        }
    }
}

/// Sends what is queued, until nobody can queue any more or the connection is gone.
fn write(out: &Outlet, queue: &Receiver<Outgoing>) {
    while let Ok(outgoing) = queue.recv() {
        let sent = match outgoing {
            Outgoing::Frame(bytes) => out.send(&bytes),
            Outgoing::Attack(attack) => attack.send(out),
        };
        if sent.is_err() {
            return;
        }
    }
}
