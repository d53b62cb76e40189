//! A body that is written while it is made.

use std::io::{self, Write};

use super::misbehave::Outlet;

/// Where a streaming body is written to. Each write is a chunk of its own and leaves at once, so what is made of
/// small pieces is best written through a buffer.
pub struct Chunks<'a> {
    outlet: Outlet<'a>,
    /// An HTTP/1.0 client knows no chunks: its body ends with the connection.
    chunked: bool,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(outlet: Outlet<'a>, chunked: bool) -> Chunks<'a> {
        Chunks { outlet, chunked }
    }

    /// Whether there is nobody left to write to: the client has gone, or the server is stopping.
    pub fn is_closed(&self) -> bool {
        self.outlet.connection().is_closed()
    }

    /// Marks the end of the body.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.chunked {
            self.outlet.write_all(b"0\r\n\r\n")?;
        }
        self.outlet.flush()
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.chunked {
            // One write to the socket for a whole chunk: one packet where it fits.
            let mut chunk = format!("{:x}\r\n", buf.len()).into_bytes();
            chunk.extend_from_slice(buf);
            chunk.extend_from_slice(b"\r\n");
            self.outlet.write_all(&chunk)?;
        } else {
            self.outlet.write_all(buf)?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.outlet.flush()
    }
}
