//! A string of a parsed object: borrowed from the wire where it holds no escape.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::kube::protobuf::{Malformed, Value};

/// Like `Cow<str>`, but borrowed inside an `Option` or a list too, which serde's own is not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> Text<'a> {
    /// A string of a protobuf message.
    pub fn from_protobuf(value: Value<'a>) -> Result<Self, Malformed> {
        Ok(Self(value.text()?.into()))
    }

    /// The same where an empty one is unset.
    pub fn set_in_protobuf(value: Value<'a>) -> Result<Option<Self>, Malformed> {
        Ok(value.set_text()?.map(|it| Self(it.into())))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// The API writes `null` for an absent list or object now and then.
pub fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_borrows_where_it_can() {
        let [plain, escaped]: [Option<Text<'_>>; 2] =
            serde_json::from_str(r#"["plain","tab\t"]"#).unwrap();
        assert!(matches!(plain, Some(Text(Cow::Borrowed("plain")))));
        assert_eq!(&*escaped.unwrap(), "tab\t");
    }
}
