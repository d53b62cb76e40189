//! What connections have in common, to the backend over REST or WebSocket, and to the API server.

pub mod clock;
pub mod excerpt;
pub mod names;
pub mod proxy;
pub mod tls;
