//! The port of a server that is stopped.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// As many connections wait to be accepted as std's listeners let wait.
const BACKLOG: i32 = 128;

/// An address at which nobody listens: connections are refused, and no other server or client is given the port.
pub(super) struct Held(Socket);

impl Held {
    /// Takes an address whose listener is closed; connections that it accepted may still be ending.
    pub(super) fn take(address: SocketAddr) -> io::Result<Held> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        Ok(Held(socket))
    }

    /// Listens there.
    pub(super) fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)?;
        Ok(self.0.into())
    }
}
