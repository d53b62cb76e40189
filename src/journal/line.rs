//! One line of the journal: a checksum, how much was on the disk before it, and a record as JSON.
//!
//! ```text
//! 5bd6f13dc7fd6f5c 1042 {"started":{"id":"act_0001","at":1767225600000}}
//! ```
//!
//! The number lets a reader tell a torn end from damage: a bad line that some later line says was on the disk
//! already has been damaged since; one that no later line vouches for was never promised to anybody.

use sha2::{Digest, Sha256};

use super::record::Record;

/// The longest line, in bytes. An envelope's payload, escaped twice, is the longest thing in one.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

const CHECKSUM_BYTES: usize = 16;

/// A line for a record. `synced` is the length of the file of which the disk is known to have everything.
pub(super) fn write(record: &Record<'_>, synced: u64) -> String {
    // Records are made of texts and numbers: there is nothing in them that JSON could not hold. An empty record
    // would be refused by every reader as damage.
    let json = serde_json::to_string(record).unwrap_or_default();
    let rest = format!("{synced} {json}");
    format!("{} {rest}\n", checksum(&rest))
}

/// The record on a line that still has its line end, and the `synced` of its writer. `None` if it is damaged.
pub(super) fn read(line: &[u8]) -> Option<(u64, Record<'static>)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, rest) = line.split_at_checked(CHECKSUM_BYTES)?;
    let rest = rest.strip_prefix(' ')?;
    if sum != checksum(rest) {
        return None;
    }
    let (synced, json) = rest.split_once(' ')?;
    Some((synced.parse().ok()?, serde_json::from_str(json).ok()?))
}

/// The first 8 bytes of the SHA-256, in hexadecimal digits.
fn checksum(text: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let sum = digest[..8]
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{sum:016x}")
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::actions::id::EnvelopeId;

    fn line() -> String {
        let id = EnvelopeId::parse("act_0001").unwrap();
        write(
            &Record::Step {
                id: Cow::Owned(id),
                step: Cow::Borrowed("{\"pod\":\"é\\n\"}"),
            },
            17,
        )
    }

    #[test]
    fn what_was_written_is_read() {
        let line = line();
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let (synced, record) = read(line.as_bytes()).unwrap();
        assert_eq!(synced, 17);
        assert!(matches!(record, Record::Step { step, .. } if step == "{\"pod\":\"é\\n\"}"));
    }

    #[test]
    fn every_damage_is_seen() {
        let line = line().into_bytes();
        for n in 0..line.len() {
            assert!(read(&line[..n]).is_none(), "cut at {n}");
            for bit in 0..8 {
                let mut damaged = line.clone();
                damaged[n] ^= 1 << bit;
                assert!(read(&damaged).is_none(), "bit {bit} of byte {n}");
            }
            let mut zeroed = line.clone();
            zeroed[n..].fill(0);
            assert!(read(&zeroed).is_none(), "zeros from {n}");
        }
    }

    #[test]
    fn a_record_of_a_later_version_is_no_record() {
        let rest = r#"0 {"unheard_of":{}}"#;
        assert!(read(format!("{} {rest}\n", checksum(rest)).as_bytes()).is_none());
    }
}
