//! A small blocking HTTP/1.1 server: one thread a connection, std alone.
//!
//! Both simulations stand on it. It knows nothing of either, but it can misbehave on demand
//! ([`Misbehaviour`]) and can be stopped and started again on its port, because that is what the agent
//! has to survive.
//!
//! ```
//! use sandbox::http::{Request, Response, Server};
//!
//! let server = Server::start("127.0.0.1:0", |request: Request| {
//!     Response::text(200, format!("you asked for {}", request.path))
//! })?;
//! println!("http://{}", server.addr());
//! # Ok::<(), std::io::Error>(())
//! ```

mod chunks;
mod connection;
mod misbehave;
mod percent;
mod port;
mod request;
mod response;
mod server;
#[cfg(test)]
mod tests;
mod transport;

pub use chunks::Chunks;
pub use connection::{Connection, Traffic};
pub use misbehave::Misbehaviour;
pub use percent::{decode, parse_query};
pub use request::Request;
pub use response::Response;
pub use server::{Control, Handler, Server};
pub use transport::{Plain, Transport, Wrap};
