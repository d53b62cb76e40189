//! What arrives, a row for each interval.

use std::time::Duration;

use sandbox::backend::{Backend, Kind};

use super::agent::Usage;
use super::say;

/// The head comes again after so many rows, so that it stays on the screen.
const ROWS: usize = 20;

/// Rows under heads.
#[derive(Default)]
pub(crate) struct Table {
    rows: usize,
}

impl Table {
    /// Adds a row: what the backend holds and what the agent uses at this moment.
    pub(crate) fn add(&mut self, elapsed: Duration, backend: &Backend, usage: Option<Usage>) {
        if self.rows.is_multiple_of(ROWS) {
            say(HEAD);
        }
        self.rows += 1;
        say(&row(elapsed, backend, usage.unwrap_or_default()));
    }
}

const HEAD: &str = "seconds  cycle   pods  nodes  cores used  GiB used  events  batches  heartbeats  agent MiB  agent CPU s";

fn row(elapsed: Duration, backend: &Backend, usage: Usage) -> String {
    let summary = backend.summary();
    let cycles = backend.cycles();
    let newest = |kind| {
        cycles
            .iter()
            .rev()
            .map(|it| it.count(kind))
            .find(|it| *it > 0)
            .unwrap_or(0)
    };
    let (cores, bytes) = used_by_pods(backend);
    #[expect(clippy::cast_precision_loss, reason = "for people, with one decimal")]
    let mebibytes = usage.rss_kib as f64 / 1024.0;
    format!(
        "{:>7}  {:>5}  {:>5}  {:>5}  {cores:>10.2}  {:>8.2}  {:>6}  {:>7}  {:>10}  {mebibytes:>9.1}  {:>11.2}",
        elapsed.as_secs(),
        cycles.iter().filter(|it| it.count(Kind::Node) > 0).count(),
        newest(Kind::Pod),
        newest(Kind::Node),
        bytes / f64::from(1 << 30),
        backend.sample_count(Kind::Event),
        summary.batches,
        summary.heartbeats,
        usage.cpu_seconds,
    )
}

/// Cores and bytes that the containers used when they were last measured.
fn used_by_pods(backend: &Backend) -> (f64, f64) {
    let mut sum = (0.0, 0.0);
    for pod in backend.last_samples(Kind::Pod) {
        for container in pod.get("containers").as_array().into_iter().flatten() {
            let number = |member: &str| container[member].as_f64().unwrap_or_default();
            sum.0 += number("cpu_millicores") / 1000.0;
            sum.1 += number("memory_bytes");
        }
    }
    sum
}
