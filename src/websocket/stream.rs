//! The bytes below the WebSocket: a socket that never blocks, with TLS or without.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::frames::MAX_FRAME;
use crate::thread::waker::Waiter;

/// Bytes that may come before a message is complete: some times the longest. What is read of fragments that hold
/// nothing never becomes too long a message, and is read on and on.
const MOST: usize = 4 * MAX_FRAME;

/// More than [`MOST`] came without a message.
#[derive(Debug)]
pub struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it sent 1 MiB without a complete message")
    }
}

impl std::error::Error for Endless {}

/// A connection to the backend, or through a proxy.
#[derive(Debug)]
pub struct Stream {
    layer: Layer,
    /// Bytes that came since the last message.
    unfinished: usize,
    /// The last write found no room.
    is_full: bool,
}

#[derive(Debug)]
enum Layer {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Without TLS.
    pub fn plain(socket: TcpStream) -> Self {
        Self {
            layer: Layer::Plain(socket),
            unfinished: 0,
            is_full: false,
        }
    }

    /// With TLS; the handshake is done before `deadline`. Its error says what is wrong with the server.
    pub fn secure(
        mut socket: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        waiter: &Waiter<'_>,
        deadline: Instant,
    ) -> io::Result<Self> {
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            match tls.complete_io(&mut socket) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    waiter.wait_for(socket.as_fd(), tls.wants_write(), deadline)?;
                }
                Err(err) => return Err(err),
                Ok(_) => (),
            }
        }
        Ok(Self {
            layer: Layer::Tls(Box::new(StreamOwned::new(tls, socket))),
            unfinished: 0,
            is_full: false,
        })
    }

    /// What came so far made a message.
    pub fn finished(&mut self) {
        self.unfinished = 0;
    }

    /// True if bytes wait for room in the socket.
    pub fn wants_write(&self) -> bool {
        let of_tls = match &self.layer {
            Layer::Plain(_) => false,
            Layer::Tls(tls) => tls.conn.wants_write(),
        };
        self.is_full || of_tls
    }

    /// What to wait for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }

    fn socket(&self) -> &TcpStream {
        match &self.layer {
            Layer::Plain(socket) => socket,
            Layer::Tls(tls) => &tls.sock,
        }
    }

    /// Says that nothing follows, and throws away what still comes until the peer ends too or `deadline`: a socket
    /// that is closed with something unread takes back what was sent last, and the peer never learns why.
    pub fn end(&mut self, waiter: &Waiter<'_>, deadline: Instant) {
        if let Layer::Tls(tls) = &mut self.layer {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        let _ = self.socket().shutdown(Shutdown::Write);
        let mut bin = [0; 4096];
        while Instant::now() < deadline {
            match self.socket().read(&mut bin) {
                Ok(1..) => (),
                // At the stop too: the deadline is short.
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    waiter.wait(self.fd(), false, deadline);
                }
                _ => return,
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.unfinished > MOST {
            return Err(io::Error::other(Endless));
        }
        let read = match &mut self.layer {
            Layer::Plain(socket) => socket.read(buf),
            Layer::Tls(tls) => tls.read(buf),
        }?;
        self.unfinished += read;
        Ok(read)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = match &mut self.layer {
            Layer::Plain(socket) => socket.write(buf),
            Layer::Tls(tls) => tls.write(buf),
        };
        self.is_full = matches!(&written, Err(err) if err.kind() == io::ErrorKind::WouldBlock);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.layer {
            Layer::Plain(_) => Ok(()),
            Layer::Tls(tls) => tls.flush(),
        }
    }
}
