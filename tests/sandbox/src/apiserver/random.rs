//! Numbers, names and ids that look random, and times as Kubernetes writes them.

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};

use time::OffsetDateTime;
use time::macros::format_description;

/// Kubernetes makes names of these: no vowels, nothing that reads as another.
pub(super) const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A small generator (SplitMix64): quick, and the same again for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A sequence that differs in each process.
    pub(super) fn from_process() -> Random {
        Random(RandomState::new().build_hasher().finish())
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index below `bound`, which is not zero.
    pub(super) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or_default()
    }

    /// One of these.
    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// Whether something that happens `percent` times in a hundred happens.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// As many hexadecimal digits.
    pub(super) fn hex(&mut self, digits: usize) -> String {
        let mut hex = String::with_capacity(digits + 16);
        while hex.len() < digits {
            // Writing to a string does not fail.
            let _ = write!(hex, "{:016x}", self.next());
        }
        hex.truncate(digits);
        hex
    }

    /// A version 4 UUID.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | ((low >> 48) & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }

    /// What Kubernetes appends to a generated name.
    pub(super) fn suffix(&mut self, letters: usize) -> String {
        (0..letters)
            .map(|_| char::from(*self.pick(NAME_LETTERS)))
            .collect()
    }
}

/// A number that differs wherever the text does, the same in each process.
pub(super) fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(fnv)
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// `hash` in the letters of a generated name, as `pod-template-hash` has them.
pub(super) fn name_of(hash: u64) -> String {
    Random::new(hash).suffix(10)
}

/// A time as `metav1.Time` has it: whole seconds, UTC.
pub(super) fn timestamp(time: OffsetDateTime) -> String {
    time.format(format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second]Z"
    ))
    .unwrap_or_default()
}

/// The present as `metav1.Time` has it.
pub(super) fn now() -> String {
    timestamp(OffsetDateTime::now_utc())
}

/// Reads a `metav1.Time`.
pub(super) fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_what_kubernetes_accepts() {
        let mut random = Random::new(1);
        let uuid = random.uuid();
        assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'));
        assert_eq!(random.hex(65).len(), 65);
        assert_eq!(name_of(hash("a")), name_of(hash("a")));
        assert_ne!(hash("a"), hash("b"));
        let time = parse_time("2024-01-15T10:25:00Z").unwrap();
        assert_eq!(timestamp(time), "2024-01-15T10:25:00Z");
    }
}
