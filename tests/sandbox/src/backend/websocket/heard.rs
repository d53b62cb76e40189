//! What the agent's messages lead to (protocol, section 3).

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::backend::rules::ID;

use super::frames::{self, AgentFrame, FrameKind};
use super::reader::{Reader, Step};
use super::record::{ChannelMode, Cut};
use super::session::Session;

impl Reader<'_> {
    /// Takes a message.
    pub(super) fn text(&mut self, text: &str, mode: &ChannelMode) -> Step {
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
}
