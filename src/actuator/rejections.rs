//! Envelopes that were not proven, and settings that were refused: counted for the heartbeat, logged at most once a
//! minute for an id.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::protocol::Rejected;

/// Ids remembered at most: whoever sends more wants to fill the memory.
const MOST: usize = 256;
/// What a heartbeat tells at most (protocol, section 2).
const TOLD: usize = 20;
/// A refusal is logged again for the same id after this.
const QUIET: Duration = Duration::from_mins(1);

/// What was refused since the last answered heartbeat.
#[derive(Default)]
pub struct Rejections {
    entries: Mutex<BTreeMap<(String, &'static str), Entry>>,
}

struct Entry {
    count: u64,
    logged: Instant,
}

impl Rejections {
    /// Counts one; true if it should be logged, and answered by a frame.
    pub fn add(&self, id: &str, reason: &'static str, now: Instant) -> bool {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(&(id.to_owned(), reason)) {
            entry.count += 1;
            let loud = now.duration_since(entry.logged) >= QUIET;
            if loud {
                entry.logged = now;
            }
            return loud;
        }
        if entries.len() >= MOST {
            entries.retain(|_, it| it.count > 0 || now.duration_since(it.logged) < QUIET);
        }
        if entries.len() >= MOST {
            return false;
        }
        entries.insert(
            (id.to_owned(), reason),
            Entry {
                count: 1,
                logged: now,
            },
        );
        true
    }

    /// What the next heartbeat tells: the ids refused most often.
    pub fn told(&self) -> Vec<Rejected> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told: Vec<_> = entries
            .iter()
            .filter(|(_, it)| it.count > 0)
            .map(|((id, reason), it)| Rejected {
                id: id.clone(),
                reason: (*reason).to_owned(),
                count: it.count,
            })
            .collect();
        told.sort_by_key(|it| std::cmp::Reverse(it.count));
        told.truncate(TOLD);
        told
    }

    /// The heartbeat that told this was answered.
    pub fn answered(&self, told: &[Rejected]) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for ((id, reason), entry) in entries.iter_mut() {
            if let Some(it) = told.iter().find(|it| it.id == *id && it.reason == *reason) {
                entry.count = entry.count.saturating_sub(it.count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_loud_once_a_minute_and_counted_each_time() {
        let rejections = Rejections::default();
        let now = Instant::now();
        assert!(rejections.add("a", "bad_signature", now));
        assert!(!rejections.add("a", "bad_signature", now));
        assert!(rejections.add("a", "wrong_cluster", now));
        assert!(rejections.add("a", "bad_signature", now + QUIET));
        let told = rejections.told();
        assert_eq!(
            (told[0].reason.as_str(), told[0].count),
            ("bad_signature", 3)
        );
    }

    #[test]
    fn only_what_was_answered_is_forgotten() {
        let rejections = Rejections::default();
        let now = Instant::now();
        rejections.add("a", "malformed", now);
        let told = rejections.told();
        rejections.add("a", "malformed", now);
        rejections.answered(&told);
        assert_eq!(rejections.told()[0].count, 1);
        rejections.answered(&rejections.told());
        assert_eq!(rejections.told(), []);
    }

    #[test]
    fn a_flood_of_ids_does_not_fill_the_memory() {
        let rejections = Rejections::default();
        let now = Instant::now();
        let loud = (0..10_000)
            .filter(|n| rejections.add(&n.to_string(), "malformed", now))
            .count();
        assert_eq!(loud, MOST);
        assert_eq!(rejections.told().len(), TOLD);
    }
}
