//! What the agent has to know after a crash: which orders it took, which it began, which results are unsent.
//!
//! One file of lines in `STATE_DIR`, each with a checksum; a lock keeps a second process out. An order goes
//! RECEIVED, CLAIMED\*, STARTED\*, STEP\* for each part done, DONE\* with its result, REPORTED (protocol,
//! section 4); what is marked \* is on the disk (`fsync`) before the call returns.
//!
//! Two rules make it simple. There is one way to write a clean file, at each start, to compact it and to repair
//! it: everything that is known, anew, beside the old one, then renamed over it. And after any failed write
//! nothing is appended until that has succeeded again, because nobody can say then what is on the disk. The
//! memory goes on meanwhile: as long as the process lives no result is lost.

mod disk;
mod error;
mod fs;
mod line;
mod open;
mod read;
mod record;
mod state;
mod writer;

use std::borrow::Cow;

use time::OffsetDateTime;

pub use self::disk::Disk;
pub use self::error::{Bound, IoFault, JournalError};
pub use self::fs::Fs;
pub use self::open::{Beginning, Recovered, Stage, Unfinished};
use self::line::MAX_LINE_BYTES;
use self::record::Record;
use self::state::{Stage as State_, State};
use self::writer::{Durability, Writer};
use crate::actions::id::EnvelopeId;
use crate::actions::known::Seen;
use crate::actions::outcome::ResultBody;
use crate::actions::verify::Verified;

/// Results that are unsent, or will be; more stop the claiming (protocol, section 4, 6).
pub const MAX_OUTBOX_RESULTS: usize = 1000;
/// Bytes of results that are unsent; more stop the claiming.
pub const MAX_OUTBOX_BYTES: usize = 4 << 20;

/// The journal of one state folder, whose lock it holds.
///
/// The calls that change something name an order by its id and return once the change is as safe as it must be.
/// An error of [`JournalError::NotWritten`] means: the change is known to this process and may be lost with it.
/// So do not begin what could not be marked as claimed or started, and do send the result that could not be
/// marked as done. `received` and `set_config` alone change nothing when they fail.
pub struct Journal<F: Fs = Disk> {
    state: State,
    writer: Writer<F>,
    _lock: F::Lock,
}
