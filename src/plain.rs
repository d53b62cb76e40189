//! Whether text may stand between quotes as it is. Every name that is read or sent is asked about, so eight bytes are
//! looked at in one go.

/// Each byte of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte.
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// True if no byte needs an escape in JSON (RFC 8259, section 7): no control character, quote or backslash.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    words
        .iter()
        .all(|it| word_is_plain(u64::from_le_bytes(*it)))
        && rest
            .iter()
            .all(|it| *it >= b' ' && !matches!(it, b'"' | b'\\'))
}

/// A byte below `n` borrows from the bit above it when `n` is subtracted (and from no other byte's, up to the first one
/// found); those from 0x80 on are none.
fn word_is_plain(word: u64) -> bool {
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & HIGHS == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..=u8::MAX {
            let plain = byte >= b' ' && byte != b'"' && byte != b'\\';
            for length in 1..20 {
                for at in 0..length {
                    for other in [b'a', b' ', b'!', 0x7f, 0x80, 0xff] {
                        let mut text = vec![other; length];
                        text[at] = byte;
                        assert_eq!(is_plain(&text), plain, "{byte:#x} at {at} of {length}");
                    }
                }
            }
        }
        assert!(is_plain(b""));
    }
}
