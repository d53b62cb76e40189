//! Times as the wire writes them: RFC 3339, UTC, milliseconds.

use std::fmt;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A time as the wire writes it, `2024-01-15T10:25:00.123Z`, without memory of its own: a collection has one of each
/// pod.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp([u8; SHAPE.len()]);

const SHAPE: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
/// Where the fraction begins.
const SECONDS: usize = SHAPE.len() - ".000Z".len();

impl Stamp {
    /// `None` for a year that has not four digits.
    pub fn of(at: OffsetDateTime) -> Option<Self> {
        let at = at.to_offset(UtcOffset::UTC);
        let year = u16::try_from(at.year()).ok().filter(|it| *it < 10_000)?;
        let mut text = *SHAPE;
        let mut write = |from: usize, digits: usize, mut number: u16| {
            for place in text[from..from + digits].iter_mut().rev() {
                *place += u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        };
        write(0, 4, year);
        write(5, 2, u8::from(at.month()).into());
        write(8, 2, at.day().into());
        write(11, 2, at.hour().into());
        write(14, 2, at.minute().into());
        write(17, 2, at.second().into());
        write(SECONDS + 1, 3, at.millisecond());
        Some(Self(text))
    }

    /// A time as seconds since 1970.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        OffsetDateTime::from_unix_timestamp(seconds)
            .ok()
            .and_then(Self::of)
    }

    /// A time of the Kubernetes API, RFC 3339 with seconds or microseconds.
    pub fn parse(text: &str) -> Option<Self> {
        // Nearly every one the API sends is of this one form; the general road costs ten times as much.
        if let [.., b'0'..=b'9', b'Z'] = text.as_bytes()
            && text.len() == SECONDS + 1
            && text.is_ascii()
        {
            let mut stamp = *SHAPE;
            stamp[..SECONDS].copy_from_slice(&text.as_bytes()[..SECONDS]);
            return Some(Self(stamp));
        }
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(Self::of)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `2024-01-15T10:25:00.123Z`
pub fn rfc3339_millis(at: OffsetDateTime) -> String {
    Stamp::of(at)
        .map(|it| it.as_str().to_owned())
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

/// A time of the Kubernetes API in seconds since 1970.
pub fn unix_of(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(at.unix_timestamp())
}

/// A time of the Kubernetes API, as the wire writes it.
pub fn normalised(text: &str) -> Option<String> {
    Stamp::parse(text).map(|it| it.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_forms_the_api_sends() {
        for (text, written) in [
            ("2024-01-15T10:25:00Z", Some("2024-01-15T10:25:00.000Z")),
            (
                "2024-01-15T10:25:00.123456Z",
                Some("2024-01-15T10:25:00.123Z"),
            ),
            (
                "2024-01-15T12:25:00+02:00",
                Some("2024-01-15T10:25:00.000Z"),
            ),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(normalised(text).as_deref(), written, "{text}");
        }
    }

    #[test]
    fn every_part_has_its_place() {
        for (at, written) in [
            (
                datetime!(2024-12-31 23:59:58.987654 UTC),
                "2024-12-31T23:59:58.987Z",
            ),
            (
                datetime!(0987-06-05 04:03:02.001 UTC),
                "0987-06-05T04:03:02.001Z",
            ),
            (datetime!(2024-01-01 00:30 +1), "2023-12-31T23:30:00.000Z"),
        ] {
            assert_eq!(rfc3339_millis(at), written);
        }
        assert_eq!(Stamp::of(datetime!(-1-01-01 00:00 UTC)), None);
    }
}
