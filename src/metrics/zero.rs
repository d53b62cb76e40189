//! Series that are there from the first scrape on.
//!
//! One that came with its first increment would be missing where somebody asks whether it ever grew, and its first step
//! would not show as one: an alert that the backend has answered nothing would never fire for an agent that never
//! reached it.

use super::Metrics;
use crate::actions::action::ActionKind;

/// How an action may end, as `actions_total` counts it.
const ENDS: [&str; 7] = [
    "succeeded",
    "noop",
    "partial",
    "failed",
    "rejected",
    "expired",
    "interrupted",
];

/// Makes them.
pub(super) fn begin(metrics: &Metrics) {
    let all: [(_, &[&str]); 5] = [
        (&metrics.heartbeats, &["answered", "failed"]),
        (&metrics.cycles, &["complete", "degraded"]),
        (&metrics.samples, &["pod", "node", "event"]),
        (
            &metrics.samples_dropped,
            &["buffer_full", "held_back", "refused", "too_large"],
        ),
        (
            &metrics.batches,
            &["delivered", "dropped", "refused", "too_large"],
        ),
    ];
    for (counters, values) in all {
        for value in values {
            counters.with_label_values(&[value]);
        }
    }
    for state in ["waiting", "parked"] {
        metrics.outbox_results.with_label_values(&[state]);
    }
    for kind in ActionKind::ALL {
        for end in ENDS {
            metrics.actions.with_label_values(&[kind.as_str(), end]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::outcome::Status;

    #[test]
    fn actions_are_counted_from_zero_however_they_end() {
        let metrics = Metrics::new().unwrap();
        let series = metrics.text().matches("actions_total{").count();
        for status in [
            Status::Succeeded,
            Status::Noop,
            Status::Partial,
            Status::Failed,
            Status::Rejected,
            Status::Expired,
            Status::Interrupted,
        ] {
            let labels = ["evict_pod", status.as_str()];
            metrics.actions.with_label_values(&labels).inc();
        }
        let text = metrics.text();
        assert_eq!(text.matches("actions_total{").count(), series, "{text}");
    }
}
