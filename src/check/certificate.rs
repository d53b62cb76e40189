//! What a person wants to know of a certificate: whose it is, who says so, until when (RFC 5280, section 4.1). rustls
//! proves it and tells none of that.

use time::{Date, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// The facts of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The common name of its subject, empty where it has none.
    pub(super) subject: String,
    /// The common name of its issuer, empty where it has none.
    pub(super) issuer: String,
    /// `notAfter`.
    pub(super) until: OffsetDateTime,
}

/// Tags of DER (ITU-T X.690).
const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version of a certificate, which may be missing.
const VERSION: u8 = 0xa0;
/// The object id 2.5.4.3, `commonName`.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

impl Certificate {
    /// Reads one in DER; `None` where it is not of that form.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let mut whole = Der(der);
        let mut outer = Der(whole.take(SEQUENCE)?);
        let mut body = Der(outer.take(SEQUENCE)?);
        let (tag, _) = body.next()?;
        if tag == VERSION {
            body.next()?; // the serial number
        }
        body.take(SEQUENCE)?; // the algorithm of the signature
        let issuer = common_name(body.take(SEQUENCE)?);
        let mut validity = Der(body.take(SEQUENCE)?);
        validity.next()?;
        let (tag, until) = validity.next()?;
        Some(Self {
            issuer,
            until: instant(tag, until)?,
            subject: common_name(body.take(SEQUENCE)?),
        })
    }
}

/// A run of DER elements.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // The length in so many bytes; no certificate needs more than three.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0, |sum, it| sum << 8 | usize::from(*it));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let (tag, content) = self.next()?;
        (tag == wanted).then_some(content)
    }
}

/// The first common name of a Name: a sequence of sets of pairs.
fn common_name(name: &[u8]) -> String {
    let mut sets = Der(name);
    while let Some((_, set)) = sets.next() {
        let mut pairs = Der(set);
        while let Some((_, pair)) = pairs.next() {
            let mut pair = Der(pair);
            if pair.take(OBJECT_ID) == Some(&COMMON_NAME)
                && let Some((_, text)) = pair.next()
            {
                let text = String::from_utf8_lossy(text);
                return text.chars().filter(|it| !it.is_control()).collect();
            }
        }
    }
    String::new()
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn instant(tag: u8, text: &[u8]) -> Option<OffsetDateTime> {
    let text = str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: i32 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 } else { 1900 } + year, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |n: usize| rest.get(2 * n..2 * n + 2)?.parse::<u8>().ok();
    let month = time::Month::try_from(part(0)?).ok()?;
    let date = Date::from_calendar_date(year, month, part(1)?).ok()?;
    let time = Time::from_hms(part(2)?, part(3)?, part(4)?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_offset(UtcOffset::UTC))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandbox::tls::Authority;
    use time::macros::datetime;
    use ureq::tls::{PemItem, parse_pem};

    #[test]
    fn a_certificate_is_read() {
        let pem = Authority::new().pem();
        let item = parse_pem(pem.as_bytes()).next().unwrap().unwrap();
        let PemItem::Certificate(certificate) = item else {
            panic!("no certificate");
        };
        let read = Certificate::read(certificate.der()).unwrap();
        assert_eq!(read.subject, "sandbox CA");
        assert_eq!(read.issuer, "sandbox CA");
        assert!(read.until > OffsetDateTime::now_utc());
        // Cut off or spoilt anywhere it is no certificate, and nothing breaks.
        for end in 0..certificate.der().len() {
            assert_eq!(Certificate::read(&certificate.der()[..end]), None, "{end}");
        }
        for at in 0..certificate.der().len() {
            let mut spoilt = certificate.der().to_vec();
            spoilt[at] ^= 0xff;
            let _ = Certificate::read(&spoilt);
        }
    }

    #[test]
    fn both_forms_of_time() {
        let expected = Some(datetime!(2026-01-02 03:04:05 UTC));
        assert_eq!(instant(UTC_TIME, b"260102030405Z"), expected);
        assert_eq!(instant(GENERALIZED_TIME, b"20260102030405Z"), expected);
        assert_eq!(
            instant(UTC_TIME, b"990102030405Z").map(OffsetDateTime::year),
            Some(1999)
        );
        for bad in [
            "",
            "26",
            "261302030405Z",
            "260102030405",
            "2601020304\u{e9}Z",
        ] {
            assert_eq!(instant(UTC_TIME, bad.as_bytes()), None, "{bad}");
        }
    }
}
