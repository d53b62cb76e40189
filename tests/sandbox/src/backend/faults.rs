//! The faults that are switched on, and which request meets which.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::fault::{Endpoint, Fault, FaultKind};

/// The faults of all endpoints.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<BTreeMap<Endpoint, VecDeque<Fault>>>);

impl Faults {
    /// Puts these, one after the other, in place of those that the endpoint had.
    pub(super) fn set(&self, endpoint: Endpoint, faults: impl IntoIterator<Item = Fault>) {
        let faults: VecDeque<Fault> = faults.into_iter().collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.is_empty() {
            all.remove(&endpoint);
        } else {
            all.insert(endpoint, faults);
        }
    }

    /// Takes all away.
    pub(super) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// What is to be done with this request, and counts it.
    pub(super) fn take(&self, endpoint: Endpoint) -> Option<Fault> {
        self.pick(endpoint, |kind| {
            !matches!(kind, FaultKind::MaxSamples { .. })
        })
    }

    /// Whether a batch of so many samples is to be refused, and counts it if so.
    pub(super) fn refuses_batch(&self, samples: usize) -> bool {
        let applies = |kind: &FaultKind| matches!(kind, FaultKind::MaxSamples { samples: most } if samples > *most);
        self.pick(Endpoint::Metrics, applies).is_some()
    }

    /// What is set.
    pub(super) fn list(&self) -> BTreeMap<Endpoint, Vec<Fault>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|(endpoint, faults)| (*endpoint, faults.iter().cloned().collect()))
            .collect()
    }

    fn pick(&self, endpoint: Endpoint, applies: impl Fn(&FaultKind) -> bool) -> Option<Fault> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoint = if all.contains_key(&endpoint) {
            endpoint
        } else {
            Endpoint::All
        };
        let queue = all.get_mut(&endpoint)?;
        let first = queue.front_mut().filter(|fault| applies(&fault.kind))?;
        let fault = first.clone();
        if let Some(times) = &mut first.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                queue.pop_front();
            }
        }
        if queue.is_empty() {
            all.remove(&endpoint);
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests;
