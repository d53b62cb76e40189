//! One client: its request read as far as it has come, its answer written as far as it is taken. Nothing here waits.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::str::FromStr;
use std::time::Instant;

use tiny_http::Method;

/// The longest head of a request: a probe's has 200 bytes, a scrape's 500.
const MAX_HEAD: usize = 4 << 10;

/// What a request asks for; its headers change nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    /// Without the query.
    pub(super) path: &'a str,
}

/// Why a request is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Its first line is no request of HTTP/1.
    Line,
    /// Its head is longer than [`MAX_HEAD`].
    TooLong,
}

impl Malformed {
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Line => 400,
            Self::TooLong => 431,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line => f.write_str("no request of HTTP/1"),
            Self::TooLong => write!(f, "the head is over {MAX_HEAD} bytes"),
        }
    }
}

/// Reads a head once it is complete; `None` until then.
pub(super) fn asked(head: &[u8]) -> Option<Result<Asked<'_>, Malformed>> {
    if !head.windows(4).any(|it| it == b"\r\n\r\n") {
        return (head.len() >= MAX_HEAD).then_some(Err(Malformed::TooLong));
    }
    Some(line(head).ok_or(Malformed::Line))
}

fn line(head: &[u8]) -> Option<Asked<'_>> {
    let line = head.split(|it| *it == b'\r').next()?;
    let mut words = str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_request = version.starts_with("HTTP/1.") && words.next().is_none();
    Some(Asked {
        method: Method::from_str(method).ok().filter(|_| is_request)?,
        path: target.split('?').next()?,
    })
}

/// A client and how far it is.
pub(super) struct Connection {
    socket: TcpStream,
    /// When it came.
    pub(super) since: Instant,
    stage: Stage,
}

enum Stage {
    Reading(Vec<u8>),
    Writing(Vec<u8>, usize),
    /// The answer is out. What the client still sends is thrown away: a socket that is closed with something unread
    /// takes back what was sent last.
    Parting,
    Over,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, now: Instant) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            since: now,
            stage: Stage::Reading(Vec::new()),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// True if it waits for room to write, and not for something to read.
    pub(super) fn wants_write(&self) -> bool {
        matches!(self.stage, Stage::Writing(..))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Goes on as far as it gets without waiting.
    pub(super) fn advance(
        &mut self,
        answer: &mut impl FnMut(Result<Asked<'_>, Malformed>) -> Vec<u8>,
    ) {
        match self.step(answer) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => (),
            // Whoever asked and left is no concern of ours.
            Err(_) => self.stage = Stage::Over,
            Ok(()) => (),
        }
    }

    fn step(
        &mut self,
        answer: &mut impl FnMut(Result<Asked<'_>, Malformed>) -> Vec<u8>,
    ) -> io::Result<()> {
        loop {
            match &mut self.stage {
                Stage::Reading(head) => {
                    let mut chunk = [0; 1024];
                    let count = self.socket.read(&mut chunk)?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    head.extend_from_slice(&chunk[..count]);
                    if let Some(asked) = asked(head) {
                        self.stage = Stage::Writing(answer(asked), 0);
                    }
                }
                Stage::Writing(bytes, written) if *written < bytes.len() => {
                    *written += self.socket.write(&bytes[*written..])?;
                }
                Stage::Writing(..) => {
                    self.socket.shutdown(Shutdown::Write)?;
                    self.stage = Stage::Parting;
                }
                Stage::Parting => {
                    let mut bin = [0; 1024];
                    if self.socket.read(&mut bin)? == 0 {
                        self.stage = Stage::Over;
                    }
                }
                Stage::Over => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        assert_eq!(asked(b""), None);
        assert_eq!(asked(b"GET / HTTP/1.1\r\nHost: x\r\n"), None);
        let path = "/readyz";
        assert_eq!(
            asked(b"GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n"),
            Some(Ok(Asked {
                method: Method::Get,
                path
            }))
        );
        assert_eq!(
            asked(b"HEAD /readyz HTTP/1.0\r\n\r\nbody"),
            Some(Ok(Asked {
                method: Method::Head,
                path
            }))
        );
    }

    #[test]
    fn what_is_no_request_is_told_so() {
        for head in [
            "\r\n\r\n",
            "GET\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1 x\r\n\r\n",
            "\u{16}\u{3}\u{1}\r\n\r\n",
        ] {
            assert_eq!(
                asked(head.as_bytes()),
                Some(Err(Malformed::Line)),
                "{head:?}"
            );
        }
        assert_eq!(asked(&[0xff; MAX_HEAD]), Some(Err(Malformed::TooLong)));
    }
}
