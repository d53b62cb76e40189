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
use self::state::State;
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

impl<F: Fs> Journal<F> {
    /// Names this journal; lives as long as it does.
    pub fn instance_id(&self) -> &str {
        &self.state.instance_id
    }

    /// Why nothing can be written at present, if so. [`Journal::maintain`] tries to repair it.
    pub fn fault(&self) -> Option<&IoFault> {
        self.writer.fault()
    }

    /// Whether this envelope was taken before, or another one under its id.
    pub fn seen(&self, verified: &Verified) -> Seen {
        self.state
            .known
            .seen(verified.id(), verified.payload_hash())
    }

    /// Remembers settings that were taken, so that a second copy is a duplicate. Not kept over a restart: their
    /// version is.
    pub fn remember(&mut self, verified: &Verified) -> Result<(), JournalError> {
        let (id, hash) = (verified.id(), verified.payload_hash());
        let remembered = self.state.known.remember(id, hash, verified.expires_at());
        remembered.map_err(|_| JournalError::Full(Bound::KnownIds))
    }

    /// Whether another order may be taken or claimed: the journal can be written, and its outbox has room for
    /// one more result. Otherwise actions stay at the backend.
    pub fn may_claim(&self) -> Result<(), JournalError> {
        if let Some(fault) = self.writer.fault() {
            return Err(JournalError::NotWritten(fault.clone()));
        }
        let mut results = 0;
        let mut bytes = 0;
        for order in self.state.orders.values() {
            match &order.stage {
                state::Stage::Received(_) | state::Stage::Parked(_) => (),
                state::Stage::Claimed(_) | state::Stage::Started { .. } => results += 1,
                state::Stage::Done(body) => {
                    results += 1;
                    bytes += body.as_str().len();
                }
            }
        }
        if results >= MAX_OUTBOX_RESULTS || bytes >= MAX_OUTBOX_BYTES {
            return Err(JournalError::Full(Bound::Outbox));
        }
        Ok(())
    }

    /// RECEIVED: an order that was never [`seen`](Journal::seen) is taken. Fails if it may not be claimed.
    pub fn received(&mut self, verified: &Verified) -> Result<(), JournalError> {
        self.may_claim()?;
        let id = verified.id();
        if self.seen(verified) != Seen::New {
            return Err(JournalError::OutOfOrder {
                id: id.clone(),
                call: "received",
            });
        }
        self.remember(verified)?;
        let envelope = Cow::Borrowed(verified.envelope());
        let record = Record::Received {
            envelope,
            expires_at: verified.expires_at(),
        };
        let taken = self.change("received", id, record, Durability::Later);
        if taken.is_err() {
            // Not taken: when the backend offers it again, it is new.
            self.state.orders.remove(id);
            self.state.known.forget(id);
        }
        taken
    }

    /// CLAIMED: the backend has given the order to this journal.
    pub fn claimed(&mut self, id: &EnvelopeId) -> Result<(), JournalError> {
        let record = Record::Claimed {
            id: Cow::Borrowed(id),
        };
        self.change("claimed", id, record, Durability::Now)
    }

    /// STARTED: to be called before the first write to the cluster.
    pub fn started(&mut self, id: &EnvelopeId, at: OffsetDateTime) -> Result<(), JournalError> {
        let at = at.unix_timestamp() * 1000 + i64::from(at.millisecond());
        let record = Record::Started {
            id: Cow::Borrowed(id),
            at,
        };
        self.change("started", id, record, Durability::Now)
    }

    /// STEP: a part of the order is done. `step` is JSON that means something to the action.
    pub fn step(&mut self, id: &EnvelopeId, step: &str) -> Result<(), JournalError> {
        let record = Record::Step {
            id: Cow::Borrowed(id),
            step: Cow::Borrowed(step),
        };
        self.change("step", id, record, Durability::Now)
    }

    /// DONE: the result of an order that was claimed, whether it was started or not.
    pub fn done(&mut self, id: &EnvelopeId, body: &ResultBody) -> Result<(), JournalError> {
        let record = Record::Done {
            id: Cow::Borrowed(id),
            body: Cow::Borrowed(body),
        };
        self.change("done", id, record, Durability::Now)
    }

    /// REPORTED: the backend has the result, or said that it never will take it.
    pub fn reported(&mut self, id: &EnvelopeId) -> Result<(), JournalError> {
        self.close("reported", id, |stage| {
            matches!(stage, state::Stage::Done(_) | state::Stage::Parked(_))
        })
    }

    /// The backend never gave us this order: the claim was refused. It stays known.
    pub fn dropped(&mut self, id: &EnvelopeId) -> Result<(), JournalError> {
        self.close("dropped", id, |stage| {
            matches!(stage, state::Stage::Received(_) | state::Stage::Claimed(_))
        })
    }

    /// PARKED: the backend refuses the result. It is kept and no longer counted; of many the oldest go.
    pub fn parked(&mut self, id: &EnvelopeId) -> Result<(), JournalError> {
        let record = Record::Parked {
            id: Cow::Borrowed(id),
        };
        self.change("parked", id, record, Durability::Later)
    }

    /// The results to be sent, oldest order first.
    pub fn unsent(&self) -> impl Iterator<Item = (&EnvelopeId, &ResultBody)> {
        self.state
            .in_order()
            .into_iter()
            .filter_map(|(id, stage)| match stage {
                state::Stage::Done(body) => Some((id, body)),
                _ => None,
            })
    }

    /// The results that the backend refuses, oldest order first.
    pub fn in_parking(&self) -> impl Iterator<Item = (&EnvelopeId, &ResultBody)> {
        self.state
            .in_order()
            .into_iter()
            .filter_map(|(id, stage)| match stage {
                state::Stage::Parked(body) => Some((id, body)),
                _ => None,
            })
    }

    /// What is claimed and not yet stored at the backend, oldest first: the heartbeat renews these leases.
    pub fn in_progress(&self) -> impl Iterator<Item = &EnvelopeId> {
        self.state
            .in_order()
            .into_iter()
            .filter_map(|(id, stage)| match stage {
                state::Stage::Claimed(_) | state::Stage::Started { .. } | state::Stage::Done(_) => {
                    Some(id)
                }
                state::Stage::Received(_) | state::Stage::Parked(_) => None,
            })
    }

    /// The version of the remote settings in force, 0 for none, and they themselves as JSON.
    pub fn config(&self) -> (u64, Option<&str>) {
        match &self.state.config {
            Some(config) => (config.version, Some(&config.settings)),
            None => (0, None),
        }
    }

    /// Puts settings in force. Fails, and changes nothing, unless the version is above the one in force.
    pub fn set_config(&mut self, version: u64, settings: &str) -> Result<(), JournalError> {
        let (current, _) = self.config();
        if version <= current {
            return Err(JournalError::NotNewer { current });
        }
        let record = Record::Config {
            version,
            settings: Cow::Borrowed(settings),
        };
        let line = self.line(&record)?;
        self.writer
            .append(&line, Durability::Now)
            .map_err(JournalError::NotWritten)?;
        // Settings make sense in every state.
        let _ = self.state.apply(record);
        Ok(())
    }

    /// To be called every few seconds: forgets ids whose time is long over, repairs a journal with a fault, and
    /// compacts one that has grown. `now` in unix seconds.
    pub fn maintain(&mut self, now: i64) -> Result<(), JournalError> {
        let State { known, orders, .. } = &mut self.state;
        known.forget_expired(now, |id| orders.contains_key(id));
        if self.writer.is_due() {
            self.writer
                .rewrite(self.state.records())
                .map_err(JournalError::NotWritten)?;
        }
        Ok(())
    }

    fn close(
        &mut self,
        call: &'static str,
        id: &EnvelopeId,
        may_end: impl FnOnce(&state::Stage) -> bool,
    ) -> Result<(), JournalError> {
        if !self.state.stage(id).is_some_and(may_end) {
            return Err(JournalError::OutOfOrder {
                id: id.clone(),
                call,
            });
        }
        let record = Record::Closed {
            id: Cow::Borrowed(id),
        };
        self.change(call, id, record, Durability::Later)
    }

    /// Changes the memory and then the file: after a failure the memory is ahead, and a repair catches up.
    fn change(
        &mut self,
        call: &'static str,
        id: &EnvelopeId,
        record: Record<'_>,
        durability: Durability,
    ) -> Result<(), JournalError> {
        let line = self.line(&record)?;
        let out_of_order = |_| JournalError::OutOfOrder {
            id: id.clone(),
            call,
        };
        self.state.apply(record).map_err(out_of_order)?;
        self.writer
            .append(&line, durability)
            .map_err(JournalError::NotWritten)
    }

    fn line(&self, record: &Record<'_>) -> Result<String, JournalError> {
        let line = line::write(record, self.writer.synced());
        // No reader would take it back.
        if line.len() > MAX_LINE_BYTES {
            Err(JournalError::TooLong)
        } else {
            Ok(line)
        }
    }
}

#[cfg(test)]
mod model_fs;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
