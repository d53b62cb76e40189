//! What the agent says over the WebSocket, read strictly (protocol, section 3).

use serde_json::Value;

use crate::backend::check::Members;
use crate::backend::messages::{self, Invalid, Run};
use crate::backend::rules::{FILLED, ID, REASON, REJECTIONS, STATUSES, TEXT};

/// The first frame of a connection.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) run: Run,
    pub(super) next_seq: u64,
}

/// Any other frame, as far as the backend has to understand it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AgentFrame {
    pub(super) seq: u64,
    /// The action or settings it speaks of.
    pub(super) id: Option<String>,
    pub(super) kind: FrameKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    Received,
    Progress,
    Result,
    ConfigStatus,
    Event,
    Gap { dropped: u64 },
}

/// Reads the first frame.
pub(super) fn hello(body: &Value) -> Result<Hello, Invalid> {
    messages::read(body, |frame| {
        frame.word("type", &["hello"]);
        frame.word("protocol", &["1"]);
        frame.text("agent_version", &FILLED);
        Hello {
            run: messages::run(frame, None),
            next_seq: frame.integer("next_seq", 1),
        }
    })
}

/// Reads a frame after the first; nothing if it is of no known type.
pub(super) fn frame(body: &Value) -> Result<Option<AgentFrame>, Invalid> {
    messages::read(body, |frame| {
        let read = match frame.text("type", &FILLED) {
            "received" => received,
            "progress" => progress,
            "result" => result,
            "config_status" => config_status,
            "event" => event,
            "gap" => gap,
            _ => return None,
        };
        let (kind, id) = read(frame);
        Some(AgentFrame {
            seq: frame.integer("seq", 1),
            id,
            kind,
        })
    })
}

type Read = (FrameKind, Option<String>);

fn received(frame: &Members<'_>) -> Read {
    if frame.word("outcome", &["accepted", "duplicate", "rejected"]) == "rejected" {
        frame.word("reason", &REJECTIONS);
    }
    // What is refused may have had no legal id.
    (
        FrameKind::Received,
        Some(frame.short_text("id", 64).to_owned()),
    )
}

fn progress(frame: &Members<'_>) -> Read {
    frame.text("message", &TEXT);
    frame.integer("done", 0);
    frame.integer("total", 0);
    (FrameKind::Progress, Some(frame.text("id", &ID).to_owned()))
}

fn result(frame: &Members<'_>) -> Read {
    frame.word("status", &STATUSES);
    frame.optional_text("reason", &REASON);
    frame.short_text("message", 4 << 10);
    (FrameKind::Result, Some(frame.text("id", &ID).to_owned()))
}

fn config_status(frame: &Members<'_>) -> Read {
    if frame.word("status", &["applied", "rejected"]) == "rejected" {
        frame.word("reason", &REJECTIONS);
    }
    frame.integer("config_version", 0);
    (FrameKind::ConfigStatus, None)
}

fn event(frame: &Members<'_>) -> Read {
    frame.word(
        "name",
        &["component_down", "component_up", "ready", "not_ready"],
    );
    frame.optional_text("component", &FILLED);
    frame.optional_text("reason", &TEXT);
    (FrameKind::Event, None)
}

fn gap(frame: &Members<'_>) -> Read {
    (
        FrameKind::Gap {
            dropped: frame.integer("dropped", 1),
        },
        None,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_the_protocol_lists() {
        let received = json!({"type": "received", "seq": 1, "id": "a", "outcome": "accepted"});
        let expected = AgentFrame {
            seq: 1,
            id: Some("a".into()),
            kind: FrameKind::Received,
        };
        assert_eq!(frame(&received), Ok(Some(expected)));
        let gap = json!({"type": "gap", "seq": 9, "dropped": 3});
        let expected = AgentFrame {
            seq: 9,
            id: None,
            kind: FrameKind::Gap { dropped: 3 },
        };
        assert_eq!(frame(&gap), Ok(Some(expected)));
        assert_eq!(frame(&json!({"type": "song", "seq": 1})), Ok(None));
    }

    #[test]
    fn refuses_what_is_not_so() {
        for bad in [
            json!([]),
            json!({"seq": 1}),
            json!({"type": "gap", "seq": 0, "dropped": 1}),
            json!({"type": "gap", "seq": 1, "dropped": 0}),
            json!({"type": "received", "seq": 1, "id": "a", "outcome": "rejected"}),
            json!({"type": "received", "seq": 1, "id": "a", "outcome": "maybe"}),
            json!({"type": "progress", "seq": 1, "id": "a", "message": "", "done": -1, "total": 2}),
            json!({"type": "result", "seq": 1, "id": "a", "status": "fine", "message": ""}),
            json!({"type": "config_status", "seq": 1, "config_version": 1, "status": "rejected"}),
            json!({"type": "event", "seq": 1, "name": "rain"}),
            json!({"type": "event", "seq": "1", "name": "ready"}),
        ] {
            assert!(frame(&bad).is_err(), "{bad}");
        }
        assert!(hello(&json!({"type": "hello", "protocol": "2"})).is_err());
    }
}
