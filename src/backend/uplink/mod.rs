//! Delivers batches of samples: two requests at a time, retried under the same id until the backend has them.

mod outcome;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use ureq::http::Method;

use super::Client;
use super::batch::{Batch, Sequence};
use super::buffer::Buffer;
use super::call::{Body, Call, TOTAL};
use super::retry::{Failure, Retry};
use crate::health::Component;
use crate::metrics::Metrics;
use crate::thread::stop::{Never, Stop};

/// Requests in flight at most (protocol, section 2); each has a thread.
pub const IN_FLIGHT: usize = 2;
/// Compressed bytes that may wait: some twenty collections of a thousand nodes, and within every memory limit.
const MOST_BYTES: usize = 8 << 20;
/// More than this need not wait for a backend that works: a collection makes batches faster than any backend takes
/// them, and would fill memory with what is gone a second later.
const AHEAD: usize = 512 << 10;
/// How long a batch is held back for that. A slow backend must not stretch a collection over its interval.
const HOLD: Duration = Duration::from_millis(20);
/// How long the collector lets a healthy backend catch up before the oldest batch is dropped for a new one.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long after the stop batches are still delivered.
const FLUSH: Duration = Duration::from_secs(2);
/// A thread without work looks at the state this often even if no news came.
const LOOK: Duration = Duration::from_secs(10);

/// The way of samples to the backend.
pub struct Uplink {
    client: Arc<Client>,
    sequence: Arc<Sequence>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// One token a thread: whoever waits looks at the state again.
    news: (Sender<()>, Receiver<()>),
    room: (Sender<()>, Receiver<()>),
}

struct State {
    buffer: Buffer,
    retry: Retry,
    in_flight: usize,
    /// No request before this, and why.
    paused: Option<(Instant, Failure)>,
    /// Counts the failures: a request that began before the last one says nothing about it by succeeding.
    failures: u64,
    dropped: u64,
    /// What is wrong since the last success.
    trouble: Option<String>,
    /// The first failure since the last success has been logged.
    outage_logged: bool,
}

enum Next {
    /// The batch, and how many failures there were when it left.
    Send(Batch, u64),
    Wait(Duration),
    End,
}

impl Uplink {
    /// An empty buffer in front of `client`.
    pub fn new(client: Arc<Client>, sequence: Arc<Sequence>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            client,
            sequence,
            metrics,
            state: Mutex::new(State {
                buffer: Buffer::new(MOST_BYTES),
                retry: Retry::default(),
                in_flight: 0,
                paused: None,
                failures: 0,
                dropped: 0,
                trouble: None,
                outage_logged: false,
            }),
            news: bounded(IN_FLIGHT),
            room: bounded(1),
        })
    }

    /// Hands over a batch. While the backend works but is behind, waits a while for room; otherwise the oldest
    /// batches make room, and are counted.
    pub fn push(&self, batch: Batch, stop: &Stop) {
        let began = Instant::now();
        loop {
            let mut state = self.state();
            let patience = match &state.buffer {
                _ if state.retry.is_failing() || stop.requested() => Duration::ZERO,
                buffer if !buffer.has_room(&batch) => PATIENCE,
                buffer if buffer.bytes() > AHEAD => HOLD,
                _ => Duration::ZERO,
            };
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                let dropped = state.buffer.push(batch);
                self.count_dropped(&mut state, &dropped);
                drop(state);
                self.wake();
                return;
            }
            drop(state);
            select_biased! {
                recv(stop.signal()) -> _ => (),
                recv(self.room.1) -> _ => (),
                default(left.min(Duration::from_millis(500))) => (),
            }
        }
    }

    /// Samples that wait, and samples given up since the start.
    pub fn depth(&self) -> (u64, u64) {
        let state = self.state();
        (state.buffer.samples(), state.dropped)
    }

    /// Delivers until the stop, and for a moment after it what is left.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        loop {
            self.show(component);
            match self.next(stop) {
                Next::Send(batch, failures) => self.deliver(batch, failures),
                Next::Wait(pause) => self.wait(pause, stop),
                Next::End => return Ok(()),
            }
        }
    }

    /// Shows in health how it goes, which is the same for all that deliver: the one that failed may be idle when
    /// another one succeeds. Also a beat.
    fn show(&self, component: &Component) {
        let trouble = self.state().trouble.clone();
        match trouble {
            None => component.running(),
            Some(why) => component.degraded(&why),
        }
    }

    fn next(&self, stop: &Stop) -> Next {
        let mut state = self.state();
        if let Some(since) = stop.elapsed() {
            // What a failing backend did not take before, it gets one more chance to take.
            let hopeless = state.retry.is_failing() && state.paused.is_some();
            if state.buffer.is_empty() || since >= FLUSH || hopeless {
                return Next::End;
            }
        }
        if let Some((until, failure)) = &state.paused {
            let left = until.saturating_duration_since(Instant::now());
            let new_key = matches!(failure, Failure::Unauthorized { key_version, .. }
                if *key_version != self.client.key_version());
            if !left.is_zero() && !new_key {
                return Next::Wait(left);
            }
        }
        // A backend that failed is asked by one request until it answers again.
        if state.retry.is_failing() && state.in_flight > 0 {
            return Next::Wait(LOOK);
        }
        let Some(batch) = state.buffer.take_newest() else {
            return Next::Wait(LOOK);
        };
        state.in_flight += 1;
        state.paused = None;
        Next::Send(batch, state.failures)
    }

    fn wait(&self, pause: Duration, stop: &Stop) {
        // A new API key ends a pause, and its file tells nobody.
        let pause = pause.min(LOOK);
        if stop.requested() {
            let _ = self
                .news
                .1
                .recv_timeout(pause.min(Duration::from_millis(50)));
            return;
        }
        select_biased! {
            recv(stop.signal()) -> _ => (),
            recv(self.news.1) -> _ => (),
            default(pause) => (),
        }
    }

    fn deliver(&self, batch: Batch, failures: u64) {
        let mut flight = Flight {
            uplink: self,
            batch: Some(batch),
        };
        let outcome = flight.batch.as_ref().map(|it| self.call(it));
        let (Some(batch), Some(outcome)) = (flight.batch.take(), outcome) else {
            return;
        };
        let mut state = self.state();
        state.in_flight -= 1;
        match outcome {
            Ok(_) => self.delivered(&mut state, &batch, failures),
            Err(Failure::TooLarge) => self.halve(&mut state, &batch),
            Err(failure @ Failure::Refused { .. }) => {
                self.refused(&mut state, &batch, &failure);
            }
            Err(failure) => self.failed(&mut state, batch, &failure),
        }
        self.publish(&state);
        // This thread looks at the state next; the other one is needed only where more than that waits.
        let more = state.buffer.len() > 1;
        // Not for every batch: a thread that is woken for one costs more than it.
        let room = state.buffer.bytes() <= AHEAD / 2 || state.buffer.bytes() > MOST_BYTES - AHEAD;
        drop(state);
        if room {
            let _ = self.room.0.try_send(());
        }
        if more {
            self.wake();
        }
    }

    fn call(&self, batch: &Batch) -> Result<Vec<u8>, Failure> {
        self.client.call(Call {
            endpoint: "metrics",
            method: Method::POST,
            path: "/v1/metrics",
            body: Body::Gzip {
                bytes: &batch.body,
                key: &batch.id,
            },
            deadline: TOTAL,
            success: &[202],
        })
    }

    /// Wakes one thread that waits.
    fn wake(&self) {
        let _ = self.news.0.try_send(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch on its way. Should the thread that carries it panic, the batch goes back into the buffer and makes room for
/// another request.
struct Flight<'a> {
    uplink: &'a Uplink,
    batch: Option<Batch>,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            let mut state = self.uplink.state();
            state.in_flight -= 1;
            let dropped = state.buffer.give_back(batch);
            self.uplink.count_dropped(&mut state, &dropped);
        }
    }
}
