//! When to try again: the client's rules for each endpoint (protocol, section 2), without clock or socket.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::thread::backoff::Backoff;

/// Why a call to the backend did not succeed, by what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// 408, 425, 429, 5xx and everything below HTTP: the same call may succeed later.
    Transient {
        /// In words.
        why: String,
        /// What the backend asked for.
        retry_after: Option<Duration>,
    },
    /// 401 or 403: the API key is not accepted.
    Unauthorized {
        /// The HTTP status.
        code: u16,
        /// How often the key had changed when it was refused.
        key_version: u64,
    },
    /// 413: less at once.
    TooLarge,
    /// Any other 4xx, and 3xx, which is never followed: repeating it will not help.
    Refused {
        /// The HTTP status.
        code: u16,
        /// In words.
        why: String,
    },
    /// 2xx, but not the answer that was promised.
    Garbled(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient { why, .. } => f.write_str(why),
            Self::Unauthorized { code, .. } => write!(f, "{code}: the API key was not accepted"),
            Self::TooLarge => f.write_str("413: too large"),
            Self::Refused { code, why } => write!(f, "{code}: {why}"),
            Self::Garbled(why) => write!(f, "the answer is not what the contract promises: {why}"),
        }
    }
}

impl Failure {
    /// Sorts an HTTP status that is no success.
    pub fn from_status(
        code: u16,
        why: String,
        retry_after: Option<Duration>,
        key_version: u64,
    ) -> Self {
        match code {
            408 | 425 | 429 | 500.. => Self::Transient {
                why: format!("{code}: {why}"),
                retry_after,
            },
            401 | 403 => Self::Unauthorized { code, key_version },
            413 => Self::TooLarge,
            _ => Self::Refused { code, why },
        }
    }
}

const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_mins(1);
const FLOOR: Duration = Duration::from_millis(100);
const UNAUTHORIZED_FIRST: Duration = Duration::from_mins(1);
const UNAUTHORIZED_MOST: Duration = Duration::from_mins(10);
/// No wish of the backend is kept longer.
const RETRY_AFTER_MOST: Duration = Duration::from_hours(1);

/// The state of one endpoint.
#[derive(Debug)]
pub struct Retry {
    backoff: Backoff,
    unauthorized: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(FIRST, MOST).with_floor(FLOOR),
            unauthorized: 0,
        }
    }
}

impl Retry {
    /// The pause after `failure`.
    pub fn after(&mut self, failure: &Failure) -> Duration {
        if let Failure::Unauthorized { .. } = failure {
            let pause = UNAUTHORIZED_FIRST
                .saturating_mul(1 << self.unauthorized.min(8))
                .min(UNAUTHORIZED_MOST);
            self.unauthorized += 1;
            return pause;
        }
        let drawn = self.backoff.next_pause();
        match failure {
            // No time at all, as of a date that has passed, is no wish: kept, it would be a loop without a pause.
            Failure::Transient {
                retry_after: Some(asked),
                ..
            } if !asked.is_zero() => (*asked).max(FLOOR),
            _ => drawn,
        }
    }

    /// The endpoint works.
    pub fn succeeded(&mut self) {
        self.backoff.reset();
        self.unauthorized = 0;
    }

    /// True if the last call did not succeed.
    pub fn is_failing(&self) -> bool {
        self.backoff.failures() > 0 || self.unauthorized > 0
    }
}

/// A `Retry-After` header in either form (RFC 9110, section 10.2.3): seconds, or a date, which is compared with
/// `now`. Clamped to an hour; what is neither gives `None`.
pub fn retry_after(header: &str, now: OffsetDateTime) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|it| it.is_ascii_digit()) {
        let seconds = header.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MOST));
    }
    let date = http_date(header)?;
    Some(
        Duration::try_from(date - now)
            .unwrap_or_default()
            .min(RETRY_AFTER_MOST),
    )
}

/// A date of HTTP in its only form that may still be sent (RFC 9110, section 5.6.7).
pub fn http_date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00:00 UTC);

    #[test]
    fn both_forms_of_retry_after() {
        for (header, seconds) in [
            ("30", Some(30)),
            ("0", Some(0)),
            ("99999999", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("Thu, 01 Jan 2026 00:00:30 GMT", Some(30)),
            ("Wed, 31 Dec 2025 23:59:00 GMT", Some(0)),
            ("Fri, 02 Jan 2026 00:00:00 GMT", Some(3600)),
            ("-5", None),
            ("soon", None),
            ("", None),
            ("1.5", None),
        ] {
            assert_eq!(
                retry_after(header, NOW).map(|it| it.as_secs()),
                seconds,
                "{header:?}"
            );
        }
    }

    #[test]
    fn statuses_are_sorted_by_what_follows() {
        let sort = |code| Failure::from_status(code, String::new(), None, 0);
        for code in [408, 425, 429, 500, 502, 503, 599] {
            assert!(matches!(sort(code), Failure::Transient { .. }), "{code}");
        }
        for code in [401, 403] {
            assert!(matches!(sort(code), Failure::Unauthorized { .. }), "{code}");
        }
        assert_eq!(sort(413), Failure::TooLarge);
        for code in [301, 307, 400, 404, 409, 410, 422] {
            assert!(matches!(sort(code), Failure::Refused { .. }), "{code}");
        }
    }

    #[test]
    fn what_the_backend_asks_for_wins_over_the_back_off() {
        let mut retry = Retry::default();
        let asked = Duration::from_secs(30);
        let failure = Failure::Transient {
            why: String::new(),
            retry_after: Some(asked),
        };
        assert_eq!(retry.after(&failure), asked);
        let soon = Failure::Transient {
            why: String::new(),
            retry_after: Some(Duration::from_millis(1)),
        };
        assert_eq!(retry.after(&soon), FLOOR);
        let failure = Failure::Transient {
            why: String::new(),
            retry_after: None,
        };
        for _ in 0..50 {
            let pause = retry.after(&failure);
            assert!((FLOOR..=MOST).contains(&pause), "{pause:?}");
        }
        assert!(retry.is_failing());
        retry.succeeded();
        assert!(!retry.is_failing());
        assert!(retry.after(&failure) <= FIRST);
    }

    #[test]
    fn a_wish_for_no_pause_backs_off_like_none() {
        let mut retry = Retry::default();
        let failure = Failure::Transient {
            why: String::new(),
            retry_after: Some(Duration::ZERO),
        };
        let longest = (0..200).map(|_| retry.after(&failure)).max();
        assert!(longest > Some(FIRST), "{longest:?}");
    }

    #[test]
    fn a_refused_key_waits_one_to_ten_minutes() {
        let mut retry = Retry::default();
        let failure = Failure::Unauthorized {
            code: 401,
            key_version: 0,
        };
        let minutes: Vec<_> = (0..6)
            .map(|_| retry.after(&failure).as_secs() / 60)
            .collect();
        assert_eq!(minutes, [1, 2, 4, 8, 10, 10]);
    }
}
