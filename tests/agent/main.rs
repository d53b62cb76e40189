//! The agent as a process, driven against a simulated or a real cluster and the reference backend over real sockets.
//!
//! One binary, so that all of them run at once: they wait more than they work. `cargo test --test agent events::` runs
//! those of a file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;

mod action_failures;
mod actions;
mod api_server;
mod capabilities;
mod check;
mod churn;
mod claims;
mod collector;
mod config;
mod credentials;
mod delivery;
mod dependencies;
mod drain;
mod drain_ends;
mod drain_faults;
mod drain_race;
mod durability;
mod endpoints;
mod events;
mod kubectl;
mod leadership;
mod lifecycle;
mod owners;
mod pauses;
mod permissions;
mod refusals;
mod results;
mod supervision;
mod websocket;
