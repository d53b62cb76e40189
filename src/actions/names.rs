//! Names as Kubernetes allows them. None of them can leave its place in a URL's path.

use std::fmt;

use serde::Serialize;

use super::members::Text;

/// A newtype over text that obeys one rule, and can only be made by the check of that rule.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $is_legal:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Text for $name {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                let is_legal: fn(&str) -> bool = $is_legal;
                is_legal(text).then(|| Self(text.into()))
            }
        }
    };
}
pub(super) use text_type;

text_type!(
    /// The name of a namespace: a DNS-1123 label.
    Namespace,
    "a namespace (a DNS label of at most 63 characters)",
    is_dns_label
);
text_type!(
    /// The name of a container: a DNS-1123 label.
    ContainerName,
    "a container's name (a DNS label of at most 63 characters)",
    is_dns_label
);
text_type!(
    /// The name of a pod, a node or a deployment: a DNS-1123 subdomain.
    ObjectName,
    "an object's name (a DNS subdomain of at most 253 characters)",
    is_dns_subdomain
);
text_type!(
    /// A UID of the API server: opaque, 1 to 128 letters, digits and `-._:`. Most are UUIDs; those of static
    /// pods are other hashes.
    Uid,
    "a uid (1 to 128 letters, digits and -._:)",
    |text| {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        (1..=128).contains(&text.len()) && text.bytes().all(is_safe)
    }
);
text_type!(
    /// The key of a label: a name, with or without a DNS subdomain and a slash before it.
    LabelKey,
    "a label key ([DNS subdomain/]name of at most 63 characters)",
    |text| match text.split_once('/') {
        None => is_label_name(text),
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_label_name(name),
    }
);
text_type!(
    /// The value of a label: empty, or at most 63 characters that begin and end with a letter or digit.
    LabelValue,
    "a label value (at most 63 characters) or null",
    |text| text.is_empty() || is_label_name(text)
);

impl From<Namespace> for ObjectName {
    /// The name of the namespace as an object. Every DNS label is a DNS subdomain.
    fn from(namespace: Namespace) -> Self {
        Self(namespace.0)
    }
}

impl LabelKey {
    /// What stands before the slash.
    pub fn prefix(&self) -> Option<&str> {
        self.0.split_once('/').map(|(prefix, _)| prefix)
    }
}

/// RFC 1123 as Kubernetes reads it: lower-case letters, digits and inner hyphens, 1 to 63 of them.
fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_subdomain_part(text)
}

/// Parts between dots, in all at most 253 characters. Kubernetes bounds no single part.
fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_subdomain_part)
}

fn is_subdomain_part(text: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    is_framed(text, is_alphanumeric, b"-")
}

/// The name in a label key, and a label value that is not empty.
fn is_label_name(text: &str) -> bool {
    text.len() <= 63 && is_framed(text, u8::is_ascii_alphanumeric, b"-_.")
}

/// Not empty, `is_alphanumeric` at both ends, and there or one of `inner` between them.
fn is_framed(text: &str, is_alphanumeric: impl Fn(&u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(&is_alphanumeric)
        && bytes.last().is_some_and(&is_alphanumeric)
        && bytes
            .iter()
            .all(|byte| is_alphanumeric(byte) || inner.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: Text + fmt::Display>(legal: &[&str], illegal: &[&str]) {
        for text in legal {
            assert_eq!(
                T::parse(text).map(|it| it.to_string()).as_deref(),
                Some(*text)
            );
        }
        for text in illegal {
            assert!(
                T::parse(text).is_none(),
                "{text:?} passed as {}",
                T::EXPECTED
            );
        }
    }

    #[test]
    fn namespaces_and_containers() {
        let (n63, n64) = ("a".repeat(63), "a".repeat(64));
        let legal = ["a", "0", "kube-system", "a--b", "1a", &n63];
        let illegal = [
            "", "-a", "a-", "A", "a.b", "a_b", "café", "a b", "a\n", "..", "a/b", "a%2fb", &n64,
        ];
        check::<Namespace>(&legal, &illegal);
        check::<ContainerName>(&legal, &illegal);
    }

    #[test]
    fn object_names() {
        let (n253, n254) = ("a".repeat(253), "a".repeat(254));
        check::<ObjectName>(
            &[
                "a",
                "ip-10-0-0-1.eu-central-1.compute.internal",
                "web-7d4b9c-x2x",
                &n253,
            ],
            &[
                "", ".", "..", "a..b", ".a", "a.", "-a", "a-.b", "A.b", "a/b", "../pods", "a?b",
                "a#b", "a b", "é", &n254,
            ],
        );
    }

    #[test]
    fn uids() {
        let (n128, n129) = ("a".repeat(128), "a".repeat(129));
        check::<Uid>(
            &[
                "5f0c1d4e-0000-4000-8000-000000000007",
                "0",
                "ABC_.:x",
                &n128,
            ][..2],
            &["", " ", "a b", "a/b", "a\"", "é", "a\n", &n129],
        );
        check::<Uid>(&["A.b:c-1", &n128], &[]);
    }

    #[test]
    fn label_keys() {
        let (n63, n64, n253) = ("a".repeat(63), "a".repeat(64), "a".repeat(253));
        let (long, too_long) = (format!("{n253}/{n63}"), format!("{n253}a/a"));
        check::<LabelKey>(
            &["a", "A_b.c-d", "example.com/Team", "a/b", &n63, &long],
            &[
                "",
                "/",
                "a/",
                "/a",
                "a/b/c",
                "-a",
                "a-",
                "_a",
                "Example.com/a",
                "ex_ample/a",
                "a b",
                "é",
                "a.b./c",
                &n64,
                &too_long,
            ],
        );
        let prefix = |text| LabelKey::parse(text).and_then(|key| key.prefix().map(str::to_owned));
        assert_eq!(prefix("example.com/Team").as_deref(), Some("example.com"));
        assert_eq!(prefix("example.com"), None);
    }

    #[test]
    fn label_values() {
        let (n63, n64) = ("a".repeat(63), "a".repeat(64));
        check::<LabelValue>(
            &["", "a", "A_b.c-d", "0", &n63],
            &["-", "a-", ".a", "a/b", "a b", " ", "é", &n64],
        );
    }
}
