//! Failures on demand, compiled only into the binary that the tests run (feature `test-hooks`).

use std::fs;

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
