//! JSON text in the making, for samples: what is constant goes in as it stands, and only what might need it is looked
//! through for escapes.

use std::io::{self, Write};

use serde::Serialize;

use crate::plain::copy_plain;

/// JSON text.
///
/// It is written into memory that is there already: a constant piece then costs a few moves instead of a call.
#[derive(Debug, Default)]
pub struct Json {
    room: Vec<u8>,
    /// How much of it is text.
    length: usize,
}

/// What the room grows by at least.
const GROWTH: usize = 4 << 10;

/// Something that is written as one JSON value.
pub trait Sample {
    /// Appends it.
    fn write(&self, json: &mut Json);
}

impl<T: Serialize> Sample for T {
    fn write(&self, json: &mut Json) {
        json.value(self);
    }
}

impl Json {
    /// The text so far.
    pub fn bytes(&self) -> &[u8] {
        &self.room[..self.length]
    }

    /// Begins anew, with the same memory.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends text that is JSON as it stands.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "only where the length is known it is a few moves"
    )]
    pub fn raw(&mut self, text: &str) {
        self.append(text.as_bytes());
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "see raw")]
    fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Room for so many bytes behind the text.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "see raw")]
    fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.length + length;
        if end > self.room.len() {
            self.grow(end);
        }
        &mut self.room[self.length..end]
    }

    #[cold]
    fn grow(&mut self, end: usize) {
        self.room.resize((self.room.len() * 2).max(end + GROWTH), 0);
    }

    /// Appends a string.
    #[inline]
    pub fn string(&mut self, text: &str) {
        let length = text.len() + 2;
        if let [open, room @ .., close] = self.room(length)
            && copy_plain(text.as_bytes(), room)
        {
            *open = b'"';
            *close = b'"';
            self.length += length;
        } else {
            self.value(text);
        }
    }

    /// Appends a string or `null`.
    #[inline]
    pub fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None => self.raw("null"),
        }
    }

    /// Appends a whole number.
    #[inline]
    pub fn integer(&mut self, number: i64) {
        self.append(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Appends millionths of a number, exactly: `2386041` as `2.386041`.
    #[inline]
    pub fn millionths(&mut self, number: i64) {
        self.decimal::<6>(number);
    }

    /// Appends billionths of a number, exactly.
    #[inline]
    pub fn billionths(&mut self, number: i64) {
        self.decimal::<9>(number);
    }

    /// Appends a number of which `number` is so many decimal places.
    fn decimal<const PLACES: u32>(&mut self, number: i64) {
        let scale = const { 10_i64.pow(PLACES) };
        let (whole, rest) = (number / scale, (number % scale).unsigned_abs());
        if number < 0 && whole == 0 {
            self.raw("-");
        }
        self.integer(whole);
        if rest == 0 {
            return;
        }
        // A digit in front keeps the zeros behind the point.
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(rest + scale.unsigned_abs());
        self.raw(".");
        self.append(digits[1..].trim_end_matches('0').as_bytes());
    }

    /// Appends any value by serde.
    pub fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        // Writing plain data to memory does not fail.
        let _ = serde_json::to_writer(self, value);
    }
}

impl Write for Json {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::default();
        write(&mut json);
        String::from_utf8(json.bytes().to_vec()).unwrap()
    }

    #[test]
    fn strings_are_escaped_where_they_must_be() {
        for text in [
            "",
            "web-7f9c",
            "é\u{2028}\u{7f}",
            "\"",
            "\\",
            "\n",
            "\u{1}",
            "a\tb",
        ] {
            let mut json = Json::default();
            json.string(text);
            assert_eq!(json.bytes(), serde_json::to_vec(text).unwrap(), "{text:?}");
        }
        assert_eq!(written(|it| it.optional(None)), "null");
    }

    #[test]
    fn whole_numbers() {
        for number in [0, 7, 10, -1, 1234, i64::MAX, i64::MIN] {
            assert_eq!(written(|it| it.integer(number)), number.to_string());
        }
    }

    #[test]
    fn millicores_are_exact_to_the_nanocore() {
        for (nanos, text) in [
            (0, "0"),
            (100_000_000, "100"),
            (1, "0.000001"),
            (-1, "-0.000001"),
            (-1_500_000, "-1.5"),
            (2_386_041, "2.386041"),
            (123_456_789_012, "123456.789012"),
            (1_500_000, "1.5"),
            (i64::MAX, "9223372036854.775807"),
            (i64::MIN, "-9223372036854.775808"),
        ] {
            assert_eq!(written(|it| it.millionths(nanos)), text);
        }
    }

    #[test]
    fn seconds_are_exact_to_the_nanosecond() {
        for (nanos, text) in [
            (30_000_000_000, "30"),
            (60_500_000_000, "60.5"),
            (1, "0.000000001"),
            (15_030_000_001, "15.030000001"),
        ] {
            assert_eq!(written(|it| it.billionths(nanos)), text);
        }
    }
}
