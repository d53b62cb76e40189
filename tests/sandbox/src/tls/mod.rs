//! A private CA, and servers that speak TLS by it: rustls with ring, as the agent has it.
//!
//! ```
//! use sandbox::http::{Request, Response, Server};
//! use sandbox::tls::Authority;
//!
//! let authority = Authority::new();
//! let acceptor = authority.acceptor(&["localhost", "127.0.0.1"]);
//! let answer = |_: Request| Response::text(200, "safe");
//! let server = Server::start_wrapped("127.0.0.1:0", acceptor, answer)?;
//! println!("https://{} with the CA\n{}", server.addr(), authority.pem());
//! # Ok::<(), std::io::Error>(())
//! ```

mod authority;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::http::{Transport, Wrap};

pub use authority::Authority;

/// Speaks TLS with every client that connects.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Wrap for Acceptor {
    fn wrap(&self, socket: Arc<TcpStream>) -> io::Result<Arc<dyn Transport>> {
        let stream = stream::TlsStream::new(Arc::clone(&self.config), socket)?;
        Ok(Arc::new(stream))
    }
}
