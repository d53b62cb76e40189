//! The Kubernetes API by hand, over ureq: what a small agent needs of it, with a deadline on everything.

pub mod body;
pub mod call;
pub mod client;
pub mod credentials;
pub mod exec;
pub mod fence;
pub mod kubeconfig;
pub mod list;
pub mod objects;
pub mod protobuf;
pub mod quantity;
pub mod reflector;
pub mod refusals;
pub mod request;
pub mod review;
pub mod scan;
pub mod status;
pub mod stream;
mod window;
pub mod yaml;

pub use client::Client;
pub use request::{Collection, Resource, Target};
pub use status::{Error, Status};
