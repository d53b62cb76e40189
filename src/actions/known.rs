//! The ids that were seen, so that no order is taken twice and no id means two things.

use std::collections::HashMap;

use super::id::{EnvelopeId, PayloadHash};

/// An id is remembered so long past its `expires_at`, in seconds (protocol, section 1).
pub const KEPT_AFTER_EXPIRY_SECONDS: i64 = 600;
/// As many ids are remembered. One more is not taken: it stays at the backend until older ones are forgotten.
///
/// About 3 MB when full. It takes 14 orders a minute over a day, each living a day, to fill it.
pub const CAPACITY: usize = 20_000;

/// Whether an id was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Never, or so long ago that it has expired.
    New,
    /// With the same payload.
    Duplicate,
    /// With another payload; the first one stays.
    Conflict,
}

/// There is no room for another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The ids of proven envelopes. An id that was not proven never gets in here: anybody could block one.
#[derive(Debug, Default)]
pub struct Known {
    ids: HashMap<EnvelopeId, Memory>,
}

#[derive(Clone, Copy, Debug)]
struct Memory {
    payload_hash: PayloadHash,
    expires_at: i64,
}

impl Known {
    /// Whether this id was seen, and with this payload.
    pub fn seen(&self, id: &EnvelopeId, payload_hash: PayloadHash) -> Seen {
        match self.ids.get(id) {
            None => Seen::New,
            Some(memory) if memory.payload_hash == payload_hash => Seen::Duplicate,
            Some(_) => Seen::Conflict,
        }
    }

    /// Remembers an id. One that is known already stays as it is.
    pub fn remember(
        &mut self,
        id: &EnvelopeId,
        payload_hash: PayloadHash,
        expires_at: i64,
    ) -> Result<(), Full> {
        if self.ids.contains_key(id) {
            return Ok(());
        }
        if self.ids.len() >= CAPACITY {
            return Err(Full);
        }
        self.ids.insert(
            id.clone(),
            Memory {
                payload_hash,
                expires_at,
            },
        );
        Ok(())
    }

    /// Remembers an id as the journal has it, without a bound: what was taken once must be known again.
    pub fn restore(&mut self, id: EnvelopeId, payload_hash: PayloadHash, expires_at: i64) {
        let memory = Memory {
            payload_hash,
            expires_at,
        };
        self.ids.insert(id, memory);
    }

    /// Forgets one id: the order was not taken after all.
    pub fn forget(&mut self, id: &EnvelopeId) {
        self.ids.remove(id);
    }

    /// Forgets the ids whose time is long over, except those that `keep` still needs. `now` in unix seconds.
    pub fn forget_expired(&mut self, now: i64, keep: impl Fn(&EnvelopeId) -> bool) {
        self.ids.retain(|id, memory| {
            now < memory.expires_at.saturating_add(KEPT_AFTER_EXPIRY_SECONDS) || keep(id)
        });
    }

    /// The ids with their payload's hash and `expires_at`, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&EnvelopeId, PayloadHash, i64)> {
        self.ids
            .iter()
            .map(|(id, memory)| (id, memory.payload_hash, memory.expires_at))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> EnvelopeId {
        EnvelopeId::parse(text).expect("an id")
    }

    #[test]
    fn the_first_payload_stays() {
        let mut known = Known::default();
        let (first, second) = (PayloadHash::of("first"), PayloadHash::of("second"));
        assert_eq!(known.seen(&id("a"), first), Seen::New);
        known.remember(&id("a"), first, 100).unwrap();
        known.remember(&id("a"), second, 100).unwrap();
        assert_eq!(known.seen(&id("a"), first), Seen::Duplicate);
        assert_eq!(known.seen(&id("a"), second), Seen::Conflict);
        assert_eq!(known.seen(&id("b"), first), Seen::New);
    }

    #[test]
    fn forgotten_600_s_after_expiry() {
        let mut known = Known::default();
        let hash = PayloadHash::of("");
        known.remember(&id("a"), hash, 1000).unwrap();
        known.remember(&id("needed"), hash, 1000).unwrap();
        known.remember(&id("endless"), hash, i64::MAX).unwrap();
        known.forget_expired(1599, |_| false);
        assert_eq!(known.len(), 3);
        known.forget_expired(1600, |id| id.as_str() == "needed");
        assert_eq!(known.seen(&id("a"), hash), Seen::New);
        assert_eq!(known.seen(&id("needed"), hash), Seen::Duplicate);
        assert_eq!(known.seen(&id("endless"), hash), Seen::Duplicate);
    }

    #[test]
    fn full_takes_no_more_and_forgets_nothing() {
        let mut known = Known::default();
        let hash = PayloadHash::of("");
        for n in 0..CAPACITY {
            known.remember(&id(&n.to_string()), hash, 1000).unwrap();
        }
        assert_eq!(known.remember(&id("more"), hash, 1000), Err(Full));
        assert_eq!(known.remember(&id("7"), hash, 1000), Ok(()));
        assert_eq!(known.seen(&id("0"), hash), Seen::Duplicate);
        known.forget_expired(1600, |_| false);
        assert_eq!(known.remember(&id("more"), hash, 1000), Ok(()));
    }

    #[test]
    fn what_was_not_taken_can_come_again() {
        let mut known = Known::default();
        known.remember(&id("a"), PayloadHash::of(""), 1000).unwrap();
        known.forget(&id("a"));
        assert!(known.is_empty());
    }
}
