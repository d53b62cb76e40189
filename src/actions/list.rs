//! The answer to a poll: a list of envelopes, in which one bad element spoils no other.

use std::fmt;
use std::time::Duration;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::envelope::RawEnvelope;
use super::refusal::Refusal;

/// As many envelopes of one list are looked at. The agent asks for 20.
pub const MAX_LISTED: usize = 100;

/// The answer to a poll for actions.
#[derive(Debug)]
pub struct EnvelopeList {
    /// The elements in order, each good or bad by itself; at most [`MAX_LISTED`].
    pub envelopes: Vec<Result<RawEnvelope, Refusal>>,
    /// How many elements stood behind those; they come again with the next poll.
    pub left_off: usize,
    /// The pause the backend asks for before the next poll, clamped to 2..=300 s.
    pub next_poll: Option<Duration>,
}

/// The answer to a poll is no object with a list of `actions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAList;

impl fmt::Display for NotAList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer holds no list of actions")
    }
}

impl std::error::Error for NotAList {}

/// Reads the body of `GET /v1/clusters/{cluster_id}/actions`.
///
/// Elements are cut apart first and read one by one, so that a bad one never spoils the others
/// (protocol, section 1): not a malformed one, nor one with a lone surrogate or bytes that are no UTF-8.
pub fn parse_list(body: &[u8]) -> Result<EnvelopeList, NotAList> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        actions: Elements<'a>,
        #[serde(borrow, default)]
        next_poll_seconds: Option<&'a RawValue>,
    }
    // Bytes that are no UTF-8 become U+FFFD: the signature of that one envelope then fails.
    let text = String::from_utf8_lossy(body);
    let Body {
        actions,
        next_poll_seconds,
    } = serde_json::from_str(&text).map_err(|_| NotAList)?;
    let next_poll = next_poll_seconds
        .and_then(|raw| serde_json::from_str::<u64>(raw.get()).ok())
        .map(|seconds| Duration::from_secs(seconds.clamp(2, 300)));
    let envelopes = actions
        .first
        .iter()
        .map(|raw| RawEnvelope::parse(raw.get()))
        .collect();
    Ok(EnvelopeList {
        envelopes,
        left_off: actions.left_off,
        next_poll,
    })
}

/// The elements of a list, cut apart and unread; a list of a million costs no more memory than one of a hundred.
struct Elements<'a> {
    first: Vec<&'a RawValue>,
    left_off: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

struct ElementsVisitor;

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut first = Vec::new();
        while first.len() < MAX_LISTED
            && let Some(element) = elements.next_element()?
        {
            first.push(element);
        }
        let mut left_off = 0;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            left_off += 1;
        }
        Ok(Elements { first, left_off })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(id: &str, payload: &str) -> String {
        format!(r#"{{"id":"{id}","timestamp":1,"payload":"{payload}","signature":""}}"#)
    }

    #[test]
    fn one_bad_element_spoils_no_other() {
        let good = json("good", "{}");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let bad = ["null", "7", "{}", r#"{"id":"\ud800"}"#, deep.as_str()];
        for bad in bad {
            let body = format!(r#"{{"actions":[{good},{bad},{good}],"more":[]}}"#);
            let list = parse_list(body.as_bytes()).unwrap();
            let are_good: Vec<bool> = list.envelopes.iter().map(Result::is_ok).collect();
            assert_eq!(are_good, [true, false, true], "{bad:.40}");
            assert_eq!(list.left_off, 0);
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_spoil_no_other() {
        let good = json("good", "{}");
        let bad = json("bad", "#");
        let mut body = format!(r#"{{"actions":[{good},{bad},{good}]}}"#).into_bytes();
        *body.iter_mut().find(|byte| **byte == b'#').unwrap() = 0xff;
        let list = parse_list(&body).unwrap();
        assert_eq!(list.envelopes[0], list.envelopes[2]);
        assert_eq!(list.envelopes[1].as_ref().unwrap().payload(), "\u{fffd}");
    }

    #[test]
    fn a_long_list_is_cut() {
        let body = format!(r#"{{"actions":[{}]}}"#, ["0"; MAX_LISTED + 23].join(","));
        let list = parse_list(body.as_bytes()).unwrap();
        assert_eq!((list.envelopes.len(), list.left_off), (MAX_LISTED, 23));
    }

    #[test]
    fn the_next_poll() {
        let cases = [
            ("7", Some(7)),
            ("1", Some(2)),
            ("301", Some(300)),
            ("18446744073709551615", Some(300)),
            ("null", None),
            ("-1", None),
            ("2.5", None),
            ("\"5\"", None),
        ];
        for (text, expected) in cases {
            let body = format!(r#"{{"actions":[],"next_poll_seconds":{text}}}"#);
            let list = parse_list(body.as_bytes()).unwrap();
            assert_eq!(list.next_poll, expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(parse_list(br#"{"actions":[]}"#).unwrap().next_poll, None);
    }

    #[test]
    fn no_list() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"actions":null}"#,
            r#"{"actions":{}}"#,
            "<html>",
        ] {
            assert_eq!(
                parse_list(body.as_bytes()).map(|_| ()),
                Err(NotAList),
                "{body}"
            );
        }
    }
}
