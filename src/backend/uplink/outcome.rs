//! What became of a request: the batch is delivered, too large, or waits for another try.

use std::time::Instant;

use log::{Level, debug, info, log, warn};

use super::{State, Uplink};
use crate::backend::batch::{Batch, split};
use crate::backend::buffer::Dropped;
use crate::backend::retry::Failure;
use crate::logging::COLLECTOR;

impl Uplink {
    pub(super) fn delivered(&self, state: &mut State, batch: &Batch, failures: u64) {
        self.metrics.batches.with_label_values(&["delivered"]).inc();
        self.metrics.samples_delivered.inc_by(batch.samples);
        if let Some(receipt) = &batch.receipt {
            receipt.delivered(batch.samples);
        }
        if failures != state.failures {
            // The backend asked the other request for a pause meanwhile; it holds.
            return;
        }
        if std::mem::take(&mut state.outage_logged) {
            info!(target: COLLECTOR, "The backend takes metrics again, {} are waiting", state.buffer.samples());
        }
        state.retry.succeeded();
        state.paused = None;
        state.trouble = None;
    }

    pub(super) fn halve(&self, state: &mut State, batch: &Batch) {
        self.metrics.batches.with_label_values(&["too_large"]).inc();
        match split(batch, &self.sequence) {
            Some(halves) => {
                debug!(target: COLLECTOR, "A batch of {} was too large, sending halves", batch.samples);
                for half in halves {
                    let dropped = state.buffer.push(half);
                    self.count_dropped(state, &dropped);
                }
            }
            None => {
                warn!(target: COLLECTOR, "A single metric is too large for the backend, it is dropped");
                self.give_up(state, "too_large", batch);
            }
        }
    }

    pub(super) fn refused(&self, state: &mut State, batch: &Batch, failure: &Failure) {
        warn!(target: COLLECTOR, "The backend refused {} metrics, they are dropped: {failure}", batch.samples);
        self.metrics.batches.with_label_values(&["refused"]).inc();
        self.give_up(state, "refused", batch);
        state.trouble = Some(format!("the backend refuses metrics: {failure}"));
    }

    /// The backend has said that it will never take `batch`.
    fn give_up(&self, state: &mut State, reason: &str, batch: &Batch) {
        self.drop_samples(state, reason, batch.samples);
        if let Some(receipt) = &batch.receipt {
            receipt.refused(batch.samples);
        }
    }

    pub(super) fn failed(&self, state: &mut State, batch: Batch, failure: &Failure) {
        let dropped = state.buffer.give_back(batch);
        self.count_dropped(state, &dropped);
        let pause = state.retry.after(failure);
        state.failures += 1;
        let until = Instant::now() + pause;
        // Of two requests in flight that both failed, the longer pause holds.
        if state
            .paused
            .as_ref()
            .is_none_or(|(other, _)| *other < until)
        {
            state.paused = Some((until, failure.clone()));
        }
        self.metrics.batch_retries.inc();
        state.trouble = Some(format!("failed to send metrics: {failure}"));
        // The first failure of an outage is news, the others are not.
        let level = if std::mem::replace(&mut state.outage_logged, true) {
            Level::Debug
        } else {
            Level::Warn
        };
        let seconds = pause.as_secs_f64();
        log!(target: COLLECTOR, level, "Failed to send metrics: {failure}; trying again in {seconds:.1} s");
    }

    pub(super) fn count_dropped(&self, state: &mut State, dropped: &Dropped) {
        if dropped.samples > 0 {
            self.metrics
                .batches
                .with_label_values(&["dropped"])
                .inc_by(dropped.batches);
            self.drop_samples(state, "buffer_full", dropped.samples);
        }
        self.publish(state);
    }

    fn drop_samples(&self, state: &mut State, reason: &str, samples: u64) {
        state.dropped += samples;
        self.metrics
            .samples_dropped
            .with_label_values(&[reason])
            .inc_by(samples);
    }

    pub(super) fn publish(&self, state: &State) {
        self.metrics
            .buffered_samples
            .set(i64::try_from(state.buffer.samples()).unwrap_or(i64::MAX));
        self.metrics
            .buffered_bytes
            .set(i64::try_from(state.buffer.bytes()).unwrap_or(i64::MAX));
    }
}
