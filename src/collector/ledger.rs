//! Which events were seen and which delivered: remembered over restarts of the watch and of the agent.
//!
//! In memory stands every event that the cluster holds at the moment (it keeps them for an hour), as two hashes.
//! On disk stand those of them that the backend has, so that after a restart, however it came, an event is sent
//! again only if it may not have arrived.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::event::EventKey;

/// Events remembered at most: 3 MiB. A cluster that holds more in an hour has other worries, and pays with events
/// sent twice after a restart.
const MOST: usize = 100_000;
const FILE: &str = "events";
const MAGIC: &[u8; 8] = b"KAevent1";

/// The events seen.
pub struct Ledger {
    seen: Mutex<Seen>,
    path: PathBuf,
}

#[derive(Default)]
struct Seen {
    by_uid: HashMap<u64, Entry>,
    generation: u32,
    changed: bool,
    /// The highest resource version of all.
    newest: u64,
    /// What a list brings is in no order, so that until its end there is no highest.
    listing: bool,
    /// What was said last of the versions delivered.
    delivered: Option<u64>,
}

struct Entry {
    occurrence: u64,
    delivered: bool,
    /// The resource version of the oldest occurrence that may be undelivered.
    version: u64,
    generation: u32,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

impl Ledger {
    /// Reads what was delivered before from `folder`; a file that is missing or damaged counts as empty.
    pub fn open(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let by_uid = fs::read(&path)
            .ok()
            .and_then(|it| decode(&it))
            .unwrap_or_default();
        Self {
            seen: Mutex::new(Seen {
                by_uid,
                ..Seen::default()
            }),
            path,
        }
    }

    /// A list begins.
    pub fn list_began(&self) {
        let mut seen = self.seen();
        seen.generation = seen.generation.wrapping_add(1);
        seen.listing = true;
    }

    /// The event exists, at this resource version; true if this occurrence of it was never seen.
    pub fn is_new(&self, key: EventKey, version: u64) -> bool {
        let mut seen = self.seen();
        let generation = seen.generation;
        seen.newest = seen.newest.max(version);
        let full = seen.by_uid.len() >= MOST;
        match seen.by_uid.get_mut(&key.uid) {
            Some(entry) => {
                entry.generation = generation;
                if entry.occurrence == key.occurrence {
                    return false;
                }
                if entry.delivered {
                    entry.version = version;
                }
                entry.occurrence = key.occurrence;
                entry.delivered = false;
            }
            None if full => (),
            None => {
                let entry = Entry {
                    occurrence: key.occurrence,
                    delivered: false,
                    version,
                    generation,
                };
                seen.by_uid.insert(key.uid, entry);
            }
        }
        true
    }

    /// The cluster has forgotten the event.
    pub fn forget(&self, uid: u64) {
        let mut seen = self.seen();
        seen.changed |= seen.by_uid.remove(&uid).is_some();
    }

    /// The list is complete: the cluster has forgotten what it did not bring.
    pub fn list_ended(&self) {
        let mut seen = self.seen();
        let generation = seen.generation;
        let before = seen.by_uid.len();
        seen.by_uid.retain(|_, it| it.generation == generation);
        seen.changed |= seen.by_uid.len() != before;
        seen.listing = false;
    }

    /// Up to this resource version the backend has every event that the cluster holds; `None` before the first list.
    pub fn delivered_up_to(&self) -> Option<u64> {
        let mut seen = self.seen();
        if !seen.listing && seen.newest > 0 {
            let undelivered = seen.by_uid.values().filter(|it| !it.delivered);
            let oldest = undelivered.map(|it| it.version.saturating_sub(1)).min();
            seen.delivered = Some(oldest.unwrap_or(seen.newest));
        }
        seen.delivered
    }

    /// The backend has these.
    pub fn delivered(&self, keys: &[EventKey]) {
        let mut seen = self.seen();
        for key in keys {
            if let Some(entry) = seen.by_uid.get_mut(&key.uid)
                && entry.occurrence == key.occurrence
            {
                entry.delivered = true;
                seen.changed = true;
            }
        }
    }

    /// Writes what was delivered, if that has changed.
    pub fn save(&self) -> io::Result<()> {
        let bytes = {
            let mut seen = self.seen();
            if !std::mem::take(&mut seen.changed) {
                return Ok(());
            }
            encode(&seen.by_uid)
        };
        let saved = write_whole(&self.path, &bytes);
        if saved.is_err() {
            self.seen().changed = true;
        }
        saved
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader sees the old file or the new one, never a part.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&draft, path)
}

/// The magic, pairs of hashes, and the first 8 bytes of the SHA-256 of all that.
fn encode(events: &HashMap<u64, Entry>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + events.len() * 16);
    bytes.extend_from_slice(MAGIC);
    for (uid, entry) in events.iter().filter(|(_, it)| it.delivered) {
        bytes.extend_from_slice(&uid.to_le_bytes());
        bytes.extend_from_slice(&entry.occurrence.to_le_bytes());
    }
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest[..8]);
    bytes
}

fn decode(bytes: &[u8]) -> Option<HashMap<u64, Entry>> {
    let (content, digest) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
    if Sha256::digest(content)[..8] != *digest {
        return None;
    }
    let (pairs, []) = content.strip_prefix(MAGIC)?.as_chunks::<16>() else {
        return None;
    };
    let number = |it: &[u8]| {
        it.iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let entry = |it: &[u8; 16]| {
        let (uid, occurrence) = it.split_at(8);
        (
            number(uid),
            Entry {
                occurrence: number(occurrence),
                delivered: true,
                version: 0,
                generation: 0,
            },
        )
    };
    Some(pairs.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uid: u64, occurrence: u64) -> EventKey {
        EventKey { uid, occurrence }
    }

    #[test]
    fn an_occurrence_is_new_once() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path());
        assert!(ledger.is_new(key(1, 1), 1));
        assert!(!ledger.is_new(key(1, 1), 1));
        assert!(ledger.is_new(key(1, 2), 1));
        assert!(ledger.is_new(key(2, 1), 1));
    }

    #[test]
    fn only_what_was_delivered_is_remembered_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path());
        for uid in 0..3 {
            ledger.is_new(key(uid, 1), 1);
        }
        // 2 occurred again before the delivery of its first occurrence was heard of.
        ledger.is_new(key(2, 2), 1);
        ledger.delivered(&[key(0, 1), key(2, 1)]);
        ledger.save().unwrap();
        let ledger = Ledger::open(folder.path());
        assert!(!ledger.is_new(key(0, 1), 1));
        assert!(ledger.is_new(key(1, 1), 1));
        assert!(ledger.is_new(key(2, 2), 1));
    }

    #[test]
    fn a_list_forgets_what_the_cluster_forgot() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path());
        ledger.is_new(key(1, 1), 1);
        ledger.is_new(key(2, 1), 1);
        ledger.list_began();
        ledger.is_new(key(2, 1), 1);
        ledger.list_ended();
        ledger.forget(2);
        assert_eq!(ledger.seen().by_uid.len(), 0);
    }

    #[test]
    fn a_damaged_file_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path());
        ledger.is_new(key(1, 1), 1);
        ledger.delivered(&[key(1, 1)]);
        ledger.save().unwrap();
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(
                Ledger::open(folder.path()).is_new(key(1, 1), 1),
                "cut at {end}"
            );
        }
        fs::write(&path, &whole).unwrap();
        assert!(!Ledger::open(folder.path()).is_new(key(1, 1), 1));
    }
}
