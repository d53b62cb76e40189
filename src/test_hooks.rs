//! Failures on demand, compiled only into the binary that the tests run (feature `test-hooks`).

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Panics if the file that `KUBERNETES_AGENT_TEST_PANIC` names holds the name of `component`; once, since the file
/// is removed first.
pub(crate) fn maybe_panic(component: &str) {
    let Ok(path) = std::env::var("KUBERNETES_AGENT_TEST_PANIC") else {
        return;
    };
    let asked =
        fs::read_to_string(&path).is_ok_and(|it| it == component) && fs::remove_file(&path).is_ok();
    assert!(!asked, "the test asked for it");
}

static HASTE: AtomicU32 = AtomicU32::new(1);

/// Divides the pauses before the WebSocket connects again, in a test that runs it in its own process.
pub fn hasten(by: u32) {
    HASTE.store(by.max(1), Ordering::Relaxed);
}

/// A pause before the WebSocket connects again, divided by what [`hasten`] or `KUBERNETES_AGENT_TEST_HASTE` say: the
/// rules hold, and a test of them ends.
pub(crate) fn hastened(pause: Duration) -> Duration {
    let said = std::env::var("KUBERNETES_AGENT_TEST_HASTE").ok();
    let haste = said
        .and_then(|it| it.parse::<u32>().ok())
        .filter(|it| *it > 0);
    pause / haste.unwrap_or_else(|| HASTE.load(Ordering::Relaxed))
}
