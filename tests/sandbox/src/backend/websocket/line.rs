//! The connection under a WebSocket: one thread reads it, several write to it, whole frames at a time.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::http::Connection;

use super::wire;

/// The side that is written to.
#[derive(Debug)]
pub(super) struct Outlet {
    connection: Mutex<Connection>,
    /// The same, for those who end it while somebody waits to send.
    control: Connection,
    /// Nothing is sent any more, and whoever sends does not notice.
    muted: AtomicBool,
    /// What arrives is thrown away.
    deaf: AtomicBool,
}

impl Outlet {
    pub(super) fn new(connection: Connection) -> Arc<Outlet> {
        Arc::new(Outlet {
            control: connection.clone(),
            connection: Mutex::new(connection),
            muted: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
        })
    }

    /// Sends these bytes, with nothing of others between them.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.muted.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        connection.write_all(bytes)
    }

    /// Sends a close frame, after which nothing may be sent.
    pub(super) fn close(&self, code: u16, reason: &str) {
        let _ = self.send(&wire::close(code, reason));
        self.mute();
    }

    /// Sends nothing from now on.
    pub(super) fn mute(&self) {
        self.muted.store(true, Ordering::SeqCst);
    }

    /// Neither hears nor says anything from now on, as if every packet were lost.
    pub(super) fn fall_silent(&self) {
        self.mute();
        self.deaf.store(true, Ordering::SeqCst);
    }

    /// Ends the connection with a reset.
    pub(super) fn reset(&self) {
        self.mute();
        // With a linger of zero the reset goes out when the socket is closed, which is when its reader ends. Only
        // the reading side is shut down: anything else would send the ordinary end first.
        let _ = socket2::SockRef::from(self.control.socket()).set_linger(Some(Duration::ZERO));
        let _ = self.control.socket().shutdown(Shutdown::Read);
    }

    /// Tells the peer that nothing follows, and goes on reading.
    pub(super) fn end_writing(&self) {
        let _ = self.control.socket().shutdown(Shutdown::Write);
    }

    /// Ends the connection without a word.
    pub(super) fn hang_up(&self) {
        self.mute();
        let _ = self.control.socket().shutdown(Shutdown::Both);
    }
}

/// The side that is read, and through which a library answers pings and closes.
#[derive(Debug)]
pub(super) struct Line {
    connection: Connection,
    outlet: Arc<Outlet>,
}

impl Line {
    pub(super) fn new(connection: Connection, outlet: Arc<Outlet>) -> Line {
        Line { connection, outlet }
    }
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.connection.read(buf)?;
            if read == 0 || !self.outlet.deaf.load(Ordering::SeqCst) {
                return Ok(read);
            }
        }
    }
}

impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // A library that still has something to say after the close frame must not learn of it: it would take it
        // for the end, before the peer's own close frame has been read.
        if !self.outlet.muted.load(Ordering::SeqCst) {
            self.outlet.send(buf)?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
