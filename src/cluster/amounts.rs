//! Processor and memory as the API writes them, of all that a container asks for or uses.

use serde::Deserialize;

use super::text::Text;
use crate::kube::protobuf::{Malformed, fields};
use crate::kube::quantity::Quantity;

/// A map from resource names to quantities, of which two are read.
#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(default)]
pub struct Amounts<'a> {
    /// Cores.
    #[serde(borrow)]
    pub cpu: Option<Text<'a>>,
    /// Bytes.
    #[serde(borrow)]
    pub memory: Option<Text<'a>>,
}

impl<'a> Amounts<'a> {
    /// Nanocores; `None` where there is no number.
    pub fn nanocores(&self) -> Option<i64> {
        self.cpu
            .as_ref()
            .and_then(|it| Quantity::parse(it))
            .map(Quantity::nanos)
    }

    /// Bytes; `None` where there is no number.
    pub fn bytes(&self) -> Option<i64> {
        self.memory
            .as_ref()
            .and_then(|it| Quantity::parse(it))
            .map(Quantity::units)
    }

    /// Takes an entry of the map in protobuf.
    pub fn take(&mut self, entry: &'a [u8]) -> Result<(), Malformed> {
        const KEY: u32 = 1;
        const VALUE: u32 = 2;
        const QUANTITY_TEXT: u32 = 1;
        let (mut name, mut quantity) = ("", None);
        fields(entry, |number, value| {
            match number {
                KEY => name = value.text()?,
                VALUE => fields(value.message()?, |number, value| {
                    if number == QUANTITY_TEXT {
                        quantity = Some(Text::from_protobuf(value)?);
                    }
                    Ok(())
                })?,
                _ => (),
            }
            Ok(())
        })?;
        match name {
            "cpu" => self.cpu = quantity,
            "memory" => self.memory = quantity,
            _ => (),
        }
        Ok(())
    }
}
