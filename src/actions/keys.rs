//! The keys that the backend signs with.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// A key with fewer bytes is refused (protocol, section 1).
pub const MIN_KEY_BYTES: usize = 16;
/// A key with fewer bytes is warned about (protocol, section 1).
pub const GOOD_KEY_BYTES: usize = 24;

/// What stands before a key that is written in base64, as Standard Webhooks does.
const BASE64_MARK: &str = "whsec_";

/// One usable key of HMAC-SHA256. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Key {
    mac: Hmac<Sha256>,
    is_short: bool,
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// It begins with `whsec_`, and the rest is not standard base64.
    NotBase64,
    /// It has fewer than [`MIN_KEY_BYTES`].
    TooShort {
        /// How many it has.
        bytes: usize,
    },
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBase64 => write!(f, "standard base64 expected behind {BASE64_MARK}"),
            Self::TooShort { bytes } => {
                write!(f, "at least {MIN_KEY_BYTES} bytes expected, it has {bytes}")
            }
        }
    }
}

impl std::error::Error for KeyFault {}

impl Key {
    /// Reads a key as `SECRET_KEY` holds it: `whsec_` and base64, or else the text's own bytes.
    pub fn parse(secret: &Secret) -> Result<Self, KeyFault> {
        let text = secret.expose();
        match text.strip_prefix(BASE64_MARK) {
            Some(encoded) => Self::of(&STANDARD.decode(encoded).map_err(|_| KeyFault::NotBase64)?),
            None => Self::of(text.as_bytes()),
        }
    }

    fn of(bytes: &[u8]) -> Result<Self, KeyFault> {
        let too_short = KeyFault::TooShort { bytes: bytes.len() };
        if bytes.len() < MIN_KEY_BYTES {
            return Err(too_short);
        }
        // HMAC takes keys of any length, so that this cannot fail.
        let mac = Hmac::new_from_slice(bytes).map_err(|_| too_short)?;
        Ok(Self {
            mac,
            is_short: bytes.len() < GOOD_KEY_BYTES,
        })
    }

    /// True if the key is worth a warning: it has fewer than [`GOOD_KEY_BYTES`].
    pub fn is_short(&self) -> bool {
        self.is_short
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// The keys in force: `SECRET_KEY`, and during a rotation the one before it.
#[derive(Clone, Debug)]
pub struct Keys {
    /// `SECRET_KEY`.
    pub current: Key,
    /// `SECRET_KEY_PREVIOUS`.
    pub previous: Option<Key>,
}

impl Keys {
    /// True if one of `signatures` is the HMAC of `message` under one of the keys.
    ///
    /// Every key is tried with every signature, each in constant time, so that the time taken tells nobody
    /// which one came near.
    pub(super) fn have_signed(&self, message: &[&[u8]], signatures: &[[u8; 32]]) -> bool {
        let mut is_signed = false;
        for key in [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
        {
            let mac = message.iter().fold(key.mac.clone(), Mac::chain_update);
            for signature in signatures {
                is_signed |= mac.clone().verify_slice(signature).is_ok();
            }
        }
        is_signed
    }

    /// Signs with the current key, as the backend would: for tests.
    #[cfg(test)]
    pub(crate) fn sign(&self, message: &[&[u8]]) -> String {
        let mac = message
            .iter()
            .fold(self.current.mac.clone(), Mac::chain_update);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Key, KeyFault> {
        Key::parse(&Secret::new(text))
    }

    #[test]
    fn lengths() {
        let cases = [
            ("", Err(KeyFault::TooShort { bytes: 0 })),
            ("fifteen bytes..", Err(KeyFault::TooShort { bytes: 15 })),
            ("sixteen bytes...", Ok(true)),
            ("twenty-three bytes.....", Ok(true)),
            ("twenty-four bytes.......", Ok(false)),
            // The line end of a key file is no part of the key.
            ("fifteen bytes..\r\n", Err(KeyFault::TooShort { bytes: 15 })),
            // 12 bytes, though the text is longer.
            (
                "whsec_AAECAwQFBgcICQoL",
                Err(KeyFault::TooShort { bytes: 12 }),
            ),
            ("whsec_AAECAwQFBgcICQoLDA0ODw==", Ok(true)),
            (
                "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                Ok(false),
            ),
            // Neither the alphabet for URLs nor a missing pad is standard base64.
            ("whsec_AAECAwQFBgcICQoLDA0O-_==", Err(KeyFault::NotBase64)),
            ("whsec_AAECAwQFBgcICQoLDA0ODw", Err(KeyFault::NotBase64)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).map(|key| key.is_short()), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_shows_a_key() {
        let keys = Keys {
            current: parse("a-key-of-some-length-1234").unwrap(),
            previous: None,
        };
        assert_eq!(
            format!("{keys:?}"),
            "Keys { current: <redacted>, previous: None }"
        );
    }

    #[test]
    fn each_key_and_each_signature_counts() {
        let old = parse("the-old-key-with-24-bytes").unwrap();
        let new = parse("the-new-key-with-24-bytes").unwrap();
        let sign = |key: &Key| -> [u8; 32] {
            key.mac
                .clone()
                .chain_update(b"message")
                .finalize()
                .into_bytes()
                .into()
        };
        let (by_old, by_new, by_nobody) = (sign(&old), sign(&new), [7; 32]);
        let both = Keys {
            current: new.clone(),
            previous: Some(old),
        };
        let only_new = Keys {
            current: new,
            previous: None,
        };
        let message: &[&[u8]] = &[b"mess", b"age"];

        assert!(both.have_signed(message, &[by_nobody, by_old]));
        assert!(both.have_signed(message, &[by_new, by_nobody]));
        assert!(only_new.have_signed(message, &[by_old, by_new]));
        assert!(!only_new.have_signed(message, &[by_old]));
        assert!(!both.have_signed(message, &[by_nobody]));
        assert!(!both.have_signed(message, &[]));
        assert!(!both.have_signed(&[b"messag"], &[by_new, by_old]));
    }
}
