//! What names an envelope, and what its payload hashes to.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The id of an envelope: `^[A-Za-z0-9_-]{1,64}$` (protocol, section 1). Safe in a URL, a log and a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct EnvelopeId(Box<str>);

impl EnvelopeId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// `None` if the text is no id.
    pub fn parse(text: &str) -> Option<Self> {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        ((1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(is_safe))
            .then(|| Self(text.into()))
    }

    /// The id as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EnvelopeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not an envelope id"))
    }
}

/// The SHA-256 of a payload's UTF-8 bytes; 64 lower-case hexadecimal digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PayloadHash([u8; 32]);

impl PayloadHash {
    /// Hashes a payload.
    pub fn of(payload: &str) -> Self {
        Self(Sha256::digest(payload.as_bytes()).into())
    }

    /// `None` if the text is not 64 lower-case hexadecimal digits.
    fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let pairs: &[[u8; 2]; 32] = pairs.try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PayloadHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PayloadHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom("not a SHA-256 in lower-case hexadecimal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        let longest = "a".repeat(64);
        for good in ["a", "act_0001", "A-Z_09", "-", longest.as_str()] {
            assert_eq!(
                EnvelopeId::parse(good).as_ref().map(EnvelopeId::as_str),
                Some(good)
            );
        }
        let too_long = "a".repeat(65);
        for bad in [
            "",
            "a b",
            "a.b",
            "a/b",
            "é",
            "a\n",
            "../x",
            too_long.as_str(),
        ] {
            assert_eq!(EnvelopeId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_id_read_from_json_is_checked_too() {
        assert!(serde_json::from_str::<EnvelopeId>("\"a\"").is_ok());
        assert!(serde_json::from_str::<EnvelopeId>("\"a b\"").is_err());
    }

    #[test]
    fn a_hash_survives_json() {
        // The SHA-256 of nothing, as FIPS 180-4 implementations agree on it.
        let text = "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"";
        let hash = PayloadHash::of("");
        assert_eq!(serde_json::to_string(&hash).unwrap(), text);
        assert_eq!(serde_json::from_str::<PayloadHash>(text).unwrap(), hash);
    }

    #[test]
    fn a_hash_has_one_form() {
        let hash = PayloadHash::of("").to_string();
        let bad = [
            &hash[1..],
            &hash[2..],
            &format!("{hash}00"),
            &hash.to_uppercase(),
            "",
        ];
        for text in bad {
            assert_eq!(PayloadHash::parse(text), None, "{text}");
        }
    }
}
