//! What can go wrong with the journal.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::actions::id::EnvelopeId;

/// A file operation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoFault {
    operation: &'static str,
    path: PathBuf,
    kind: io::ErrorKind,
    text: String,
}

impl IoFault {
    pub(super) fn new(operation: &'static str, path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        Self {
            operation,
            path,
            kind: error.kind(),
            text: error.to_string(),
        }
    }

    /// What kind of failure: `StorageFull`, `ReadOnlyFilesystem`, ...
    pub fn kind(&self) -> io::ErrorKind {
        self.kind
    }
}

impl fmt::Display for IoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "failed to {} {}: {}",
            self.operation,
            self.path.display(),
            self.text
        )
    }
}

impl std::error::Error for IoFault {}

/// Why the journal could not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalError {
    /// Another process holds the folder. Wait, not ready, and try again.
    Locked,
    /// The folder or the file cannot be used: nothing of the journal is known. Try again later.
    Unusable(IoFault),
    /// It is not on the disk: this write failed, or an earlier one did and is not repaired yet.
    NotWritten(IoFault),
    /// The ids of a whole day fill the memory, or too many results are unsent: the order stays at the backend.
    Full(Bound),
    /// The version of the settings is not above the one in force.
    NotNewer {
        /// The one in force.
        current: u64,
    },
    /// The text is too long for a record: an error of the caller.
    TooLong,
    /// The order is not in a state for this call: an error of the caller.
    OutOfOrder {
        /// Which order.
        id: EnvelopeId,
        /// Which call.
        call: &'static str,
    },
}

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The ids: [`CAPACITY`](crate::actions::known::CAPACITY).
    KnownIds,
    /// The results that are unsent, or will be when what is claimed is done.
    Outbox,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("another process holds the state folder"),
            Self::Unusable(fault) => write!(f, "journal unusable: {fault}"),
            Self::NotWritten(fault) => write!(f, "journal not written: {fault}"),
            Self::Full(Bound::KnownIds) => f.write_str("too many ids are known to take another"),
            Self::Full(Bound::Outbox) => f.write_str("too many results are unsent"),
            Self::NotNewer { current } => write!(f, "config_version {current} is in force already"),
            Self::TooLong => f.write_str("a record would be too long"),
            Self::OutOfOrder { id, call } => write!(f, "{call} makes no sense for {id} now"),
        }
    }
}

impl std::error::Error for JournalError {}
