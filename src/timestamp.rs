//! Times as the wire writes them: RFC 3339, UTC, milliseconds.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// `2024-01-15T10:25:00.123Z`
pub fn rfc3339_millis(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC)
        .format(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        ))
        .unwrap_or_default()
}

/// The present, as the wire writes it.
pub fn now() -> String {
    rfc3339_millis(OffsetDateTime::now_utc())
}

/// Seconds since 1970, UTC, as the envelopes count them.
pub fn unix_seconds() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// A time of the Kubernetes API (RFC 3339 with seconds or microseconds), as the wire writes it.
pub fn normalised(text: &str) -> Option<String> {
    // Nearly every one the API sends is of this one form; the general road costs ten times as much.
    if let [.., b'0'..=b'9', b'Z'] = text.as_bytes()
        && text.len() == "2024-01-15T10:25:00Z".len()
        && text.is_ascii()
    {
        return Some(format!("{}.000Z", &text[..text.len() - 1]));
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .map(rfc3339_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_the_api_sends() {
        assert_eq!(
            normalised("2024-01-15T10:25:00Z").as_deref(),
            Some("2024-01-15T10:25:00.000Z")
        );
        assert_eq!(
            normalised("2024-01-15T10:25:00.123456Z").as_deref(),
            Some("2024-01-15T10:25:00.123Z")
        );
        assert_eq!(
            normalised("2024-01-15T12:25:00+02:00").as_deref(),
            Some("2024-01-15T10:25:00.000Z")
        );
        assert_eq!(normalised("yesterday"), None);
        assert_eq!(normalised(""), None);
    }
}
