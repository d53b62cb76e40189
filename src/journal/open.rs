//! Opening the journal: lock, read, write clean.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::Journal;
use super::error::{IoFault, JournalError};
use super::fs::Fs;
use super::read::{Content, read};
use super::state::{self, State};
use super::writer::{FILE, Writer};
use crate::actions::envelope::RawEnvelope;

const LOCK_FILE: &str = "lock";
/// Before the unix seconds in the name that a damaged file is kept under.
const DAMAGED_PREFIX: &str = "journal.corrupt-";
/// As many damaged files are kept.
const MAX_DAMAGED_FILES: usize = 3;

/// What was found when the journal was opened.
#[derive(Debug)]
pub struct Recovered {
    /// How this life of the journal began.
    pub beginning: Beginning,
    /// The orders without a result, oldest first.
    pub unfinished: Vec<Unfinished>,
}

/// How a life of the journal began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// There was none: it has a new instance id.
    New,
    /// It goes on.
    Continued {
        /// How many bytes of its torn end were cut off. None of them was promised to be there.
        torn_bytes: u64,
    },
    /// It was damaged, and is kept under another name: there is a new one with a new instance id. What was
    /// claimed under the old one will be lost to the backend, and never run a second time.
    Damaged {
        /// Where the damaged file is.
        kept_as: PathBuf,
    },
}

/// An order without a result.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// To be verified again: the keys or the cluster may have changed.
    pub envelope: RawEnvelope,
    /// When it expires; unix seconds.
    pub expires_at: i64,
    /// How far it came.
    pub stage: Stage,
}

/// How far an order came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was taken; whether it was claimed is unknown. Goes on: a claim can be repeated.
    Received,
    /// It was claimed, and nothing of it was begun. Goes on.
    Claimed,
    /// The cluster may have been changed: it is never run again. Observe, and report.
    Started {
        /// When.
        at: OffsetDateTime,
        /// The JSON of each step that was done.
        steps: Vec<String>,
    },
}

impl<F: Fs> Journal<F> {
    /// Opens the journal of a folder, or begins one. `now` in unix seconds.
    ///
    /// A journal that can be read and not written opens all the same, with a [`fault`](Journal::fault): its
    /// results can be sent. [`JournalError::Locked`]: another process has it; wait and try again.
    pub fn open(folder: &Path, fs: F, now: i64) -> Result<(Self, Recovered), JournalError> {
        let unusable = |operation, path: &Path| {
            let path = path.to_owned();
            move |error| JournalError::Unusable(IoFault::new(operation, &path, &error))
        };
        fs.create_folder(folder)
            .map_err(unusable("create", folder))?;
        let lock_path = folder.join(LOCK_FILE);
        let lock = fs.lock(&lock_path).map_err(unusable("lock", &lock_path))?;
        let lock = lock.ok_or(JournalError::Locked)?;

        let path = folder.join(FILE);
        let file = fs.open(&path).map_err(unusable("open", &path))?;
        let content = file
            .map(read)
            .transpose()
            .map_err(unusable("read", &path))?;
        let (mut state, beginning) = match content {
            Some(Content::Good { state, torn_bytes }) => {
                (state, Beginning::Continued { torn_bytes })
            }
            Some(Content::Damaged) => {
                let kept_as = folder.join(format!("{DAMAGED_PREFIX}{now}"));
                fs.rename(&path, &kept_as)
                    .map_err(unusable("rename", &path))?;
                remove_old_damaged(&fs, folder);
                (
                    State::new(new_instance_id()?),
                    Beginning::Damaged { kept_as },
                )
            }
            None => (State::new(new_instance_id()?), Beginning::New),
        };

        let State { known, orders, .. } = &mut state;
        known.forget_expired(now, |id| orders.contains_key(id));
        let unfinished = unfinished(&state);
        let writer = Writer::new(fs, folder.to_owned(), state.records());
        let journal = Self {
            state,
            writer,
            _lock: lock,
        };
        Ok((
            journal,
            Recovered {
                beginning,
                unfinished,
            },
        ))
    }
}

fn unfinished(state: &State) -> Vec<Unfinished> {
    let orders = state.in_order().into_iter();
    let unfinished = orders.filter_map(|(_, stage)| {
        let (order, reached) = match stage {
            state::Stage::Received(order) => (order, Stage::Received),
            state::Stage::Claimed(order) => (order, Stage::Claimed),
            state::Stage::Started {
                taken: order,
                at,
                steps,
            } => {
                let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(*at) * 1_000_000);
                let steps = steps.iter().map(|step| step.as_ref().to_owned()).collect();
                let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
                (order, Stage::Started { at, steps })
            }
            state::Stage::Done(_) | state::Stage::Parked(_) => return None,
        };
        let state::Taken {
            envelope,
            expires_at,
        } = order.as_ref().clone();
        Some(Unfinished {
            envelope,
            expires_at,
            stage: reached,
        })
    });
    unfinished.collect()
}

/// 128 random bits in hexadecimal digits.
fn new_instance_id() -> Result<String, JournalError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let error = std::io::Error::other(error.to_string());
        JournalError::Unusable(IoFault::new(
            "make an id from",
            Path::new("getrandom"),
            &error,
        ))
    })?;
    let mut id = String::new();
    for byte in bytes {
        let _ = write!(id, "{byte:02x}");
    }
    Ok(id)
}

/// Damaged files are evidence, and must not fill the disk. What cannot be removed does no harm.
fn remove_old_damaged<F: Fs>(fs: &F, folder: &Path) {
    let age = |name: &String| name.strip_prefix(DAMAGED_PREFIX)?.parse::<i64>().ok();
    let mut damaged = fs.list(folder).unwrap_or_default();
    damaged.retain(|name| age(name).is_some());
    damaged.sort_by_key(age);
    damaged.truncate(damaged.len().saturating_sub(MAX_DAMAGED_FILES));
    for name in damaged {
        let _ = fs.remove(&folder.join(name));
    }
}
