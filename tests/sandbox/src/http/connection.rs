//! One accepted connection, with its bytes counted.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Transport;

/// Bytes that went over a server's connections, the protocol's own included.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    /// Bytes read from clients.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes written to clients.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// A client's connection. It is closed when the server stops, whoever holds it.
#[derive(Clone, Debug)]
pub struct Connection {
    stream: Arc<TcpStream>,
    transport: Arc<dyn Transport>,
    traffic: Arc<Traffic>,
    /// Read from the socket already, but not yet by whoever reads from here.
    pending: Vec<u8>,
}

impl Connection {
    pub(super) fn new(
        stream: Arc<TcpStream>,
        transport: Arc<dyn Transport>,
        traffic: Arc<Traffic>,
    ) -> Connection {
        Connection {
            stream,
            transport,
            traffic,
            pending: Vec::new(),
        }
    }

    /// The same connection, whose next bytes are these.
    pub(super) fn with_pending(self, pending: Vec<u8>) -> Connection {
        Connection { pending, ..self }
    }

    /// The socket, for its timeouts and to close it. What is read or written there is not counted.
    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether the peer has closed its side, or the server is stopping. Never blocks.
    pub fn is_closed(&self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let closed = match self.stream.peek(&mut [0]) {
            Ok(read) => read == 0,
            Err(err) => err.kind() != io::ErrorKind::WouldBlock,
        };
        self.stream.set_nonblocking(false).is_err() || closed
    }
}

impl Read for Connection {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.pending.is_empty() {
            let read = self.pending.len().min(buf.len());
            buf[..read].copy_from_slice(&self.pending[..read]);
            self.pending.drain(..read);
            return Ok(read);
        }
        let read = self.transport.read(buf)?;
        self.traffic
            .received
            .fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Write for Connection {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.transport.write(buf)?;
        self.traffic
            .sent
            .fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.stream).flush()
    }
}
