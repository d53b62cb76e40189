//! Series that are there from the first scrape on.
//!
//! One that came with its first increment would be missing where somebody asks whether it ever grew, and its first step
//! would not show as one: an alert that the backend has answered nothing would never fire for an agent that never
//! reached it.

use super::Metrics;
use crate::actions::action::ActionKind;
use crate::actions::outcome::Status;

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
        for status in Status::ALL {
            let labels = [kind.as_str(), status.as_str()];
            metrics.actions.with_label_values(&labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_counted_from_zero_however_they_end() {
        let text = Metrics::new().unwrap().text();
        for kind in ActionKind::ALL {
            for status in Status::ALL {
                let labels = format!(
                    "{{outcome=\"{}\",type=\"{}\"}} 0",
                    status.as_str(),
                    kind.as_str()
                );
                let series = format!("kubernetes_agent_actions_total{labels}");
                assert!(text.contains(&series), "{series}");
            }
        }
    }
}
