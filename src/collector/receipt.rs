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

/// Hears of one batch, and remembers the events in it once they are settled.
#[derive(Debug)]
pub(super) struct BatchReceipt {
    report: Option<Arc<CycleReport>>,
    /// Samples not yet settled: a batch may be cut into halves, and the events may stand in either.
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

impl BatchReceipt {
    /// Of these it is known what became of them. An event that the backend refuses counts as delivered: it will never
    /// be, and would else hold back all that came after it from being told as delivered to other replicas.
    fn settled(&self, samples: u64) {
        if self.left.fetch_sub(samples, Ordering::AcqRel) == samples {
            self.ledger.delivered(&self.keys);
        }
    }
}

impl Receipt for BatchReceipt {
    fn delivered(&self, samples: u64) {
        if let Some(report) = &self.report {
            report.delivered.fetch_add(samples, Ordering::Relaxed);
        }
        self.settled(samples);
    }

    fn refused(&self, samples: u64) {
        self.settled(samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_backend_refuses_for_good_holds_nothing_back() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::open(folder.path()));
        let keys: Vec<_> = (1..=2).map(|uid| EventKey { uid, occurrence: 1 }).collect();
        for key in &keys {
            assert!(ledger.is_new(*key, 10 + key.uid));
        }
        assert_eq!(ledger.delivered_up_to(), Some(10));
        let report = Arc::new(CycleReport::default());
        let receipt = BatchReceipt::new(Some(report.clone()), 5, keys, ledger.clone());
        receipt.refused(2);
        assert_eq!(ledger.delivered_up_to(), Some(10));
        receipt.delivered(3);
        assert_eq!(ledger.delivered_up_to(), Some(12));
        assert_eq!(report.delivered.load(Ordering::Relaxed), 3);
    }
}
