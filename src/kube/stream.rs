//! JSON values parsed as they come off the wire: no list, page or watch is ever held whole.
//!
//! serde_json reads from a slice several times faster than from a reader, and only from a slice without copying
//! strings. So the bytes are read into a window, each value is parsed in place, and a value that the window cuts
//! off is parsed again once more of it has come. The window is many times larger than a value, so little is
//! parsed twice.

use std::io::{self, Read};

use serde::de::IgnoredAny;
use serde_json::Deserializer;
use serde_json::de::SliceRead;

use super::protobuf::Malformed;
use super::window::{MAX_ENVELOPE, MAX_VALUE, Wait, Window};

/// A deserializer over the window, from which a value may borrow its strings.
pub type Source<'de> = Deserializer<SliceRead<'de>>;

/// Parses the value at the start of `window` by serde_json; returns how many bytes it takes.
pub fn parse(
    window: &[u8],
    read: impl FnOnce(&mut Source<'_>) -> serde_json::Result<()>,
) -> serde_json::Result<usize> {
    let mut source = Deserializer::from_slice(window);
    read(&mut source)?;
    // The only road to a deserializer's position is through its stream.
    Ok(source.into_iter::<IgnoredAny>().byte_offset())
}

/// Why a stream ended early.
#[derive(Debug)]
pub enum StreamError {
    /// The connection failed.
    Io(io::Error),
    /// A value is not what was expected.
    Json(serde_json::Error),
    /// The same in protobuf.
    Protobuf(Malformed),
    /// A single value larger than the bound of 16 MiB, or an envelope larger than 1 MiB.
    TooLarge,
    /// The answer ended in the middle of a value.
    Truncated,
}

impl From<io::Error> for StreamError {
    fn from(err: io::Error) -> Self {
        Self::Io(err)
    }
}

impl From<Malformed> for StreamError {
    fn from(err: Malformed) -> Self {
        Self::Protobuf(err)
    }
}

impl From<StreamError> for super::Error {
    fn from(err: StreamError) -> Self {
        match err {
            StreamError::Io(err) => err.into(),
            StreamError::Json(err) => Self::Decode(err.to_string()),
            StreamError::Protobuf(err) => Self::Decode(err.to_string()),
            StreamError::TooLarge => Self::Decode("an object larger than 16 MiB".to_owned()),
            StreamError::Truncated => Self::Cut("it ended within an object".to_owned()),
        }
    }
}

/// Values one after the other, read from `R`.
pub struct Stream<R>(Window<R>);

impl<R: Read> Stream<R> {
    /// Starts to read.
    pub fn new(reader: R) -> Self {
        Self(Window::new(reader))
    }

    /// Hands the next value of a sequence (a watch) to `read`, which gets bytes that begin with it and returns how
    /// many it takes, or serde_json's error at their end where it takes more; false at the end.
    pub fn next(
        &mut self,
        read: impl FnMut(&[u8]) -> serde_json::Result<usize>,
    ) -> Result<bool, StreamError> {
        if self.peek_token(Wait::ForAny)?.is_none() {
            return Ok(false);
        }
        self.value(Wait::ForAny, read)?;
        Ok(true)
    }

    /// Whether all that the server had sent is read.
    pub(super) fn caught_up(&self) -> bool {
        self.0.waited() && self.0.bytes().trim_ascii().is_empty()
    }

    /// Hands every element of the top-level array `items` to `read`, as [`Stream::next`] does, and returns all the
    /// rest of the object, with `[]` in the place of the items.
    pub fn items(
        &mut self,
        mut read: impl FnMut(&[u8]) -> serde_json::Result<usize>,
    ) -> Result<Vec<u8>, StreamError> {
        let mut envelope = Envelope::default();
        loop {
            if self.0.bytes().is_empty() && !self.0.fill(Wait::ForMuch)? {
                return if envelope.complete() {
                    Ok(envelope.bytes)
                } else {
                    Err(StreamError::Truncated)
                };
            }
            let (taken, at_items) = envelope.take(self.0.bytes());
            self.0.take(taken);
            if envelope.bytes.len() > MAX_ENVELOPE {
                return Err(StreamError::TooLarge);
            }
            if at_items {
                self.elements(&mut read)?;
            }
        }
    }

    /// Reads elements up to the array's closing bracket, which stays in the window.
    fn elements(
        &mut self,
        read: &mut impl FnMut(&[u8]) -> serde_json::Result<usize>,
    ) -> Result<(), StreamError> {
        loop {
            match self.peek_token(Wait::ForMuch)? {
                None => return Err(StreamError::Truncated),
                Some(b']') => return Ok(()),
                Some(b',') => {
                    self.0.take(1);
                }
                Some(_) => self.value(Wait::ForMuch, &mut *read)?,
            }
        }
    }

    /// Parses one value at the start of the window, reading more until it is whole.
    fn value(
        &mut self,
        wait: Wait,
        mut read: impl FnMut(&[u8]) -> serde_json::Result<usize>,
    ) -> Result<(), StreamError> {
        loop {
            match read(self.0.bytes()) {
                Ok(taken) => {
                    self.0.take(taken);
                    return Ok(());
                }
                Err(err) if err.is_eof() => {
                    if self.0.bytes().len() >= MAX_VALUE {
                        return Err(StreamError::TooLarge);
                    }
                    if !self.0.fill(wait)? {
                        return Err(StreamError::Truncated);
                    }
                }
                Err(err) => return Err(StreamError::Json(err)),
            }
        }
    }

    /// The first byte that is not white space, which stays in the window; `None` at the end.
    fn peek_token(&mut self, wait: Wait) -> Result<Option<u8>, StreamError> {
        loop {
            let bytes = self.0.bytes();
            let space = |it: &u8| matches!(it, b' ' | b'\t' | b'\n' | b'\r');
            match bytes.iter().position(|it| !space(it)) {
                Some(at) => {
                    let token = bytes[at];
                    self.0.take(at);
                    return Ok(Some(token));
                }
                None => {
                    self.0.take(usize::MAX);
                }
            }
            if !self.0.fill(wait)? {
                return Ok(None);
            }
        }
    }
}

/// The bytes of a list around its items, and where in it the reading stands.
#[derive(Default)]
struct Envelope {
    bytes: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// Where the last string at depth 1 begins, while only a colon and white space have come since it ended.
    key: Option<usize>,
    key_ended: bool,
}

impl Envelope {
    /// Takes bytes up to and with the bracket that opens `items`; returns how many, and whether it stands there.
    fn take(&mut self, input: &[u8]) -> (usize, bool) {
        for (at, &byte) in input.iter().enumerate() {
            self.bytes.push(byte);
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.in_string = false;
                        self.key_ended = true;
                    }
                    _ => (),
                }
                continue;
            }
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.key = (self.depth == 1).then_some(self.bytes.len() - 1);
                    self.key_ended = false;
                }
                b'[' if self.depth == 1 && self.key_is_items() => {
                    self.depth += 1;
                    return (at + 1, true);
                }
                b'{' | b'[' => {
                    self.depth += 1;
                    self.key = None;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.key = None;
                }
                b':' | b' ' | b'\t' | b'\n' | b'\r' => (),
                _ => self.key = None,
            }
        }
        (input.len(), false)
    }

    fn key_is_items(&self) -> bool {
        self.key_ended
            && self
                .key
                .is_some_and(|at| self.bytes[at..].starts_with(b"\"items\""))
    }

    fn complete(&self) -> bool {
        self.depth == 0 && !self.in_string && !self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::WINDOW;
    use super::super::window::pieces::Pieces;
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Item<'a> {
        name: &'a str,
    }

    fn names(text: &str, step: usize) -> Result<(Vec<String>, String), StreamError> {
        let mut names = Vec::new();
        let envelope = Stream::new(Pieces(text.as_bytes(), step)).items(|window| {
            parse(window, |source| {
                names.push(Item::deserialize(source)?.name.to_owned());
                Ok(())
            })
        })?;
        Ok((names, String::from_utf8(envelope).unwrap()))
    }

    #[test]
    fn items_are_read_whatever_the_pieces_they_come_in() {
        let text = r#" {"kind":"PodList","metadata":{"items":["no"],"resourceVersion":"7","x":"\"items\":["},
            "items": [ {"name":"a","more":{"items":[1,2]}} , {"more":"]}","name":"b"}],"after":"items"} "#;
        for step in [1, 2, 3, 7, 64, 4096] {
            let (found, envelope) = names(text, step).unwrap();
            assert_eq!(found, ["a", "b"], "step {step}");
            let rest: serde_json::Value = serde_json::from_str(&envelope).unwrap();
            assert_eq!(rest["metadata"]["resourceVersion"], "7");
            assert_eq!(rest["items"].as_array().unwrap().len(), 0);
            assert_eq!(rest["after"], "items");
        }
    }

    #[test]
    fn no_items_at_all_is_an_empty_list() {
        for text in [
            r#"{"kind":"PodList","items":[]}"#,
            r#"{"kind":"PodList","items":null}"#,
            r#"{"kind":"PodList"}"#,
        ] {
            assert_eq!(names(text, 3).unwrap().0.len(), 0, "{text}");
        }
    }

    #[test]
    fn an_answer_that_breaks_off_is_told_from_a_whole_one() {
        let text = r#"{"kind":"PodList","items":[{"name":"a"},{"name":"b"}]}"#;
        for end in 0..text.len() {
            assert!(
                matches!(names(&text[..end], 5), Err(StreamError::Truncated)),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        assert!(matches!(
            names(r#"{"items":[{"name":7}]}"#, 5),
            Err(StreamError::Json(_))
        ));
        assert!(matches!(
            names(r#"{"items":[}"#, 5),
            Err(StreamError::Json(_))
        ));
        assert!(matches!(
            names("<html>", 5),
            Err(StreamError::Truncated) | Ok(_)
        ));
    }

    #[test]
    fn a_value_larger_than_the_window_is_read() {
        let long = "x".repeat(3 * WINDOW);
        let text = format!(r#"{{"items":[{{"name":"{long}"}},{{"name":"b"}}]}}"#);
        let (found, _) = names(&text, 10_000).unwrap();
        assert_eq!((found[0].len(), found[1].as_str()), (3 * WINDOW, "b"));
    }

    #[test]
    fn a_sequence_is_read_one_value_at_a_time() {
        let mut stream = Stream::new(Pieces(b"{\"name\":\"a\"}\n{\"name\":\"b\"}\n", 4));
        let mut found = Vec::new();
        while stream
            .next(|window| {
                parse(window, |source| {
                    found.push(Item::deserialize(source)?.name.to_owned());
                    Ok(())
                })
            })
            .unwrap()
        {}
        assert_eq!(found, ["a", "b"]);
    }

    #[test]
    fn a_sequence_that_breaks_off_says_so() {
        let mut stream = Stream::new(Pieces(b"{\"name\":\"a", 4));
        assert!(matches!(
            stream.next(|window| parse(window, |source| Item::deserialize(source).map(drop))),
            Err(StreamError::Truncated)
        ));
    }
}
