//! TLS over one socket, read by one thread while another writes.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::{ServerConfig, ServerConnection};

use crate::http::Transport;

/// The server's side. The handshake happens as the first bytes are read.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: Arc<TcpStream>,
    /// Held while bytes are turned over, never while the socket is waited for.
    tls: Mutex<ServerConnection>,
}

impl TlsStream {
    pub(super) fn new(config: Arc<ServerConfig>, socket: Arc<TcpStream>) -> io::Result<TlsStream> {
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(TlsStream {
            socket,
            tls: Mutex::new(tls),
        })
    }

    fn tls(&self) -> MutexGuard<'_, ServerConnection> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what TLS has to say.
    fn flush(&self, tls: &mut ServerConnection) -> io::Result<()> {
        while tls.wants_write() {
            tls.write_tls(&mut &*self.socket)?;
        }
        Ok(())
    }

    /// Takes what came off the socket.
    fn take(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut tls = self.tls();
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            if let Err(err) = tls.process_new_packets() {
                // The client is to learn why, if it still listens.
                let _ = self.flush(&mut tls);
                return Err(io::Error::new(io::ErrorKind::InvalidData, err));
            }
        }
        self.flush(&mut tls)
    }
}

impl Transport for TlsStream {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut bytes = [0; 8 << 10];
        loop {
            match self.tls().reader().read(buf) {
                // A client that ends without saying so has ended all the same.
                Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            let read = Transport::read(&*self.socket, &mut bytes)?;
            if read == 0 {
                return Ok(0);
            }
            self.take(&bytes[..read])?;
        }
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let mut tls = self.tls();
        let written = tls.writer().write(buf)?;
        self.flush(&mut tls)?;
        Ok(written)
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        let mut tls = self.tls();
        tls.send_close_notify();
        // Whoever reads to the end wants to know that it is one; whoever is gone does not.
        while tls.wants_write() && tls.write_tls(&mut &*self.socket).is_ok() {}
    }
}
