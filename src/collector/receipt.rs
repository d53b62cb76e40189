//! What is done once a batch has arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log::info;

use super::event::EventKey;
use super::ledger::Ledger;
use crate::backend::batch::Receipt;
use crate::logging::COLLECTOR;

/// Hears of the batches of one cycle; when the last one is settled, says how many samples arrived.
#[derive(Debug, Default)]
pub(super) struct CycleReport {
    delivered: AtomicU64,
}

impl Drop for CycleReport {
    fn drop(&mut self) {
        let delivered = *self.delivered.get_mut();
        if delivered > 0 {
            info!(target: COLLECTOR, "Successfully sent {delivered} metrics to backend");
        }
    }
}

/// Hears of one batch, and remembers the events in it once they are delivered.
#[derive(Debug)]
pub(super) struct BatchReceipt {
    report: Option<Arc<CycleReport>>,
    /// Samples not yet delivered: a batch may be cut into halves, and the events may stand in either.
    left: AtomicU64,
    keys: Vec<EventKey>,
    ledger: Arc<Ledger>,
}

impl BatchReceipt {
    /// For a batch of so many `samples`, the events of `keys` among them. It has no `report` if it was filled between
    /// two cycles.
    pub(super) fn new(
        report: Option<Arc<CycleReport>>,
        samples: u64,
        keys: Vec<EventKey>,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            report,
            left: AtomicU64::new(samples),
            keys,
            ledger,
        }
    }
}

impl Receipt for BatchReceipt {
    fn delivered(&self, samples: u64) {
        if let Some(report) = &self.report {
            report.delivered.fetch_add(samples, Ordering::Relaxed);
        }
        if self.left.fetch_sub(samples, Ordering::AcqRel) == samples {
            self.ledger.delivered(&self.keys);
        }
    }
}
