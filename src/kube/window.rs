//! What has come of an answer and is not yet read: values are parsed where they lie, and none is copied out first.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// What is read of a list at once.
pub(super) const WINDOW: usize = 128 << 10;
/// What is read of a watch at once: an event has some kilobytes, and the window of each of half a dozen watches that
/// are mostly quiet stays in memory.
const SMALL: usize = 16 << 10;
/// The largest single object taken: etcd refuses requests above 1.5 MiB, and JSON is at most a few times that.
pub(super) const MAX_VALUE: usize = 16 << 20;
/// The most that stands around the items of a list: its metadata, or a `Status`.
pub(super) const MAX_ENVELOPE: usize = 1 << 20;

/// Half a window of a list is here within this, or the answer is given up: one that drips would keep its reader for
/// ever, each single read within its deadline. Only the waiting counts, never what is done between two reads: a
/// reader that is held back by its own reader is no fault of the server.
const ENOUGH: Duration = Duration::from_secs(30);

/// A read of what has come already takes a tenth of this.
const AT_ONCE: Duration = Duration::from_micros(200);

/// How much to read before parsing goes on.
#[derive(Clone, Copy)]
pub(super) enum Wait {
    /// Whatever has come: a watch pauses between events, and each is wanted at once.
    ForAny,
    /// Half a window: a list comes as fast as it can, and a connection gives only some kilobytes at a time, with
    /// each of which a value cut off would be parsed again.
    ForMuch,
}

/// Bytes read from `R`, of which those already parsed were taken off.
pub(super) struct Window<R> {
    reader: R,
    bytes: Vec<u8>,
    /// What is read but not yet taken.
    start: usize,
    end: usize,
    /// The last read found nothing that had come already.
    waited: bool,
    /// How long half a window of a list may take.
    enough: Duration,
}

impl<R: Read> Window<R> {
    pub(super) fn new(reader: R) -> Self {
        Self::patient(reader, ENOUGH)
    }

    /// Which waits for half a window of a list at most for `enough`.
    fn patient(reader: R, enough: Duration) -> Self {
        Self {
            reader,
            enough,
            bytes: Vec::new(),
            start: 0,
            end: 0,
            waited: false,
        }
    }

    /// Whether the last read had to wait: everything that the server had sent until then was read.
    pub(super) fn waited(&self) -> bool {
        self.waited
    }

    /// What has come and is not taken.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Takes the first `count` bytes of what has come, at most all.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let from = self.start;
        self.start = self.end.min(from.saturating_add(count));
        &self.bytes[from..self.start]
    }

    /// Reads more, moving what is left to the front and growing the window when it is full; false at the end.
    pub(super) fn fill(&mut self, wait: Wait) -> io::Result<bool> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let first = match wait {
            Wait::ForAny => SMALL,
            Wait::ForMuch => WINDOW,
        };
        if self.bytes.len() - self.end < first / 2 {
            let size = if self.bytes.is_empty() {
                first
            } else {
                self.bytes.len() * 2
            };
            self.bytes.resize(size, 0);
        }
        let before = self.end;
        let enough = match wait {
            Wait::ForAny => before + 1,
            Wait::ForMuch => before + WINDOW / 2,
        };
        let asked = Instant::now();
        while self.end < enough {
            if self.end > before && asked.elapsed() >= self.enough {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "it came too slowly",
                ));
            }
            match self.reader.read(&mut self.bytes[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
                Err(err) => return Err(err),
            }
        }
        self.waited = asked.elapsed() >= AT_ONCE;
        Ok(self.end > before)
    }
}

#[cfg(test)]
mod tests {
    use super::pieces::Pieces;
    use super::*;

    #[test]
    fn a_list_that_drips_is_given_up_and_a_watch_is_not() {
        let mut list = Window::patient(Pieces(&[b'x'; 9], 1), Duration::ZERO);
        let err = list.fill(Wait::ForMuch).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
        let mut watch = Window::patient(Pieces(&[b'x'; 9], 1), Duration::ZERO);
        while watch.fill(Wait::ForAny).unwrap() {}
        assert_eq!(watch.bytes().len(), 9);
    }

    #[test]
    fn what_comes_at_once_is_never_too_slow() {
        let whole = vec![b'x'; WINDOW];
        let mut list = Window::patient(Pieces(&whole, WINDOW), Duration::ZERO);
        assert!(list.fill(Wait::ForMuch).unwrap());
        assert_eq!(list.bytes().len(), WINDOW);
        // The end is known only once it is asked for.
        assert!(!list.fill(Wait::ForMuch).unwrap());
    }
}

/// A reader for tests.
#[cfg(test)]
pub(super) mod pieces {
    use std::io::{self, Read};

    /// Gives its bytes in pieces of so many.
    pub(in crate::kube) struct Pieces<'a>(pub &'a [u8], pub usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(into.len());
            into[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
}
