//! Reading the members of `params` and `settings` one by one, with errors that say what was expected.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// As much of an illegal value is quoted, in bytes: enough to find the mistake, too little to echo a payload.
const MAX_EXCERPT_BYTES: usize = 64;

/// A member of `params` or `settings` that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    member: String,
    expected: Cow<'static, str>,
    got: String,
}

impl Fault {
    /// `member` is named with its parent, as `params.replicas`.
    pub(super) fn new(
        member: impl Into<String>,
        expected: impl Into<Cow<'static, str>>,
        got: &Value,
    ) -> Self {
        Self {
            member: member.into(),
            expected: expected.into(),
            got: excerpt(got),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, got {}",
            self.member, self.expected, self.got
        )
    }
}

impl std::error::Error for Fault {}

/// A kind of text with rules of its own.
pub trait Text: Sized {
    /// The rules in a few words, as they stand in an error.
    const EXPECTED: &'static str;

    /// `None` if the text breaks the rules.
    fn parse(text: &str) -> Option<Self>;
}

/// The members of one object, each taken once.
pub(super) struct Members {
    parent: &'static str,
    members: Map<String, Value>,
}

impl Members {
    /// Refuses an object with a member that is not one of `known` (protocol, section 1).
    pub(super) fn new(
        parent: &'static str,
        members: Map<String, Value>,
        known: &[&str],
    ) -> Result<Self, Fault> {
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(Self { parent, members }),
            Some(unknown) => Err(Fault {
                member: parent.into(),
                expected: format!("no members but {}", known.join(", ")).into(),
                got: excerpt(&Value::String(unknown.clone())),
            }),
        }
    }

    /// An optional member. A null is no way to leave one out: it may be a guard whose value got lost.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        expected: impl Into<Cow<'static, str>>,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.members.remove(name) else {
            return Ok(None);
        };
        match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(Fault::new(
                format!("{}.{name}", self.parent),
                expected,
                &value,
            )),
        }
    }

    /// A member that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        expected: impl Into<Cow<'static, str>>,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, Fault> {
        let expected = expected.into();
        self.optional(name, expected.clone(), read)?
            .ok_or_else(|| Fault {
                member: format!("{}.{name}", self.parent),
                expected,
                got: "nothing".into(),
            })
    }

    pub(super) fn text<T: Text>(&mut self, name: &str) -> Result<T, Fault> {
        self.required(name, T::EXPECTED, |value| T::parse(value.as_str()?))
    }

    pub(super) fn optional_text<T: Text>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        self.optional(name, T::EXPECTED, |value| T::parse(value.as_str()?))
    }

    pub(super) fn whole(&mut self, name: &str, range: RangeInclusive<u32>) -> Result<u32, Fault> {
        self.required(name, whole_in(&range), |value| read_whole(value, &range))
    }

    pub(super) fn optional_whole(
        &mut self,
        name: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Fault> {
        self.optional(name, whole_in(&range), |value| read_whole(value, &range))
    }

    /// True or false; `default` if left out.
    pub(super) fn flag(&mut self, name: &str, default: bool) -> Result<bool, Fault> {
        Ok(self
            .optional(name, "true or false", Value::as_bool)?
            .unwrap_or(default))
    }
}

fn whole_in(range: &RangeInclusive<u32>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

/// `3.0` is no whole number here: a sender that writes one computes with floats.
fn read_whole(value: &Value, range: &RangeInclusive<u32>) -> Option<u32> {
    value
        .as_u64()?
        .try_into()
        .ok()
        .filter(|number| range.contains(number))
}

/// A value in a few words: never more than [`MAX_EXCERPT_BYTES`] of a text, never a control character.
pub(super) fn excerpt(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => {
            let start = cut(text, MAX_EXCERPT_BYTES);
            let more = if start.len() < text.len() { "..." } else { "" };
            format!("{start:?}{more}")
        }
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// A text for logs and events: cut, and nothing in it that could break a line or turn its direction.
pub(super) fn printable(text: &str, max_bytes: usize) -> String {
    let breaks_a_line = |char: char| {
        char.is_control() || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    cut(text, max_bytes).replace(breaks_a_line, " ")
}

/// The longest start of a text within `max_bytes` that splits no character.
pub(crate) fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Short;

    impl Text for Short {
        const EXPECTED: &'static str = "a short text";

        fn parse(text: &str) -> Option<Self> {
            (text.len() < 5).then_some(Self)
        }
    }

    fn members(value: Value) -> Members {
        let Value::Object(members) = value else {
            panic!("an object")
        };
        Members::new("params", members, &["a", "b"]).expect("known members")
    }

    #[test]
    fn errors_name_member_value_and_what_was_expected() {
        let cases = [
            (json!({}), "params.a: expected a short text, got nothing"),
            (
                json!({"a": null}),
                "params.a: expected a short text, got null",
            ),
            (json!({"a": 7}), "params.a: expected a short text, got 7"),
            (
                json!({"a": {"b": 1}}),
                "params.a: expected a short text, got an object",
            ),
            (
                json!({"a": ["b"]}),
                "params.a: expected a short text, got a list",
            ),
            (
                json!({"a": "a\nb\u{202e}"}),
                r#"params.a: expected a short text, got "a\nb\u{202e}""#,
            ),
        ];
        for (value, expected) in cases {
            let fault = members(value).text::<Short>("a").err().expect(expected);
            assert_eq!(fault.to_string(), expected);
        }
    }

    #[test]
    fn whole_numbers() {
        let cases = [
            (json!(1), Some(1)),
            (json!(5), Some(5)),
            (json!(0), None),
            (json!(6), None),
            (json!(-1), None),
            (json!(2.0), None),
            (json!("2"), None),
            (json!(true), None),
            (json!(4_294_967_297_u64), None),
            (json!(null), None),
        ];
        for (value, expected) in cases {
            let got = members(json!({"a": value})).whole("a", 1..=5);
            assert_eq!(got.as_ref().ok().copied(), expected, "{value}");
            if let Err(fault) = got {
                let text = format!("params.a: expected a whole number from 1 to 5, got {value}");
                assert_eq!(fault.to_string(), text);
            }
        }
    }

    #[test]
    fn left_out_and_null_are_not_the_same() {
        assert_eq!(members(json!({})).optional_whole("a", 0..=9), Ok(None));
        assert!(
            members(json!({"a": null}))
                .optional_whole("a", 0..=9)
                .is_err()
        );
        assert!(
            members(json!({"a": null}))
                .optional_text::<Short>("a")
                .is_err()
        );
        assert_eq!(members(json!({})).flag("a", true), Ok(true));
        assert_eq!(members(json!({"a": false})).flag("a", true), Ok(false));
        assert!(members(json!({"a": null})).flag("a", true).is_err());
        assert!(members(json!({"a": "true"})).flag("a", true).is_err());
    }

    #[test]
    fn an_unknown_member_is_refused_by_name() {
        let Value::Object(unknown) = json!({"a": 1, "A": 1}) else {
            panic!("an object")
        };
        let fault = Members::new("params", unknown, &["a", "b"])
            .err()
            .expect("a fault");
        assert_eq!(
            fault.to_string(),
            r#"params: expected no members but a, b, got "A""#
        );
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = Value::String("é".repeat(40_000));
        assert_eq!(excerpt(&long), format!("\"{}\"...", "é".repeat(32)));
        let odd = Value::String(format!("a{}", "é".repeat(40_000)));
        assert_eq!(excerpt(&odd), format!("\"a{}\"...", "é".repeat(31)));
    }

    #[test]
    fn printable_text_stays_on_its_line() {
        assert_eq!(
            printable("a\r\nb\u{1b}[31m\u{202e}c\u{2028}é", 64),
            "a  b [31m c é"
        );
        assert_eq!(printable("éé", 3), "é");
    }
}
