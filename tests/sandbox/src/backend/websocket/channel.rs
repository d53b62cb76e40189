//! What is known of all connections: who is connected, what came, what was acknowledged.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::Value;

use crate::backend::messages::Run;

use super::frames::{AgentFrame, FrameKind};
use super::record::{ChannelMode, ChannelRecord, Frame};
use super::session::Session;

/// Frames above this are counted and forgotten, the oldest first.
const FRAMES: usize = 200_000;

/// All connections and what came over them.
#[derive(Debug, Default)]
pub(in crate::backend) struct Channel(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    mode: ChannelMode,
    records: Vec<ChannelRecord>,
    sessions: HashMap<u64, Arc<Session>>,
    /// The session that speaks for an instance: older ones are not listened to.
    current: HashMap<(String, String), u64>,
    last_seqs: HashMap<(String, String, String), u64>,
    frames: Vec<Frame>,
    /// Envelopes that an agent was pushed, and those that it answered.
    pushed: HashSet<(String, String)>,
    received: HashSet<(String, String)>,
}

impl Channel {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn mode(&self) -> ChannelMode {
        self.inner().mode.clone()
    }

    pub(super) fn set_mode(&self, mode: ChannelMode) {
        self.inner().mode = mode;
    }

    pub(super) fn records(&self) -> Vec<ChannelRecord> {
        self.inner().records.clone()
    }

    pub(super) fn frames(&self) -> Vec<Frame> {
        self.inner().frames.clone()
    }

    /// The sessions that were welcomed and are open.
    pub(super) fn sessions(&self) -> Vec<Arc<Session>> {
        self.inner().sessions.values().cloned().collect()
    }

    /// Begins a record.
    pub(super) fn open(&self) -> u64 {
        let mut inner = self.inner();
        let id = inner.records.len() as u64 + 1;
        inner.records.push(ChannelRecord {
            id,
            opened: SystemTime::now(),
            hello: None,
            welcomed: None,
            pings: Vec::new(),
            texts: 0,
            closed: None,
        });
        id
    }

    /// Changes a record.
    pub(super) fn note(&self, id: u64, change: impl FnOnce(&mut ChannelRecord)) {
        if let Some(record) = self
            .inner()
            .records
            .iter_mut()
            .find(|record| record.id == id)
        {
            change(record);
        }
    }

    /// Makes this the one connection of the instance, and says up to where its run is stored. Gives back the
    /// connection that it takes the place of, to be cut.
    pub(super) fn take_over(&self, id: u64, run: &Run) -> (u64, Option<Arc<Session>>) {
        let mut inner = self.inner();
        let instance = (run.agent_id.clone(), run.instance_id.clone());
        let old = inner
            .current
            .insert(instance, id)
            .and_then(|old| inner.sessions.remove(&old));
        (
            inner.last_seqs.get(&key(run)).copied().unwrap_or_default(),
            old,
        )
    }

    /// From here on envelopes are pushed to it.
    pub(super) fn join(&self, id: u64, session: Arc<Session>) {
        self.inner().sessions.insert(id, session);
    }

    pub(super) fn leave(&self, id: u64) {
        self.inner().sessions.remove(&id);
    }

    /// Stores a frame; `Ok` holds whether it is to be acknowledged. A fault is one of its number.
    pub(super) fn store(
        &self,
        id: u64,
        run: &Run,
        frame: &AgentFrame,
        body: Value,
    ) -> Result<bool, String> {
        let mut inner = self.inner();
        if inner
            .current
            .get(&(run.agent_id.clone(), run.instance_id.clone()))
            != Some(&id)
        {
            // What an older connection still brings comes again over the newer one.
            return Ok(false);
        }
        let last = inner.last_seqs.entry(key(run)).or_default();
        let fits = follows(*last, frame);
        let fault = match fits {
            true => None,
            false if frame.seq <= *last => {
                Some(format!("seq: {} after {last}, which is stored", frame.seq))
            }
            false => Some(format!(
                "seq: {} after {last}, with nothing said of those between",
                frame.seq
            )),
        };
        if frame.seq > *last {
            *last = frame.seq;
            if inner.frames.len() == FRAMES {
                inner.frames.drain(..FRAMES / 10);
            }
            let (connection, run_id, seq) = (id, run.run_id.clone(), frame.seq);
            inner.frames.push(Frame {
                connection,
                run_id,
                seq,
                at: SystemTime::now(),
                body,
            });
        }
        match fault {
            None => Ok(inner.mode.acks),
            Some(fault) => Err(fault),
        }
    }

    /// Up to where a run is stored.
    pub(super) fn last_seq(&self, run: &Run) -> u64 {
        self.inner()
            .last_seqs
            .get(&key(run))
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn has_received(&self, agent_id: &str, id: &str) -> bool {
        self.inner()
            .received
            .contains(&(agent_id.to_owned(), id.to_owned()))
    }

    pub(super) fn pushed(&self, agent_id: &str, id: &str) {
        self.inner()
            .pushed
            .insert((agent_id.to_owned(), id.to_owned()));
    }

    /// Notes an answer to a push; false if there was none.
    pub(super) fn received(&self, agent_id: &str, id: &str) -> bool {
        let mut inner = self.inner();
        let envelope = (agent_id.to_owned(), id.to_owned());
        let was_pushed = inner.pushed.contains(&envelope);
        inner.received.insert(envelope);
        was_pushed
    }
}

fn key(run: &Run) -> (String, String, String) {
    (
        run.agent_id.clone(),
        run.instance_id.clone(),
        run.run_id.clone(),
    )
}

/// Whether a frame may follow the one with this number: it is the next, or says what became of those between.
fn follows(last: u64, frame: &AgentFrame) -> bool {
    match frame.kind {
        FrameKind::Gap { dropped } => frame.seq > last && frame.seq.saturating_sub(dropped) <= last,
        _ => frame.seq == last + 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> Run {
        Run {
            cluster_id: "c".into(),
            agent_id: "a".into(),
            instance_id: "i".into(),
            run_id: "r".into(),
        }
    }

    #[test]
    fn numbers_follow_one_another_or_a_gap_says_why_not() {
        let channel = Channel::default();
        let id = channel.open();
        assert_eq!(channel.take_over(id, &run()).0, 0);
        let store = |id, seq, kind| {
            channel.store(
                id,
                &run(),
                &AgentFrame {
                    seq,
                    id: None,
                    kind,
                },
                json!({}),
            )
        };
        assert_eq!(store(id, 1, FrameKind::Event), Ok(true));
        assert_eq!(store(id, 5, FrameKind::Gap { dropped: 4 }), Ok(true));
        assert_eq!(store(id, 6, FrameKind::Event), Ok(true));
        assert!(store(id, 6, FrameKind::Event).is_err());
        assert!(store(id, 8, FrameKind::Event).is_err());
        assert!(store(id, 12, FrameKind::Gap { dropped: 3 }).is_err());
        // One that reaches back before what is stored was merged after the answer was lost.
        assert_eq!(store(id, 20, FrameKind::Gap { dropped: 15 }), Ok(true));
        assert_eq!(channel.last_seq(&run()), 20);
        // A newer connection of the instance is the only one that counts.
        let newer = channel.open();
        assert_eq!(channel.take_over(newer, &run()).0, 20);
        assert_eq!(store(id, 21, FrameKind::Event), Ok(false));
        assert_eq!(store(newer, 21, FrameKind::Event), Ok(true));
        assert_eq!(channel.frames().len(), 7);
    }
}
