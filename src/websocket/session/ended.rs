//! How a connection ended, and what follows from it.

use tungstenite::Error;

use crate::websocket::schedule::End;
use crate::websocket::stream::Endless;

/// How a connection ended.
#[derive(Debug)]
pub(in crate::websocket) struct Ended {
    /// What follows from it.
    pub(in crate::websocket) end: End,
    /// In words.
    pub(in crate::websocket) why: String,
}

impl Ended {
    /// Ended so, for this reason.
    pub(super) fn new(end: End, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { end, why }
    }

    /// The peer broke the protocol, and is told by this code.
    pub(super) fn violated(code: u16, why: &str) -> Self {
        Self::new(End::Violated(code), format!("{why}, closed with {code}"))
    }

    /// What tungstenite found, by what follows from it.
    pub(super) fn broken(err: &Error) -> Self {
        use tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
        match err {
            Error::Protocol(ResetWithoutClosingHandshake)
            | Error::ConnectionClosed
            | Error::AlreadyClosed => Self::new(End::Broken, "the backend hung up"),
            Error::Protocol(what) => Self::violated(1002, &what.to_string()),
            Error::Utf8(_) => Self::violated(1007, "it sent a text that is no UTF-8"),
            Error::Capacity(_) => Self::violated(1009, "it sent more than 256 KiB in a message"),
            Error::Io(err) if err.get_ref().is_some_and(|it| it.is::<Endless>()) => {
                Self::violated(1008, &err.to_string())
            }
            other => Self::new(End::Broken, other.to_string()),
        }
    }
}
