//! Deliberate misbehaviour: what networks, proxies and dying servers do to a client.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use super::Connection;

/// What to do wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Promises the whole body, sends this many bytes of it, and closes as if that were all.
    CutBody(usize),
    /// The same, but the connection is reset, so that the client's read fails.
    ResetBody(usize),
    /// Sends the answer one byte at a time, with this pause before each.
    Drip(Duration),
    /// Sends these bytes in place of an answer and closes.
    Garbage(Vec<u8>),
    /// Keeps the connection open and never answers.
    Hang,
}

/// The way out to the client, with its misbehaviour.
pub(super) struct Outlet<'a> {
    connection: &'a mut Connection,
    /// How many more bytes go out, and whether a reset follows.
    cut: Option<(usize, bool)>,
    pause: Option<Duration>,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(connection: &'a mut Connection) -> Outlet<'a> {
        Outlet {
            connection,
            cut: None,
            pause: None,
        }
    }

    /// Starts to drip, if that is what was asked for.
    pub(super) fn before_head(&mut self, misbehaviour: Option<&Misbehaviour>) {
        if let Some(Misbehaviour::Drip(pause)) = misbehaviour {
            self.pause = Some(*pause);
        }
    }

    /// Counts from here to the cut, if there is to be one.
    pub(super) fn before_body(&mut self, misbehaviour: Option<&Misbehaviour>) {
        self.cut = match misbehaviour {
            Some(Misbehaviour::CutBody(after)) => Some((*after, false)),
            Some(Misbehaviour::ResetBody(after)) => Some((*after, true)),
            _ => None,
        };
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    /// Reached the end of what may be sent: closes the connection, and fails so that nothing follows.
    fn end(&mut self, reset: bool) -> io::Error {
        if reset {
            // With a linger of zero, close sends RST and drops what was not sent. The socket is closed when
            // its last owner drops it; the connection's thread ends with the error returned here.
            let _ =
                socket2::SockRef::from(self.connection.socket()).set_linger(Some(Duration::ZERO));
        } else {
            let _ = self.connection.socket().shutdown(Shutdown::Write);
        }
        io::Error::other("cut on purpose")
    }
}

impl Write for Outlet<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut allowed = buf.len();
        if let Some((left, reset)) = self.cut {
            if left == 0 {
                return Err(self.end(reset));
            }
            allowed = allowed.min(left);
        }
        if let Some(pause) = self.pause {
            allowed = allowed.min(1);
            thread::sleep(pause);
        }
        let written = self.connection.write(&buf[..allowed])?;
        if let Some((left, _)) = &mut self.cut {
            *left -= written;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.cut {
            Some((0, reset)) => Err(self.end(reset)),
            _ => self.connection.flush(),
        }
    }
}

/// Holds the connection until the client, or the server, gives up.
pub(super) fn hang(connection: &mut Connection) {
    let mut ignored = [0; 1024];
    while matches!(connection.read(&mut ignored), Ok(read) if read > 0) {}
}
