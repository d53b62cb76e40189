//! The forms that the protocol gives to texts (protocol, conventions and section 1).

use super::check::Rule;
use super::clock::parse_rfc3339;

/// The actions that there are (protocol, section 2).
pub(super) const ACTIONS: [&str; 7] = [
    "evict_pod",
    "cordon_node",
    "uncordon_node",
    "drain_node",
    "scale_deployment",
    "set_image",
    "label_resource",
];

/// Why an envelope is refused without a result (protocol, sections 1 and 3).
pub(super) const REJECTIONS: [&str; 11] = [
    "malformed",
    "bad_signature",
    "wrong_cluster",
    "wrong_agent",
    "not_yet_valid",
    "ttl_too_long",
    "id_conflict",
    "unsupported",
    "invalid_params",
    "precondition_failed",
    "expired",
];

/// Why a proven action is not executed (protocol, section 1).
pub(super) const REFUSALS: [&str; 4] = [
    "unsupported",
    "invalid_params",
    "policy_denied",
    "precondition_failed",
];

/// How an action ends (protocol, section 2).
pub(super) const STATUSES: [&str; 7] = [
    "succeeded",
    "noop",
    "partial",
    "failed",
    "rejected",
    "expired",
    "interrupted",
];

/// Any text.
pub(super) const TEXT: Rule = Rule {
    expected: "a text",
    holds: |_| true,
};

/// Any text but the empty one.
pub(super) const FILLED: Rule = Rule {
    expected: "a text that is not empty",
    holds: |text| !text.is_empty(),
};

/// An agent, instance or run.
pub(super) const NAME: Rule = Rule {
    expected: "a name of [A-Za-z0-9._-]{1,128}",
    holds: |text| {
        within(text, 128, |byte| {
            byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
        })
    },
};

/// A cluster. The protocol says nothing of its form; what is longer fits no path.
pub(super) const CLUSTER: Rule = Rule {
    expected: "a cluster id of 1 to 253 bytes",
    holds: |text| (1..=253).contains(&text.len()),
};

/// An envelope's id.
pub(super) const ID: Rule = Rule {
    expected: "an id of [A-Za-z0-9_-]{1,64}",
    holds: |text| {
        within(text, 64, |byte| {
            byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
        })
    },
};

/// A batch's id.
pub(super) const UUID: Rule = Rule {
    expected: "a UUID in lower case",
    holds: |text| {
        text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            })
    },
};

/// A time.
pub(super) const TIME: Rule = Rule {
    expected: "a time as 2026-01-01T00:00:00.000Z",
    holds: |text| parse_rfc3339(text).is_some(),
};

/// A hash.
pub(super) const SHA256: Rule = Rule {
    expected: "a SHA-256 in lower-case hexadecimal",
    holds: |text| {
        text.len() == 64
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    },
};

/// A reason for a program to read.
pub(super) const REASON: Rule = Rule {
    expected: "a reason of [a-z][a-z0-9_]{0,63}",
    holds: |text| {
        text.starts_with(|first: char| first.is_ascii_lowercase())
            && within(text, 64, |byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
            })
    },
};

fn within(text: &str, max: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_hold_for_what_they_should() {
        let cases: [(&Rule, &[&str], &[&str]); 6] = [
            (&NAME, &["a", "A.b_c-9"], &["", "a b", "ä", "a/b"]),
            (&ID, &["act_0001", "-"], &["", "a.b", "a b"]),
            (
                &UUID,
                &["0b6f3f0e-6a7c-4c55-9d3a-1f2e3d4c5b6a"],
                &[
                    "0B6F3F0E-6a7c-4c55-9d3a-1f2e3d4c5b6a",
                    "0b6f3f0e6a7c4c559d3a1f2e3d4c5b6a",
                    "",
                ],
            ),
            (
                &REASON,
                &["policy_denied", "a1"],
                &["", "Denied", "1a", "a-b"],
            ),
            (&FILLED, &[" "], &[""]),
            (
                &TIME,
                &["2026-01-01T00:00:00.000Z"],
                &["2026-01-01T00:00:00Z"],
            ),
        ];
        for (rule, good, bad) in cases {
            assert!(
                good.iter().all(|text| (rule.holds)(text)),
                "{}",
                rule.expected
            );
            assert!(
                !bad.iter().any(|text| (rule.holds)(text)),
                "{}",
                rule.expected
            );
        }
        assert!(!(NAME.holds)(&"a".repeat(129)));
        assert!(!(ID.holds)(&"a".repeat(65)));
        assert!((SHA256.holds)(&"0a".repeat(32)) && !(SHA256.holds)(&"0A".repeat(32)));
    }
}
