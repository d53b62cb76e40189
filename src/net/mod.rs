//! What every connection to the backend has in common, over REST or WebSocket.

pub mod clock;
pub mod proxy;
pub mod tls;
