//! JSON read so that no two readers can understand it differently: a member given twice is an error.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a JSON object. `None` for anything else: bad syntax, a lone surrogate, a duplicate key at any depth,
/// nesting over 128 (`serde_json`'s own limit), something behind the object.
pub(super) fn parse_object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Strict(Value::Object(members))) => Some(members),
        _ => None,
    }
}

/// A value in which no object has a member twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Strict(value) = members.next_value()?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice in one object"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::parse_object;

    #[test]
    fn reads_what_any_reader_reads() {
        let text = r#"{"a":[1,-2,3.5,true,null,"caf\u00e9 \ud83d\ude00"],"b":{"a":{}},"":0}"#;
        let plain: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            parse_object(text).map(serde_json::Value::Object),
            Some(plain)
        );
    }

    #[test]
    fn refuses_what_readers_differ_on() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let cases = [
            ("twice", r#"{"a":1,"a":1}"#),
            ("twice below", r#"{"x":[{"b":{"a":1,"c":2,"a":3}}]}"#),
            ("twice, once escaped", r#"{"a":1,"\u0061":2}"#),
            ("a lone surrogate", r#"{"a":"\ud800"}"#),
            ("a lone trailing surrogate", r#"{"a":"\udc00"}"#),
            ("a surrogate in a name", r#"{"\ud800":1}"#),
            ("more behind it", r#"{"a":1}{"a":1}"#),
            ("cut", r#"{"a":1"#),
            ("no object", "[1]"),
            ("a comma too many", r#"{"a":1,}"#),
            ("not a number", r#"{"a":NaN}"#),
            ("a number beyond any float", r#"{"a":1e999}"#),
            ("a byte order mark", "\u{feff}{}"),
            ("nothing", ""),
            ("too deep", deep.as_str()),
        ];
        for (name, text) in cases {
            assert_eq!(parse_object(text), None, "{name}");
        }
    }

    #[test]
    fn the_same_name_in_two_objects_is_fine() {
        assert!(parse_object(r#"{"a":{"a":1},"b":{"a":1}}"#).is_some());
    }
}
