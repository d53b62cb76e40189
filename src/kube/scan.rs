//! JSON read by hand, for the one shape that comes by the ten thousand each minute: usage.
//!
//! serde_json looks at every byte of a string it keeps three times and asks for each member's name in a table; this
//! reads what the API writes nearly always, and gives up on anything else (`None`): an escape, a character that may
//! not stand there, the end of the bytes. Whoever gives up lets serde_json decide. What is skipped is only followed
//! to its end, not checked: it comes from a JSON encoder.

use memchr::memchr2;

use crate::plain::plain_length;

/// A place in JSON text.
pub struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// The beginning of `bytes`, which may go on after the value.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Reads an object: `member` gets each name and reads or skips the value.
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        if self.accept(b'}')? {
            return Some(());
        }
        loop {
            self.space()?;
            let name = self.string()?;
            self.expect(b':')?;
            member(self, name)?;
            if self.accept(b'}')? {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    /// Reads an array: `element` reads or skips each.
    pub fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'[')?;
        if self.accept(b']')? {
            return Some(());
        }
        loop {
            element(self)?;
            if self.accept(b']')? {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    /// Reads a string.
    #[inline]
    pub fn text(&mut self) -> Option<&'a str> {
        self.space()?;
        str::from_utf8(self.string()?).ok()
    }

    /// Skips a value of any kind.
    pub fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        self.space()?;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => self.skip_scalar()?,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// The bytes of a string in which nothing is escaped, at its opening quote.
    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?.strip_prefix(b"\"")?;
        let end = plain_length(rest);
        if *rest.get(end)? != b'"' {
            return None;
        }
        self.at += end + 2;
        Some(&rest[..end])
    }

    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..)?;
            let end = memchr2(b'"', b'\\', rest)?;
            if rest[end] == b'"' {
                self.at += end + 1;
                return Some(());
            }
            self.at += end + 2;
        }
    }

    /// A number, `true`, `false` or `null`; something must stand behind it, or it may go on.
    fn skip_scalar(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|it| !matches!(it, b'0'..=b'9' | b'a'..=b'z' | b'+' | b'-' | b'.' | b'E'))?;
        if end == 0 {
            return None;
        }
        self.at += end;
        Some(())
    }

    #[inline]
    fn space(&mut self) -> Option<()> {
        while matches!(self.bytes.get(self.at)?, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        Some(())
    }

    #[inline]
    fn accept(&mut self, wanted: u8) -> Option<bool> {
        self.space()?;
        let is = *self.bytes.get(self.at)? == wanted;
        self.at += usize::from(is);
        Some(is)
    }

    #[inline]
    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.accept(wanted)?.then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(text: &str) -> Option<&str> {
        let mut scan = Scan::new(text.as_bytes());
        scan.skip()?;
        text.get(scan.position()..)
    }

    #[test]
    fn any_value_is_skipped_to_its_end() {
        for value in [
            r#""text""#,
            r#""quote \" and \\""#,
            "-1.5e+10",
            "true",
            "null",
            "{}",
            "[]",
            r#"{"a":[1,{"b":"}]"}],"c":null}"#,
            "[ [ ] , { } ]",
            r#"{"\u0041":"\u00e9é"}"#,
        ] {
            assert_eq!(skipped(&format!(" {value},rest")), Some(",rest"), "{value}");
            let bare: usize = value.len() - 1;
            if value.is_char_boundary(bare) {
                assert_eq!(skipped(&value[..bare]), None, "{value}");
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        let text = |it: &str| Scan::new(it.as_bytes()).text().map(str::to_owned);
        assert_eq!(text(r#" "plain é""#).as_deref(), Some("plain é"));
        for odd in [r#""a\n""#, "\"a\nb\"", "\"open", "null", "1", ""] {
            assert_eq!(text(odd), None, "{odd:?}");
        }
        assert_eq!(Scan::new(b"\"\xff\"").text(), None);
    }

    #[test]
    fn objects_and_arrays_are_walked() {
        let mut scan = Scan::new(br#"{ "a" : [ "x" , "y" ] , "b":{} }!"#);
        let mut found = Vec::new();
        scan.object(|it, name| {
            if name != b"a" {
                return it.skip();
            }
            it.array(|it| {
                found.push(it.text()?);
                Some(())
            })
        })
        .unwrap();
        assert_eq!((found, scan.position()), (vec!["x", "y"], 33 - 1));
        for broken in ["{", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1,}"#, "[1 2]"] {
            let mut scan = Scan::new(broken.as_bytes());
            let read = scan.object(|it, _| it.skip());
            assert!(read.is_none(), "{broken}");
        }
    }
}
