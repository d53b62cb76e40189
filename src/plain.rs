//! Whether text may stand between quotes as it is. Every name that is read or sent is asked about, so eight bytes are
//! looked at in one go.

/// Each byte of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte.
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// True if no byte needs an escape in JSON (RFC 8259, section 7): no control character, quote or backslash.
#[inline]
pub(crate) fn is_plain(text: &[u8]) -> bool {
    plain_length(text) == text.len()
}

/// Copies `text` into `room`, which is as long; false where a byte of it needs an escape in JSON.
///
/// One pass: a name has a few words, and a look at it first costs as much as the copy.
#[inline]
pub(crate) fn copy_plain(text: &[u8], room: &mut [u8]) -> bool {
    let mut found = 0;
    for (word, into) in text.as_chunks().0.iter().zip(room.as_chunks_mut().0) {
        *into = *word;
        found |= special(u64::from_le_bytes(*word));
    }
    if let (Some(word), Some(into)) = (text.last_chunk(), room.last_chunk_mut()) {
        // What the words left over, and a part of the last of them again.
        *into = *word;
        found |= special(u64::from_le_bytes(*word));
        return found == 0;
    }
    room.copy_from_slice(text);
    is_plain(text)
}

/// How many bytes come before the first that needs an escape, a quote that ends a string among them.
#[inline]
pub(crate) fn plain_length(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return at * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let special = |it: &u8| *it < b' ' || matches!(it, b'"' | b'\\');
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

/// The highest bits of bytes that need an escape; those above the first one found may be wrong.
///
/// A byte below `n` borrows from the bit above it when `n` is subtracted (and from no other byte's, up to the first one
/// found); those from 0x80 on are none.
#[inline]
fn special(word: u64) -> u64 {
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & HIGHS
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
                        let mut copy = vec![0; length];
                        assert_eq!(copy_plain(&text, &mut copy), plain, "{byte:#x} at {at}");
                        assert_eq!(copy, text);
                        let length = if plain { length } else { at };
                        assert_eq!(plain_length(&text), length, "{byte:#x} at {at}");
                    }
                }
            }
        }
        assert!(is_plain(b""));
        for text in [&b"0123\"\"\x01\\0123\""[..], b"0123456789\"\\\x01"] {
            let first = text.iter().position(|it| *it == b'"');
            assert_eq!(Some(plain_length(text)), first);
        }
    }
}
