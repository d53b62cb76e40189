//! What was asked of the server: the log that tests read.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// One request.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts from 1 within a server.
    pub id: u64,
    /// Milliseconds since the epoch.
    pub time: u64,
    /// get, list, watch, create, update, patch, delete or deletecollection; the method for what is no resource.
    pub verb: String,
    /// The resource with its subresource, `pods/eviction`; the path for what is no resource.
    pub resource: String,
    /// The namespace, if one was named.
    pub namespace: String,
    /// The object, if one was named.
    pub name: String,
    /// The query as `name=value` pairs, decoded.
    pub query: String,
    /// The client's name for itself.
    pub user_agent: String,
    /// The HTTP code of the answer.
    pub code: u16,
    /// Bytes of the answer's body as sent, so far.
    pub bytes: u64,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// The body of a write, up to 16 KiB of it.
    pub body: String,
}

impl Entry {
    /// Whether it is a request that changes objects, had it succeeded.
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        ) && self.resource != "selfsubjectaccessreviews"
    }

    /// Whether it changed an object, or found it changed so already.
    pub fn has_written(&self) -> bool {
        self.is_write() && !self.dry_run && (200..300).contains(&self.code)
    }
}

/// The log of all requests.
#[derive(Default)]
pub struct Audit {
    state: Mutex<State>,
    size: usize,
    mutations: Option<Mutex<File>>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    entries: VecDeque<(Entry, Arc<AtomicU64>)>,
    counts: BTreeMap<String, u64>,
}

impl Audit {
    /// A log that holds so many entries, and appends every write to a file if one is given.
    pub fn new(size: usize, mutations: Option<&Path>) -> io::Result<Audit> {
        let file = mutations
            .map(|path| OpenOptions::new().create(true).append(true).open(path))
            .transpose()?;
        Ok(Audit {
            state: Mutex::default(),
            size,
            mutations: file.map(Mutex::new),
        })
    }

    /// Records a request before it is answered. `sent` counts the answer's bytes while they go.
    pub fn record(&self, mut entry: Entry, sent: Arc<AtomicU64>) {
        let mut state = self.lock();
        state.last_id += 1;
        entry.id = state.last_id;
        *state
            .counts
            .entry(format!("{} {} {}", entry.verb, entry.resource, entry.code))
            .or_default() += 1;
        if let Some(file) = self.mutations.as_ref().filter(|_| entry.has_written()) {
            // Before the answer: who reads the file after the client was killed must see what it had caused.
            if let Ok(line) = serde_json::to_string(&entry) {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = file.write_all(format!("{line}\n").as_bytes());
            }
        }
        state.entries.push_back((entry, sent));
        if state.entries.len() > self.size {
            state.entries.pop_front();
        }
    }

    /// All that it holds, the oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        let state = self.lock();
        let entries = state.entries.iter();
        entries
            .map(|(entry, sent)| Entry {
                bytes: sent.load(Ordering::Relaxed),
                ..entry.clone()
            })
            .collect()
    }

    /// How many requests there were by `verb resource code`, also of those no longer held.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.lock().counts.clone()
    }

    /// How many requests of a verb and resource there were, whatever their answer. Empty stands for any.
    pub fn count(&self, verb: &str, resource: &str) -> u64 {
        let matches = |key: &str| {
            let mut words = key.split(' ');
            let mut is = |wanted: &str| {
                words
                    .next()
                    .is_some_and(|word| wanted.is_empty() || word == wanted)
            };
            is(verb) && is(resource)
        };
        self.lock()
            .counts
            .iter()
            .filter(|(key, _)| matches(key))
            .map(|(_, count)| count)
            .sum()
    }

    /// The entries that changed something.
    pub fn writes(&self) -> Vec<Entry> {
        self.entries()
            .into_iter()
            .filter(Entry::has_written)
            .collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.entries.clear();
        state.counts.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
