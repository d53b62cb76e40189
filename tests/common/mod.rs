//! What the tests of the whole agent share: the agent as a process, a cluster and a backend around it.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stderr,
    reason = "each test file uses a part, and is a crate of its own"
)]

pub mod actions;
pub mod agent;
pub mod any_cluster;
pub mod api;
pub mod cluster;
pub mod dice;
pub mod disk;
pub mod drain;
pub mod expected;
pub mod real;
pub mod stalls;
pub mod usage;
pub mod wire;
pub mod world;

use std::time::{Duration, Instant};

/// Generous: a loaded machine must not fail a test whose promise holds, and neither must a kubelet that missed how a
/// container of a deleted pod ended. What is left of that pod it finds with its garbage collection, once a minute,
/// and it lets go of the pod at the next tick of 10 s after that.
pub const SOON: Duration = Duration::from_mins(3);

/// Polls until `holds`; panics with `what` at the deadline.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "not within {} s: {what}",
            SOON.as_secs()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Polls until `holds`; at the deadline panics with `what` and why it did not hold at last.
pub fn settles(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    let mut why = String::new();
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        match holds() {
            Ok(()) => return,
            Err(err) => why = err,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not within {} s: {what}: {why}", SOON.as_secs());
}
