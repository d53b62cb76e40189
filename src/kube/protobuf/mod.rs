//! Protobuf as the API server writes it: read by hand, since of a pod's two hundred fields a dozen are kept, and a
//! field that is not kept costs a look at its length.
//!
//! The encoding: <https://protobuf.dev/programming-guides/encoding/>. The frame around an object:
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>. Field numbers never change; they
//! stand in the `generated.proto` beside each API's types.

mod list;
mod status;
mod watch;

use std::fmt;

pub use list::{ListMeta, list};
pub use status::status;
pub use watch::{Event, Events};

/// The media type of an object in protobuf.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What each answer in it begins with.
const MAGIC: &[u8] = b"k8s\0";
/// The longest a varint of 64 bits may be.
const MAX_VARINT: usize = 10;

/// Bytes that are no message of the expected kind; says what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl Malformed {
    /// An answer in protobuf to who reads only JSON.
    pub const NOT_ASKED_FOR: Self = Self("it was not asked for");
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "protobuf: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, an enum or a boolean; a negative one as the 64 bits of its two's complement.
    Number(u64),
    /// A string, a message, or an entry of a map or list.
    Bytes(&'a [u8]),
    /// Fixed 32 or 64 bits, in which the API keeps nothing that is read.
    Fixed,
}

impl<'a> Value<'a> {
    /// A message or an entry.
    pub fn message(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed("a message was expected, a number came")),
        }
    }

    /// A string.
    pub fn text(self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.message()?).map_err(|_| Malformed("a string is not UTF-8"))
    }

    /// A string, where the server writes an unset one as an empty one.
    pub fn set_text(self) -> Result<Option<&'a str>, Malformed> {
        Ok(Some(self.text()?).filter(|it| !it.is_empty()))
    }

    /// A number.
    pub fn number(self) -> Result<u64, Malformed> {
        match self {
            Self::Number(number) => Ok(number),
            _ => Err(Malformed("a number was expected, something else came")),
        }
    }
}

/// Hands every field of `message` to `each`, with its number, in the order of the wire.
pub fn fields<'a>(
    message: &'a [u8],
    mut each: impl FnMut(u32, Value<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut rest = message;
    while !rest.is_empty() {
        let tag = Tag::of(whole(&mut rest)?)?;
        let value = match tag.kind {
            Kind::Varint => Value::Number(whole(&mut rest)?),
            Kind::Fixed(size) => {
                cut(&mut rest, size)?;
                Value::Fixed
            }
            Kind::Bytes => {
                let size = whole(&mut rest)?;
                Value::Bytes(cut(&mut rest, size)?)
            }
        };
        each(tag.number, value)?;
    }
    Ok(())
}

/// All that meta/v1 Time (seconds since 1970) and Duration (nanoseconds) say; nothing where it was never set.
pub fn span(message: &[u8]) -> Result<Option<i64>, Malformed> {
    const NUMBER: u32 = 1;
    let mut found = None;
    fields(message, |number, value| {
        if number == NUMBER {
            found = Some(value.number()?.cast_signed());
        }
        Ok(())
    })?;
    Ok(found)
}

/// The object in `framed`, which is runtime.Unknown as it goes around each object.
fn object(framed: &[u8]) -> Result<&[u8], Malformed> {
    const RAW: u32 = 2;
    let frame = framed.strip_prefix(MAGIC);
    let mut object = None;
    fields(
        frame.ok_or(Malformed("an object does not begin as protobuf does"))?,
        |number, value| {
            if number == RAW {
                object = Some(value.message()?);
            }
            Ok(())
        },
    )?;
    object.ok_or(Malformed("a frame without an object"))
}

/// A field's number and how its value is written.
struct Tag {
    number: u32,
    kind: Kind,
}

enum Kind {
    Varint,
    Fixed(u64),
    Bytes,
}

impl Tag {
    fn of(varint: u64) -> Result<Self, Malformed> {
        let kind = match varint & 7 {
            0 => Kind::Varint,
            1 => Kind::Fixed(8),
            2 => Kind::Bytes,
            5 => Kind::Fixed(4),
            _ => return Err(Malformed("a field of an unknown wire type")),
        };
        match u32::try_from(varint >> 3) {
            Ok(number) if number > 0 => Ok(Self { number, kind }),
            _ => Err(Malformed("a field number out of range")),
        }
    }
}

/// A varint at the front of `bytes` and how many it takes; `None` where it may go on behind their end.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    let mut number = 0;
    for (at, &byte) in bytes.iter().take(MAX_VARINT).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Ok(Some((number, at + 1)));
        }
    }
    if bytes.len() < MAX_VARINT {
        Ok(None)
    } else {
        Err(Malformed("a varint longer than 64 bits"))
    }
}

/// A varint in a message that is there as a whole.
#[inline]
fn whole(rest: &mut &[u8]) -> Result<u64, Malformed> {
    // Nearly all are tags and short lengths.
    if let [byte @ ..0x80, behind @ ..] = *rest {
        *rest = behind;
        return Ok(u64::from(*byte));
    }
    let (number, taken) = varint(rest)?.ok_or(Malformed("a message ends within a number"))?;
    *rest = &rest[taken..];
    Ok(number)
}

/// The next `size` bytes.
fn cut<'a>(rest: &mut &'a [u8], size: u64) -> Result<&'a [u8], Malformed> {
    let (value, behind) = usize::try_from(size)
        .ok()
        .and_then(|it| rest.split_at_checked(it))
        .ok_or(Malformed("a field goes on behind its message's end"))?;
    *rest = behind;
    Ok(value)
}

/// What a server writes, for tests.
#[cfg(test)]
pub(crate) mod written {
    /// A field of bytes, as the server writes it.
    pub(crate) fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut size = value.len();
        while size >= 0x80 {
            bytes.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
            size >>= 7;
        }
        bytes.push(u8::try_from(size).unwrap());
        bytes.extend(value);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Malformed> {
        let mut found = Vec::new();
        fields(message, |number, value| {
            found.push((number, value));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn every_wire_type() {
        let message = [
            0x08, 0x96, 0x01, // 1: 150
            0x12, 0x02, b'h', b'i', // 2: "hi"
            0x1d, 1, 2, 3, 4, // 3: 32 bits
            0x21, 1, 2, 3, 4, 5, 6, 7, 8, // 4: 64 bits
            0xc2, 0x02, 0x00, // 40: ""
        ];
        assert_eq!(
            read(&message).unwrap(),
            [
                (1, Value::Number(150)),
                (2, Value::Bytes(b"hi")),
                (3, Value::Fixed),
                (4, Value::Fixed),
                (40, Value::Bytes(b""))
            ]
        );
        for end in 1..message.len() {
            // Cut between two fields it is a shorter message.
            let ends = [3, 7, 12, 21];
            assert_eq!(read(&message[..end]).is_ok(), ends.contains(&end), "{end}");
        }
    }

    #[test]
    fn a_negative_number_takes_ten_bytes() {
        let mut message = vec![0x08];
        message.extend([0xff; 9]);
        message.push(0x01);
        assert_eq!(read(&message).unwrap(), [(1, Value::Number(u64::MAX))]);
        message[10] = 0x81;
        message.push(0x01);
        assert!(read(&message).is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (message, why) in [
            (&[0x0b][..], "a field of an unknown wire type"),
            (&[0x02, 0x00], "a field number out of range"),
            (
                &[0x0a, 0x05, 0x00],
                "a field goes on behind its message's end",
            ),
            (&[0x08, 0x80], "a message ends within a number"),
        ] {
            assert_eq!(read(message), Err(Malformed(why)));
        }
        assert!(Value::Bytes(b"\xff").text().is_err());
        assert!(Value::Number(1).text().is_err());
        assert!(Value::Bytes(b"1").number().is_err());
        assert_eq!(Value::Bytes(b"").set_text(), Ok(None));
    }
}
