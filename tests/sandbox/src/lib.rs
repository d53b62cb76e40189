//! What the agent is tested and shown against: a simulated Kubernetes API server and a reference backend.
//!
//! - [`http`]: the small blocking HTTP server both stand on; it can be told to misbehave.
//! - [`apiserver`]: the Kubernetes API as the agent uses it, with its controllers and its failures.
//! - [`backend`]: the other side of the agent's protocol.
//! - [`tls`]: a private CA, and servers that speak TLS by it.

pub mod apiserver;
pub mod backend;
pub mod http;
pub mod tls;
