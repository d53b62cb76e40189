//! The backend's clock, which a test can set wrong, and the two forms in which it tells the time.

use std::sync::atomic::{AtomicI64, Ordering};

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

const MILLISECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const HTTP_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// The system's clock, shifted.
#[derive(Debug, Default)]
pub struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    /// A clock that runs this much ahead of the system's (behind, if negative).
    pub fn shifted(offset_ms: i64) -> Clock {
        Clock {
            offset_ms: AtomicI64::new(offset_ms),
        }
    }

    /// Shifts it anew, against the system's clock.
    pub fn shift(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// How far it is ahead of the system's clock.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// What it shows.
    pub fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + Duration::milliseconds(self.offset_ms())
    }

    /// What it shows, in unix seconds.
    pub fn unix(&self) -> i64 {
        self.now().unix_timestamp()
    }

    /// What it shows, as the protocol writes times.
    pub fn rfc3339(&self) -> String {
        rfc3339(self.now())
    }

    /// What it shows, as the `Date` header writes it.
    pub fn http_date(&self) -> String {
        self.now().format(HTTP_DATE).unwrap_or_default()
    }
}

/// RFC 3339, UTC, milliseconds (protocol, conventions).
pub fn rfc3339(time: OffsetDateTime) -> String {
    time.to_offset(time::UtcOffset::UTC)
        .format(MILLISECONDS)
        .unwrap_or_default()
}

/// Reads exactly that form; nothing where it is another one.
pub fn parse_rfc3339(text: &str) -> Option<OffsetDateTime> {
    // The parser also takes a year with a sign.
    let plain = text.starts_with(|first: char| first.is_ascii_digit());
    let parsed = PrimitiveDateTime::parse(text, MILLISECONDS)
        .ok()
        .filter(|_| plain);
    parsed.map(PrimitiveDateTime::assume_utc)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn writes_and_reads_milliseconds_only() {
        let time = datetime!(2026-01-01 00:00:00.120 UTC);
        assert_eq!(rfc3339(time), "2026-01-01T00:00:00.120Z");
        assert_eq!(parse_rfc3339("2026-01-01T00:00:00.120Z"), Some(time));
        for other in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.12Z",
            "2026-01-01T00:00:00.120000Z",
            "2026-01-01T00:00:00.120+00:00",
            "2026-01-01 00:00:00.120Z",
            "2026-13-01T00:00:00.120Z",
            "+2026-01-01T00:00:00.120Z",
            "",
        ] {
            assert_eq!(parse_rfc3339(other), None, "{other}");
        }
    }

    #[test]
    fn runs_ahead_by_its_offset() {
        let clock = Clock::shifted(3_600_000);
        let ahead = clock.now() - OffsetDateTime::now_utc();
        assert!((ahead - Duration::HOUR).abs() < Duration::SECOND, "{ahead}");
        clock.shift(0);
        assert!(clock.http_date().ends_with(" GMT"), "{}", clock.http_date());
    }
}
