//! The messages of the channel (protocol, section 3): one JSON object a text frame.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::VERSION;
use crate::actions::members::cut;
use crate::actions::outcome::MAX_MESSAGE_BYTES;
use crate::backend::protocol::{Identity, PROTOCOL};

/// The longest frame that is taken or sent.
pub const MAX_FRAME: usize = 256 << 10;
/// No wish of the backend to be left alone is kept longer, as with Retry-After (protocol, section 2).
const GOAWAY_MOST: u64 = 3_600_000;

/// A frame with a number, before it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub enum Outgoing<'a> {
    /// What became of a pushed envelope at the door.
    Received {
        id: &'a str,
        outcome: &'static str,
        reason: Option<&'static str>,
    },
    /// How far an action is.
    Progress {
        id: &'a str,
        message: &'a str,
        done: u64,
        total: u64,
    },
    /// A courtesy copy: REST carries the one that counts.
    Result {
        id: &'a str,
        status: &'static str,
        reason: Option<&'static str>,
        message: &'a str,
    },
    /// Settings were applied, or refused for a reason.
    ConfigStatus {
        version: u64,
        refused: Option<&'static str>,
    },
    /// Something happened to the agent.
    Event {
        name: &'static str,
        component: Option<&'a str>,
        reason: Option<&'a str>,
    },
}

impl Outgoing<'_> {
    /// Its type on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Received { .. } => "received",
            Self::Progress { .. } => "progress",
            Self::Result { .. } => "result",
            Self::ConfigStatus { .. } => "config_status",
            Self::Event { .. } => "event",
        }
    }

    /// The frame under this number.
    pub fn text(&self, seq: u64) -> String {
        let (mut frame, reason) = match *self {
            Self::Received {
                id,
                outcome,
                reason,
            } => (json!({"id": id, "outcome": outcome}), reason),
            Self::Progress {
                id,
                message,
                done,
                total,
            } => {
                let message = cut(message, MAX_MESSAGE_BYTES);
                (
                    json!({"id": id, "message": message, "done": done, "total": total}),
                    None,
                )
            }
            Self::Result {
                id,
                status,
                reason,
                message,
            } => {
                let message = cut(message, MAX_MESSAGE_BYTES);
                (
                    json!({"id": id, "status": status, "message": message}),
                    reason,
                )
            }
            Self::ConfigStatus { version, refused } => {
                let status = if refused.is_none() {
                    "applied"
                } else {
                    "rejected"
                };
                (
                    json!({"config_version": version, "status": status}),
                    refused,
                )
            }
            Self::Event {
                name,
                component,
                reason,
            } => {
                let mut frame = json!({"name": name});
                if let Some(component) = component {
                    frame["component"] = component.into();
                }
                (frame, reason.map(|it| cut(it, MAX_MESSAGE_BYTES)))
            }
        };
        frame["type"] = self.kind().into();
        frame["seq"] = seq.into();
        if let Some(reason) = reason {
            frame["reason"] = reason.into();
        }
        frame.to_string()
    }
}

/// The frame in the place of `dropped` frames, the last of which had the number `seq`.
pub fn gap(seq: u64, dropped: u64) -> String {
    json!({"type": "gap", "seq": seq, "dropped": dropped}).to_string()
}

/// The first frame of a connection.
pub fn hello(identity: &Identity, next_seq: u64) -> String {
    let hello: Value = json!({
        "type": "hello",
        "protocol": PROTOCOL,
        "cluster_id": identity.cluster_id,
        "agent_id": identity.agent_id,
        "instance_id": identity.instance_id,
        "run_id": identity.run_id,
        "agent_version": VERSION,
        "next_seq": next_seq,
    });
    hello.to_string()
}

/// What the backend says.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// The agent may speak; this is the highest number of its run that is stored.
    Welcome {
        /// That number.
        last_seq: u64,
    },
    /// An envelope, unread: an action or settings, which it says itself.
    Envelope {
        /// `action` or `config`.
        kind: &'static str,
        /// Its JSON.
        json: &'a str,
    },
    /// All frames up to this number are stored.
    Ack {
        /// That number.
        seq: u64,
    },
    /// The agent is to go, and to come back after a while.
    Goaway {
        /// The while.
        after: Duration,
        /// Why.
        reason: String,
    },
    /// Of a later version of the protocol.
    Unknown,
}

impl Incoming<'_> {
    /// Its type, for the metrics: a few known words, whatever was sent.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Envelope { kind, .. } => kind,
            Self::Ack { .. } => "ack",
            Self::Goaway { .. } => "goaway",
            Self::Unknown => "unknown",
        }
    }
}

/// The members of all messages; each stays unread until it is known which ones count.
#[derive(Deserialize)]
struct Members<'a> {
    r#type: String,
    #[serde(borrow)]
    envelope: Option<&'a RawValue>,
    #[serde(borrow)]
    last_seq: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
    #[serde(borrow)]
    reconnect_after_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
}

/// Reads a message. `None` if it is none: no JSON object, no type, or without what its type must have.
///
/// A bad envelope is no bad message: the inbox says what it thinks of it.
pub fn parse(text: &str) -> Option<Incoming<'_>> {
    let members: Members<'_> = serde_json::from_str(text).ok()?;
    let number = |raw: Option<&RawValue>| serde_json::from_str::<u64>(raw?.get()).ok();
    let envelope = |kind| Incoming::Envelope {
        kind,
        json: members.envelope.map_or("null", RawValue::get),
    };
    Some(match members.r#type.as_str() {
        "welcome" => Incoming::Welcome {
            last_seq: number(members.last_seq)?,
        },
        "action" => envelope("action"),
        "config" => envelope("config"),
        "ack" => Incoming::Ack {
            seq: number(members.seq)?,
        },
        "goaway" => Incoming::Goaway {
            after: Duration::from_millis(number(members.reconnect_after_ms)?.min(GOAWAY_MOST)),
            reason: members
                .reason
                .and_then(|it| serde_json::from_str(it.get()).ok())
                .unwrap_or_default(),
        },
        _ => Incoming::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent() {
        let long = "é".repeat(3000);
        for (frame, expected) in [
            (
                Outgoing::Received {
                    id: "a",
                    outcome: "duplicate",
                    reason: None,
                },
                json!({"type": "received", "seq": 7, "id": "a", "outcome": "duplicate"}),
            ),
            (
                Outgoing::Received {
                    id: "",
                    outcome: "rejected",
                    reason: Some("malformed"),
                },
                json!({"type": "received", "seq": 7, "id": "", "outcome": "rejected", "reason": "malformed"}),
            ),
            (
                Outgoing::Progress {
                    id: "a",
                    message: &long,
                    done: 1,
                    total: 2,
                },
                json!({"type": "progress", "seq": 7, "id": "a", "message": "é".repeat(2048), "done": 1, "total": 2}),
            ),
            (
                Outgoing::Result {
                    id: "a",
                    status: "failed",
                    reason: Some("api_error"),
                    message: "m",
                },
                json!({"type": "result", "seq": 7, "id": "a", "status": "failed", "reason": "api_error", "message": "m"}),
            ),
            (
                Outgoing::ConfigStatus {
                    version: 3,
                    refused: None,
                },
                json!({"type": "config_status", "seq": 7, "config_version": 3, "status": "applied"}),
            ),
            (
                Outgoing::ConfigStatus {
                    version: 3,
                    refused: Some("expired"),
                },
                json!({"type": "config_status", "seq": 7, "config_version": 3, "status": "rejected", "reason": "expired"}),
            ),
            (
                Outgoing::Event {
                    name: "component_down",
                    component: Some("poller"),
                    reason: Some("it broke"),
                },
                json!({"type": "event", "seq": 7, "name": "component_down", "component": "poller", "reason": "it broke"}),
            ),
            (
                Outgoing::Event {
                    name: "ready",
                    component: None,
                    reason: None,
                },
                json!({"type": "event", "seq": 7, "name": "ready"}),
            ),
        ] {
            let text = frame.text(7);
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        }
        assert_eq!(gap(9, 3), r#"{"dropped":3,"seq":9,"type":"gap"}"#);
    }

    #[test]
    fn what_is_heard() {
        for (text, expected) in [
            (
                r#"{"type":"welcome","server_time":"x","last_seq":4}"#,
                "Welcome { last_seq: 4 }",
            ),
            (
                r#"{"type":"ack","seq":12,"cumulative":true}"#,
                "Ack { seq: 12 }",
            ),
            (
                r#"{"type":"action","envelope":{"id":"\ud800"}}"#,
                r#"Envelope { kind: "action", json: "{\"id\":\"\\ud800\"}" }"#,
            ),
            (
                r#"{"type":"config"}"#,
                r#"Envelope { kind: "config", json: "null" }"#,
            ),
            (
                r#"{"type":"goaway","reconnect_after_ms":1500,"reason":"r"}"#,
                r#"Goaway { after: 1.5s, reason: "r" }"#,
            ),
            (
                r#"{"type":"goaway","reconnect_after_ms":99999999999}"#,
                r#"Goaway { after: 3600s, reason: "" }"#,
            ),
            (r#"{"type":"song","seq":{"a":[1]},"x":null}"#, "Unknown"),
        ] {
            assert_eq!(format!("{:?}", parse(text).expect(text)), expected);
        }
    }

    #[test]
    fn what_is_no_message() {
        let deep = format!(
            r#"{{"type":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        for text in [
            "",
            "[1,2,3]",
            "null",
            r#"{"type":"#,
            r#"{"seq":1}"#,
            r#"{"type":7}"#,
            r#"{"type":"ack"}"#,
            r#"{"type":"ack","seq":-1}"#,
            r#"{"type":"ack","type":"ack","seq":1}"#,
            r#"{"type":"welcome","last_seq":"4"}"#,
            r#"{"type":"goaway"}"#,
            r#"{"type":"ack","seq":1} x"#,
            &deep,
        ] {
            assert!(parse(text).is_none(), "{text:.60}");
        }
    }
}
