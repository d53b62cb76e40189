//! Text that must never reach a log, an error, a `Debug` or a metric.

use std::fmt;

/// A secret from the outside world: an API key, a signing key, a token.
///
/// There is no `Display`, and `Debug` prints a placeholder. Every use goes through [`Secret::expose`], so that
/// a search for that word finds every place where a secret leaves its wrapping.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`, without a trailing line end: files written by an editor or by `echo` have one.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        Self(text)
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True if nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_nothing_of_it() {
        assert_eq!(
            format!("{:?}", Secret::new("hunter2-hunter2")),
            "<redacted>"
        );
    }

    #[test]
    fn a_trailing_line_end_is_not_part_of_it() {
        assert_eq!(Secret::new("key\r\n").expose(), "key");
    }
}
