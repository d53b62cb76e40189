//! Processor and memory as the API writes them, of all that a container asks for or uses.

use serde::{Deserialize, Deserializer};

use super::text::Text;
use crate::kube::protobuf::{Malformed, fields};
use crate::kube::quantity::Quantity;

/// A map from resource names to quantities, of which two are read; `None` where there is no number.
#[derive(Deserialize, Debug, Default, Clone, Copy, PartialEq, Eq)]
#[serde(default)]
pub struct Amounts {
    /// Nanocores.
    #[serde(deserialize_with = "cpu")]
    pub cpu: Option<i64>,
    /// Bytes.
    #[serde(deserialize_with = "memory")]
    pub memory: Option<i64>,
}

impl Amounts {
    /// Of the quantities' texts.
    pub fn of(cpu: Option<&str>, memory: Option<&str>) -> Self {
        let parse = |it: &str| Quantity::parse(it.as_bytes());
        Self {
            cpu: cpu.and_then(parse).map(Quantity::nanos),
            memory: memory.and_then(parse).map(Quantity::units),
        }
    }

    /// Takes an entry of the map in protobuf.
    pub fn take(&mut self, entry: &[u8]) -> Result<(), Malformed> {
        const KEY: u32 = 1;
        const VALUE: u32 = 2;
        const QUANTITY_TEXT: u32 = 1;
        let (mut name, mut quantity) = (&b""[..], None);
        fields(entry, |number, value| {
            match number {
                KEY => name = value.message()?,
                VALUE => fields(value.message()?, |number, value| {
                    if number == QUANTITY_TEXT {
                        quantity = Quantity::parse(value.message()?);
                    }
                    Ok(())
                })?,
                _ => (),
            }
            Ok(())
        })?;
        match name {
            b"cpu" => self.cpu = quantity.map(Quantity::nanos),
            b"memory" => self.memory = quantity.map(Quantity::units),
            _ => (),
        }
        Ok(())
    }
}

fn cpu<'de, D: Deserializer<'de>>(source: D) -> Result<Option<i64>, D::Error> {
    let text = Option::<Text<'de>>::deserialize(source)?;
    Ok(Amounts::of(text.as_deref(), None).cpu)
}

fn memory<'de, D: Deserializer<'de>>(source: D) -> Result<Option<i64>, D::Error> {
    let text = Option::<Text<'de>>::deserialize(source)?;
    Ok(Amounts::of(None, text.as_deref()).memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::protobuf::written::field;

    #[test]
    fn what_is_no_number_is_left_out() {
        for (json, cpu, memory) in [
            ("{}", None, None),
            (r#"{"cpu":null,"memory":"1Ki"}"#, None, Some(1024)),
            (r#"{"cpu":"250m","memory":"much"}"#, Some(250_000_000), None),
            (
                r#"{"cpu":"1","nvidia.com/gpu":"1"}"#,
                Some(1_000_000_000),
                None,
            ),
        ] {
            let read: Amounts = serde_json::from_str(json).unwrap();
            assert_eq!(read, Amounts { cpu, memory }, "{json}");
        }
        assert!(serde_json::from_str::<Amounts>(r#"{"cpu":1}"#).is_err());
    }

    #[test]
    fn entries_of_protobuf_say_the_same() {
        let mut read = Amounts::default();
        for (name, text) in [("cpu", "250m"), ("memory", "\u{ff}"), ("pods", "1")] {
            let quantity = field(2, &field(1, text.as_bytes()));
            let entry = [field(1, name.as_bytes()), quantity].concat();
            read.take(&entry).unwrap();
        }
        assert_eq!((read.cpu, read.memory), (Some(250_000_000), None));
    }
}
