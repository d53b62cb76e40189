//! An envelope as it stands on the wire: well-formed, and not yet believed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::id::{EnvelopeId, PayloadHash};
use super::refusal::{NotProven, Refusal};

/// The longest payload, in bytes of UTF-8 (protocol, section 1).
pub const MAX_PAYLOAD_BYTES: usize = 65_536;
/// The most signatures that one envelope may carry (protocol, section 1).
pub const MAX_SIGNATURES: usize = 8;
/// The longest `signature`, in bytes: eight of the longest kind in use today, and what the journal can hold.
pub const MAX_SIGNATURE_BYTES: usize = 16_384;

/// An envelope whose four members have the right form (protocol, section 1). Nothing about it is proven.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire")]
pub struct RawEnvelope {
    id: EnvelopeId,
    timestamp: i64,
    payload: String,
    signature: String,
}

/// The members as JSON has them; others are ignored.
#[derive(Deserialize)]
struct Wire {
    id: EnvelopeId,
    timestamp: i64,
    payload: String,
    signature: String,
}

impl TryFrom<Wire> for RawEnvelope {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        if wire.timestamp < 0 {
            return Err("timestamp is before 1970");
        }
        if wire.payload.len() > MAX_PAYLOAD_BYTES {
            return Err("payload is over 65536 bytes");
        }
        if wire.signature.len() > MAX_SIGNATURE_BYTES {
            return Err("signature is over 16384 bytes");
        }
        if wire.signature.split(' ').nth(MAX_SIGNATURES).is_some() {
            return Err("more than 8 signatures");
        }
        let Wire {
            id,
            timestamp,
            payload,
            signature,
        } = wire;
        Ok(Self {
            id,
            timestamp,
            payload,
            signature,
        })
    }
}

impl RawEnvelope {
    /// Reads one envelope. Anything that is none is refused as malformed, under its id where that can be read.
    pub fn parse(json: &str) -> Result<Self, Refusal> {
        let malformed = |detail| {
            let id = id_alone(json);
            Refusal {
                id,
                reason: NotProven::Malformed,
                detail,
            }
        };
        let wire: Wire = serde_json::from_str(json)
            .map_err(|_| malformed("not an object of id, timestamp, payload and signature"))?;
        wire.try_into().map_err(malformed)
    }

    /// The id: said by the sender, as everything here.
    pub fn id(&self) -> &EnvelopeId {
        &self.id
    }

    /// When it was signed, in unix seconds; never negative.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// The SHA-256 of the payload.
    pub fn payload_hash(&self) -> PayloadHash {
        PayloadHash::of(&self.payload)
    }

    /// The payload; only [`verify`](super::verify::verify) reads it.
    pub(super) fn payload(&self) -> &str {
        &self.payload
    }

    /// The signatures of version 1; other versions and what is no base64 of 32 bytes are skipped.
    pub(super) fn signatures(&self) -> Vec<[u8; 32]> {
        let decode = |one: &str| {
            let encoded = one.strip_prefix("v1,")?;
            let mut bytes = [0; 32];
            let n = STANDARD.decode_slice(encoded, &mut bytes).ok()?;
            (n == bytes.len()).then_some(bytes)
        };
        self.signature.split(' ').filter_map(decode).collect()
    }

    /// Signs a payload as the backend would: for tests.
    #[cfg(test)]
    pub(crate) fn signed(
        keys: &super::keys::Keys,
        id: &str,
        timestamp: i64,
        payload: &str,
    ) -> Self {
        let id = EnvelopeId::parse(id).expect("an id");
        let at = timestamp.to_string();
        let parts = [
            id.as_str().as_bytes(),
            b".",
            at.as_bytes(),
            b".",
            payload.as_bytes(),
        ];
        let signature = keys.sign(&parts);
        Self {
            id,
            timestamp,
            payload: payload.into(),
            signature,
        }
    }
}

/// Neither the payload nor the signature: a log line must not echo them.
impl fmt::Debug for RawEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEnvelope")
            .field("id", &self.id)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

/// The id of a malformed envelope, so that its sender can be told which one was.
fn id_alone(json: &str) -> Option<EnvelopeId> {
    #[derive(Deserialize)]
    struct IdAlone {
        id: EnvelopeId,
    }
    serde_json::from_str(json).ok().map(|IdAlone { id }| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(id: &str, timestamp: &str, payload: &str, signature: &str) -> String {
        format!(
            r#"{{"id":{id},"timestamp":{timestamp},"payload":{payload},"signature":{signature}}}"#
        )
    }

    #[test]
    fn well_formed() {
        let longest = format!("\"{}\"", "é".repeat(MAX_PAYLOAD_BYTES / 2));
        let eight = format!("\"{}\"", ["v1,AA"; 8].join(" "));
        let cases = [
            json("\"a\"", "0", "\"\"", "\"\""),
            json("\"a\"", "1767225600", &longest, &eight),
            r#" {"more":{"id":1},"id":"a","timestamp":1,"payload":"","signature":""} "#.into(),
        ];
        for case in cases {
            assert!(RawEnvelope::parse(&case).is_ok(), "{case:.80}");
        }
    }

    #[test]
    fn malformed() {
        let too_long = format!("\"{}\"", "a".repeat(MAX_PAYLOAD_BYTES + 1));
        let nine = format!("\"{}\"", ["v1,AA"; 9].join(" "));
        let long = format!("\"{}\"", "A".repeat(MAX_SIGNATURE_BYTES + 1));
        let id = Some("a");
        let cases = [
            ("no object", "[]".to_owned(), None),
            ("no JSON", "{".to_owned(), None),
            (
                "a member is missing",
                r#"{"id":"a","timestamp":1,"payload":""}"#.to_owned(),
                id,
            ),
            (
                "a member stands twice",
                r#"{"id":"a","timestamp":1,"payload":"","payload":"","signature":""}"#.to_owned(),
                id,
            ),
            (
                "two ids",
                r#"{"id":"a","id":"b","timestamp":1,"payload":"","signature":""}"#.to_owned(),
                None,
            ),
            ("an illegal id", json("\"a b\"", "1", "\"\"", "\"\""), None),
            ("a number as id", json("1", "1", "\"\"", "\"\""), None),
            (
                "a text as timestamp",
                json("\"a\"", "\"1\"", "\"\"", "\"\""),
                id,
            ),
            ("a fraction", json("\"a\"", "1.5", "\"\"", "\"\""), id),
            ("a float", json("\"a\"", "1.0", "\"\"", "\"\""), id),
            ("an exponent", json("\"a\"", "1e9", "\"\"", "\"\""), id),
            ("a leading zero", json("\"a\"", "01", "\"\"", "\"\""), None),
            (
                "a negative timestamp",
                json("\"a\"", "-1", "\"\"", "\"\""),
                id,
            ),
            (
                "a huge timestamp",
                json("\"a\"", "9223372036854775808", "\"\"", "\"\""),
                id,
            ),
            ("an object as payload", json("\"a\"", "1", "{}", "\"\""), id),
            (
                "a lone surrogate",
                json("\"a\"", "1", "\"\\ud800\"", "\"\""),
                id,
            ),
            ("65537 bytes", json("\"a\"", "1", &too_long, "\"\""), id),
            ("a long signature", json("\"a\"", "1", "\"\"", &long), id),
            ("nine signatures", json("\"a\"", "1", "\"\"", &nine), id),
            (
                "a list of signatures",
                json("\"a\"", "1", "\"\"", "[\"v1,AA\"]"),
                id,
            ),
        ];
        for (name, json, id) in cases {
            let refusal = RawEnvelope::parse(&json).expect_err(name);
            assert_eq!(refusal.reason, NotProven::Malformed, "{name}");
            assert_eq!(refusal.id.as_ref().map(EnvelopeId::as_str), id, "{name}");
        }
    }

    #[test]
    fn nothing_shows_the_payload() {
        let json = json("\"a\"", "1", "\"hidden\"", "\"hidden\"");
        let shown = format!("{:?}", RawEnvelope::parse(&json));
        assert!(!shown.contains("hidden"), "{shown}");
        let refused = format!(
            "{:?}",
            RawEnvelope::parse(r#"{"id":"a","payload":"hidden"}"#)
        );
        assert!(!refused.contains("hidden"), "{refused}");
    }

    #[test]
    fn an_envelope_survives_the_journal() {
        let json = json("\"a\"", "1", r#""{\"x\":\"é\\u0000\"}""#, "\"v1,AA\"");
        let envelope = RawEnvelope::parse(&json).unwrap();
        let again: RawEnvelope =
            serde_json::from_str(&serde_json::to_string(&envelope).unwrap()).unwrap();
        assert_eq!(again, envelope);
        assert!(serde_json::from_str::<RawEnvelope>(&json.replace(":1,", ":-1,")).is_err());
    }
}
