//! An object's UID in 16 bytes.

use std::fmt;

/// A UID. The API server makes UUIDs, so they are kept as such; it promises only an opaque text, so any other is
/// kept too.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Uid {
    /// A UUID in its canonical, lower-case form.
    Uuid([u8; 16]),
    /// Anything else.
    Other(Box<str>),
}

impl Uid {
    /// Keeps `text`, which [`fmt::Display`] gives back to the letter.
    pub fn new(text: &str) -> Self {
        Self::uuid(text).unwrap_or_else(|| Self::Other(text.into()))
    }

    fn uuid(text: &str) -> Option<Self> {
        let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 16];
        let mut nibbles = 0;
        for (at, &byte) in text.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return None;
                }
                continue;
            }
            let nibble = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            bytes[nibbles / 2] |= nibble << if nibbles % 2 == 0 { 4 } else { 0 };
            nibbles += 1;
        }
        Some(Self::Uuid(bytes))
    }
}

impl Uid {
    /// Hands the text to `read`.
    pub fn with_text<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match self {
            Self::Other(text) => read(text),
            Self::Uuid(bytes) => {
                let mut text = [b'-'; 36];
                let mut at = 0;
                for byte in bytes {
                    if matches!(at, 8 | 13 | 18 | 23) {
                        at += 1;
                    }
                    text[at] = HEX[usize::from(byte >> 4)];
                    text[at + 1] = HEX[usize::from(byte & 15)];
                    at += 2;
                }
                read(str::from_utf8(&text).unwrap_or_default())
            }
        }
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|it| f.write_str(it))
    }
}

impl serde::Serialize for Uid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Uid;

    #[test]
    fn every_text_comes_back_to_the_letter() {
        for text in [
            "5f0c1d4e-0000-4000-8000-0123456789ab",
            "5F0C1D4E-0000-4000-8000-0123456789AB",
            "5f0c1d4e00004000800000123456789abcde",
            "a1b2c3d4e5f60718293a4b5c6d7e8f90",
            "",
        ] {
            assert_eq!(Uid::new(text).to_string(), text);
        }
        assert!(matches!(
            Uid::new("5f0c1d4e-0000-4000-8000-0123456789ab"),
            Uid::Uuid(_)
        ));
    }
}
