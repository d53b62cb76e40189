//! A secret that may live in a file, read again when the file changes: keys are rotated without a restart.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::secret::Secret;

/// The file is looked at no more often: it is asked for with every request.
const LOOK: Duration = Duration::from_secs(1);

/// A secret and where it comes from.
#[derive(Debug)]
pub struct Key {
    source: Option<PathBuf>,
    check: fn(&Secret) -> Result<(), String>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    secret: Secret,
    /// Counts the changes.
    version: u64,
    looked: Instant,
}

impl Key {
    /// The secret as read at the start; `source` is its file, `check` what a later content must pass too.
    pub fn new(
        secret: Secret,
        source: Option<PathBuf>,
        check: fn(&Secret) -> Result<(), String>,
    ) -> Self {
        let current = Current {
            secret,
            version: 0,
            looked: Instant::now(),
        };
        Self {
            source,
            check,
            current: Mutex::new(current),
        }
    }

    /// The secret of the moment, and how often it has changed.
    ///
    /// A file that cannot be read or holds nothing usable leaves the last good secret in place: a mount is being
    /// written at times.
    pub fn current(&self) -> (Secret, u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.source
            && current.looked.elapsed() >= LOOK
        {
            current.looked = Instant::now();
            if let Ok(text) = std::fs::read_to_string(path) {
                let secret = Secret::new(text);
                if secret != current.secret && (self.check)(&secret).is_ok() {
                    current.secret = secret;
                    current.version += 1;
                }
            }
        }
        (current.secret.clone(), current.version)
    }

    /// How often it has changed.
    pub fn version(&self) -> u64 {
        self.current().1
    }
}

/// What an API key must be: something that may stand in a header.
pub fn api_key(secret: &Secret) -> Result<(), String> {
    let text = secret.expose();
    if !text.is_empty() && text.bytes().all(|it| it.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("printable ASCII characters without spaces".to_owned())
    }
}

/// A signing key of fewer bytes is warned about (protocol, section 1).
pub const ADVISED_BYTES: usize = 24;

/// How many bytes a signing key has, decoded where it begins with `whsec_`.
pub fn signing_bytes(secret: &Secret) -> Result<usize, String> {
    use base64::Engine;
    let text = secret.expose();
    Ok(match text.strip_prefix("whsec_") {
        Some(encoded) => base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .map_err(|_| "standard base64 after whsec_".to_owned())?
            .len(),
        None => text.len(),
    })
}

/// What a signing key must be: at least 16 bytes (protocol, section 1).
pub fn secret_key(secret: &Secret) -> Result<(), String> {
    let length = signing_bytes(secret)?;
    if length < 16 {
        Err(format!("at least 16 bytes, got {length}"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_seen_and_a_bad_one_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "first\n").unwrap();
        let key = Key::new(Secret::new("first"), Some(path.clone()), api_key);
        let look_again =
            || key.current.lock().unwrap().looked = Instant::now().checked_sub(LOOK).unwrap();
        std::fs::write(&path, "second\n").unwrap();
        look_again();
        assert_eq!(key.current(), (Secret::new("second"), 1));
        std::fs::write(&path, "").unwrap();
        look_again();
        assert_eq!(key.current(), (Secret::new("second"), 1));
        std::fs::remove_file(&path).unwrap();
        look_again();
        assert_eq!(key.current(), (Secret::new("second"), 1));
    }

    #[test]
    fn signing_keys_are_measured_decoded() {
        assert!(secret_key(&Secret::new("0123456789abcdef")).is_ok());
        assert_eq!(
            secret_key(&Secret::new("0123456789abcde")).unwrap_err(),
            "at least 16 bytes, got 15"
        );
        assert!(secret_key(&Secret::new("whsec_AAECAwQFBgcICQoLDA0ODw==")).is_ok());
        assert!(
            secret_key(&Secret::new("whsec_AAECAwQFBgcICQoLDA0O"))
                .unwrap_err()
                .contains("got 15")
        );
        assert!(
            secret_key(&Secret::new("whsec_%%%"))
                .unwrap_err()
                .contains("base64")
        );
    }

    #[test]
    fn an_api_key_may_stand_in_a_header() {
        assert!(api_key(&Secret::new("abc-123._~+/=")).is_ok());
        assert!(api_key(&Secret::new("a b")).is_err());
        assert!(api_key(&Secret::new("a\nb")).is_err());
    }
}
