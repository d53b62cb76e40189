//! What carries a connection's bytes.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// The socket itself, or something between it and the server, such as TLS. One thread may read while another writes.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Reads as a socket does; 0 is the end.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes as a socket does.
    fn write(&self, buf: &[u8]) -> io::Result<usize>;
}

impl Transport for TcpStream {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, buf)
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, buf)
    }
}

/// Puts a transport over each socket that is accepted. It must not block: a handshake belongs to the first read.
pub trait Wrap: Send + Sync + 'static {
    /// The transport of one connection.
    fn wrap(&self, socket: Arc<TcpStream>) -> io::Result<Arc<dyn Transport>>;
}

/// The socket as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Wrap for Plain {
    fn wrap(&self, socket: Arc<TcpStream>) -> io::Result<Arc<dyn Transport>> {
        Ok(socket)
    }
}

impl<W: Wrap + ?Sized> Wrap for Box<W> {
    fn wrap(&self, socket: Arc<TcpStream>) -> io::Result<Arc<dyn Transport>> {
        (**self).wrap(socket)
    }
}
