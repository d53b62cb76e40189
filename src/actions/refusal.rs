//! The two ways to say no: to an envelope that is not proven, and to an order that is.

use std::fmt;

use super::action::ActionKind;
use super::id::EnvelopeId;
use super::members::Fault;

/// Why an envelope is not proven to be for us and from the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotProven {
    /// It does not have the form of an envelope, or its payload not that of one.
    Malformed,
    /// No key made any of its signatures.
    BadSignature,
    /// It names another cluster.
    WrongCluster,
    /// It names another agent.
    WrongAgent,
    /// It was signed more than 300 s in the future.
    NotYetValid,
    /// It would live longer than a day.
    TtlTooLong,
    /// Its id is known with another payload.
    IdConflict,
    /// It is proven, and neither an action nor settings.
    Unsupported,
}

impl NotProven {
    /// The reason as the wire writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::WrongCluster => "wrong_cluster",
            Self::WrongAgent => "wrong_agent",
            Self::NotYetValid => "not_yet_valid",
            Self::TtlTooLong => "ttl_too_long",
            Self::IdConflict => "id_conflict",
            Self::Unsupported => "unsupported",
        }
    }
}

/// An envelope that is neither claimed nor answered by a result: only logged, counted and answered by a
/// `received` frame. Holds nothing of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The id that it bears, where one can be read. Anybody may have written it.
    pub id: Option<EnvelopeId>,
    /// Why.
    pub reason: NotProven,
    /// What exactly, for the log.
    pub detail: &'static str,
}

impl Refusal {
    /// The refusal of an envelope whose id is known with another payload.
    pub fn id_conflict(id: EnvelopeId) -> Self {
        let detail = "its id is known with another payload";
        Self {
            id: Some(id),
            reason: NotProven::IdConflict,
            detail,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_ref().map_or("(unreadable)", EnvelopeId::as_str);
        write!(
            f,
            "envelope {id} refused: {}: {}",
            self.reason.as_str(),
            self.detail
        )
    }
}

impl std::error::Error for Refusal {}

/// Why a proven order is not carried out. The text is for the backend, which wrote the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvenRefusal {
    /// Its time is over.
    Expired,
    /// The action's name is not one of ours.
    Unsupported {
        /// The name, cut.
        name: String,
    },
    /// A member of `params` or `settings` is unknown, missing or illegal.
    InvalidParams(Fault),
}

impl ProvenRefusal {
    /// The reason as the wire writes it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Unsupported { .. } => "unsupported",
            Self::InvalidParams(_) => "invalid_params",
        }
    }
}

impl fmt::Display for ProvenRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("past its expires_at"),
            Self::Unsupported { name } => {
                write!(f, "action: expected one of ")?;
                for (n, kind) in ActionKind::ALL.into_iter().enumerate() {
                    write!(f, "{}{}", if n == 0 { "" } else { ", " }, kind.as_str())?;
                }
                write!(f, ", got {name}")
            }
            Self::InvalidParams(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for ProvenRefusal {}
