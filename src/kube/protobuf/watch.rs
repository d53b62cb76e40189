//! The events of a watch: each a message of its own behind four bytes that say its length.
//!
//! The framing: <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>; WatchEvent and
//! RawExtension: k8s.io/apimachinery/pkg/apis/meta/v1 and pkg/runtime, generated.proto.

use std::io::Read;

use super::super::stream::StreamError;
use super::super::window::{MAX_VALUE, Wait, Window};
use super::{Malformed, fields};

/// What has happened to an object.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    pub kind: &'a str,
    /// The object in the frame that goes around every object, or the `Status` of an error.
    pub framed: &'a [u8],
}

/// The events of a watch, read from `R`.
pub struct Events<R>(Window<R>);

/// How many bytes say how long an event is.
const LENGTH: usize = size_of::<u32>();

impl<R: Read> Events<R> {
    /// Starts to read.
    pub fn new(reader: R) -> Self {
        Self(Window::new(reader))
    }

    /// Hands the next event to `read`; `None` at the end.
    pub fn next<T>(
        &mut self,
        read: impl FnOnce(&Event<'_>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, StreamError> {
        let length = loop {
            if let Some(length) = self.0.bytes().first_chunk() {
                break u32::from_be_bytes(*length);
            }
            if self.0.bytes().is_empty() {
                if !self.0.fill(Wait::ForAny)? {
                    return Ok(None);
                }
            } else {
                self.more()?;
            }
        };
        let whole = LENGTH.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        if whole > MAX_VALUE {
            return Err(StreamError::TooLarge);
        }
        while self.0.bytes().len() < whole {
            self.more()?;
        }
        let event = Event::read(&self.0.take(whole)[LENGTH..])?;
        Ok(Some(read(&event)?))
    }

    /// Whether all that the server had sent is read.
    pub(in crate::kube) fn caught_up(&self) -> bool {
        self.0.waited() && self.0.bytes().is_empty()
    }

    fn more(&mut self) -> Result<(), StreamError> {
        if self.0.fill(Wait::ForAny)? {
            Ok(())
        } else {
            Err(StreamError::Truncated)
        }
    }
}

impl<'a> Event<'a> {
    /// Reads meta/v1 WatchEvent.
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        const TYPE: u32 = 1;
        const OBJECT: u32 = 2;
        const RAW: u32 = 1;
        let mut event = Self {
            kind: "",
            framed: b"",
        };
        fields(message, |number, value| {
            match number {
                TYPE => event.kind = value.text()?,
                OBJECT => fields(value.message()?, |number, value| {
                    if number == RAW {
                        event.framed = value.message()?;
                    }
                    Ok(())
                })?,
                _ => (),
            }
            Ok(())
        })?;
        Ok(event)
    }

    /// The object as one message.
    pub fn object(&self) -> Result<&'a [u8], Malformed> {
        super::object(self.framed)
    }

    /// The object's resource version, which is all that a bookmark has.
    pub fn resource_version(&self) -> Result<&'a str, Malformed> {
        const METADATA: u32 = 1;
        const RESOURCE_VERSION: u32 = 6;
        let mut version = "";
        fields(self.object()?, |number, value| {
            if number == METADATA {
                fields(value.message()?, |number, value| {
                    if number == RESOURCE_VERSION {
                        version = value.text()?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        if version.is_empty() {
            return Err(Malformed("an object without a resource version"));
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::window::pieces::Pieces;
    use super::super::MAGIC;
    use super::super::written::field;
    use super::*;

    fn framed(raw: &[u8]) -> Vec<u8> {
        [MAGIC, &field(1, b""), &field(2, raw), &field(3, b"")].concat()
    }

    fn event(kind: &str, object: &[u8]) -> Vec<u8> {
        let message = [field(1, kind.as_bytes()), field(2, &field(1, object))].concat();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&length[..], &message].concat()
    }

    fn read(bytes: &[u8], step: usize) -> Result<Vec<(String, Vec<u8>)>, StreamError> {
        let mut events = Events::new(Pieces(bytes, step));
        let mut found = Vec::new();
        while let Some(it) =
            events.next(|it| Ok((it.kind.to_owned(), it.object().unwrap_or(b"none").to_vec())))?
        {
            found.push(it);
        }
        Ok(found)
    }

    #[test]
    fn events_are_read_whatever_the_pieces_they_come_in() {
        let large = vec![b'x'; 500_000];
        let text = [
            event("ADDED", &framed(b"a")),
            event("MODIFIED", &framed(&large)),
            event("BOOKMARK", &framed(b"")),
            event("DELETED", b"{}"),
        ]
        .concat();
        for step in [1, 3, 7, 4096, 1 << 20] {
            let found = read(&text, step).unwrap();
            let found: Vec<(&str, &[u8])> = found.iter().map(|it| (&*it.0, &*it.1)).collect();
            let expected = [
                ("ADDED", &b"a"[..]),
                ("MODIFIED", &large),
                ("BOOKMARK", b""),
                ("DELETED", b"none"),
            ];
            assert_eq!(found, expected, "step {step}");
        }
    }

    /// Gives one piece a read, each after a moment.
    struct Slow<'a>(&'a [&'a [u8]]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Ok(0);
            };
            std::thread::sleep(std::time::Duration::from_millis(1));
            into[..first.len()].copy_from_slice(first);
            self.0 = rest;
            Ok(first.len())
        }
    }

    #[test]
    fn it_has_caught_up_once_it_waited_and_nothing_is_left() {
        let one = event("ADDED", &framed(b"a"));
        let (two, half) = ([&one[..], &one].concat(), one.len() / 2);
        let pieces = [&two[..], &one[..half], &one[half..]];
        let mut events = Events::new(Slow(&pieces));
        let caught_up = [(); 3].map(|()| {
            events.next(|_| Ok(())).unwrap().unwrap();
            events.caught_up()
        });
        assert_eq!(caught_up, [false, true, true]);
        let mut events = Events::new(Pieces(&two, two.len()));
        events.next(|_| Ok(())).unwrap();
        assert!(!events.caught_up(), "one is left");
    }

    #[test]
    fn a_watch_that_breaks_off_says_so() {
        let text = event("ADDED", &framed(b"a"));
        for end in 1..text.len() {
            let outcome = read(&text[..end], 5);
            assert!(matches!(outcome, Err(StreamError::Truncated)), "{end}");
        }
        assert_eq!(read(b"", 5).unwrap(), []);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        let huge = read(&[0xff, 0xff, 0xff, 0xff, 0], 5);
        assert!(matches!(huge, Err(StreamError::TooLarge)));
        let odd = read(&[0, 0, 0, 1, 0x0f], 5);
        assert!(matches!(odd, Err(StreamError::Protobuf(_))));
    }

    #[test]
    fn what_a_server_sends() {
        // The end of Kubernetes 1.20.2 to a watch from a version long gone, word for word.
        let gone = b"\0\0\0\x65\x0a\x05ERROR\x12\x5c\x0a\x5ak8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12\x42\x0a\x06\x0a\0\
            \x12\0\x1a\0\x12\x07Failure\x1a\x23too old resource version: 1 (89229)\"\x07Expired\x30\x9a\x03\x1a\0\"\0";
        let read = Events::new(&gone[..]).next(|event| {
            assert_eq!(event.kind, "ERROR");
            Ok(super::super::status(event.framed))
        });
        let status = read.unwrap().flatten().unwrap();
        assert_eq!(
            (status.code, status.reason.as_deref()),
            (Some(410), Some("Expired"))
        );
    }

    #[test]
    fn a_bookmark_has_a_version_and_no_more() {
        let object = framed(&field(1, &field(6, b"4711")));
        let event = |framed| Event {
            kind: "BOOKMARK",
            framed,
        };
        assert_eq!(event(&object).resource_version(), Ok("4711"));
        let unset = framed(b"");
        assert!(event(&unset).resource_version().is_err());
        assert!(event(b"k8s\0").object().is_err());
    }
}
