//! The backend over REST: its contract is `openapi.yaml` beside this file.

pub mod batch;
pub mod buffer;
pub mod call;
pub mod client;
mod gzip;
pub mod hold;
pub mod json;
pub mod protocol;
pub mod retry;
pub mod uplink;

pub use client::Client;
