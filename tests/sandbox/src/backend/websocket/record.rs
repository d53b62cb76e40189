//! How a WebSocket is to behave, and what is written down of it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attack::Attack;

/// How the server behaves towards those who connect from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelMode {
    /// The upgrade is answered and the connection closed at once, with this code.
    pub close_at_once: Option<u16>,
    /// How long hello may take, in milliseconds.
    pub hello_within_ms: u64,
    /// How long welcome takes, in milliseconds.
    pub welcome_after_ms: u64,
    /// Whether welcome comes at all.
    pub welcomes: bool,
    /// Whether frames are acknowledged: each at once, none while this is false, and all of them once it is true again.
    pub acks: bool,
    /// Whether waiting envelopes are pushed.
    pub pushes: bool,
    /// What follows the welcome.
    pub attack: Option<Attack>,
}

impl Default for ChannelMode {
    fn default() -> ChannelMode {
        ChannelMode {
            close_at_once: None,
            hello_within_ms: 5_000,
            welcome_after_ms: 0,
            welcomes: true,
            acks: true,
            pushes: true,
            attack: None,
        }
    }
}

/// How a connection is to be ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cut", rename_all = "snake_case")]
pub enum Cut {
    /// By a reset.
    Reset,
    /// By the end of the stream, without a close frame.
    HangUp,
    /// By nothing: the server hears and says nothing any more.
    Silence,
    /// By a close frame.
    Close {
        /// The code.
        code: u16,
        /// Why.
        #[serde(default)]
        reason: String,
    },
    /// By asking the agent to go.
    Goaway {
        /// How long it is to wait, in milliseconds.
        reconnect_after_ms: u64,
        /// Why.
        #[serde(default)]
        reason: String,
    },
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// The agent sent the first close frame.
    Agent,
    /// The server sent it.
    Server,
    /// Nobody did: the connection broke.
    Nobody,
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// Who ended it.
    pub by: ClosedBy,
    /// The code of that side's close frame.
    pub code: Option<u16>,
    /// Its reason, or what broke.
    pub reason: String,
}

/// One WebSocket connection, open or not.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelRecord {
    /// Counts from 1.
    pub id: u64,
    /// When the upgrade was answered, by the system's clock.
    pub opened: SystemTime,
    /// What hello said; nothing before it came.
    pub hello: Option<Value>,
    /// When it was welcomed.
    pub welcomed: Option<SystemTime>,
    /// When each ping of the agent came, since it was opened.
    pub pings: Vec<Duration>,
    /// How many text frames came.
    pub texts: u64,
    /// How it ended; nothing while it is open.
    pub closed: Option<Closed>,
}

/// A frame with a number that was stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frame {
    /// The connection it came over.
    pub connection: u64,
    /// The agent's run.
    pub run_id: String,
    /// Its number within the run.
    pub seq: u64,
    /// When it came, by the system's clock.
    #[serde(skip)]
    pub at: SystemTime,
    /// All of it.
    pub body: Value,
}

impl Frame {
    /// Its type.
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }
}
