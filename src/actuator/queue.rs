//! The orders that wait for a worker: one at a time for each target, few drains at once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use time::OffsetDateTime;

use crate::actions::action::ActionKind;
use crate::actions::object::Object;
use crate::actions::verify::{Order, Verified};
use crate::thread::stop::Stop;

/// Orders that may wait; above that an action stays at the backend (protocol, section 4, 7).
pub const CAPACITY: usize = 64;

/// An order on its way.
#[derive(Debug, Clone)]
pub struct Job {
    /// The order, proven.
    pub verified: Verified,
    /// What is to be done with it.
    pub task: Task,
}

/// What is to be done with an order.
#[derive(Debug, Clone)]
pub enum Task {
    /// Claim it, then carry it out. A claim that this journal has already can be repeated.
    Run {
        /// The journal says CLAIMED already.
        claimed: bool,
    },
    /// It was begun before a crash: look what came of it.
    Observe {
        /// When it was begun.
        started_at: OffsetDateTime,
        /// The JSON of each step that was done.
        steps: Vec<String>,
    },
}

impl Job {
    /// The object that it is about; none where no such action exists.
    fn target(&self) -> Option<Object> {
        match self.verified.order() {
            Order::Action(it) => it
                .action
                .as_ref()
                .ok()
                .map(crate::actions::action::Action::target),
            Order::Settings(_) => None,
        }
    }

    /// Whether it can be done by a replica that does not lead: nothing is written to the cluster for it.
    fn is_for_a_standby(&self, now: i64) -> bool {
        match self.task {
            Task::Observe { .. } => true,
            // Nobody else can give it its result.
            Task::Run { claimed } => claimed && self.verified.is_expired(now),
        }
    }

    fn is_drain(&self) -> bool {
        matches!(self.verified.order(), Order::Action(it) if it.kind == Some(ActionKind::DrainNode))
    }
}

/// The queue in front of the workers.
pub struct Queue {
    state: Mutex<State>,
    news: (Sender<()>, Receiver<()>),
    workers: usize,
    max_drains: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    busy: HashSet<Object>,
    drains: usize,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A job that a worker has; frees its target when dropped, panic or not.
pub struct Taken<'a> {
    /// The job.
    pub job: Job,
    queue: &'a Queue,
    target: Option<Object>,
    is_drain: bool,
}

impl Queue {
    /// An empty queue for so many workers, with at most `max_drains` drains at once.
    pub fn new(workers: usize, max_drains: usize) -> Self {
        // One token a worker: whoever waits looks at the state again.
        Self {
            state: Mutex::default(),
            news: bounded(workers),
            workers,
            max_drains,
        }
    }

    /// Whether another order would fit.
    pub fn has_room(&self) -> bool {
        self.state().waiting.len() < CAPACITY
    }

    /// Adds a job.
    pub fn push(&self, job: Job) -> Result<(), Full> {
        let mut state = self.state();
        if state.waiting.len() >= CAPACITY {
            return Err(Full);
        }
        state.waiting.push_back(job);
        drop(state);
        self.wake();
        Ok(())
    }

    /// Adds a job that a crash has left, whatever the bound: it is ours already.
    pub fn restore(&self, job: Job) {
        self.state().waiting.push_back(job);
        self.wake();
    }

    /// The oldest job that is due and whose target is free, waiting at most for `limit`.
    pub fn take(
        &self,
        is_due: impl Fn(&Job) -> bool,
        limit: Duration,
        stop: &Stop,
    ) -> Option<Taken<'_>> {
        if stop.requested() {
            return None;
        }
        if let Some(taken) = self.try_take(|_| true, &is_due) {
            return Some(taken);
        }
        select_biased! {
            recv(stop.signal()) -> _ => None,
            recv(self.news.1) -> _ => self.try_take(|_| true, &is_due),
            default(limit) => None,
        }
    }

    /// The oldest job that a replica may do which does not lead at `now`, in unix seconds. All others stay.
    pub fn take_for_a_standby(&self, now: i64) -> Option<Taken<'_>> {
        self.try_take(|job| job.is_for_a_standby(now), |_| true)
    }

    fn try_take(
        &self,
        wanted: impl Fn(&Job) -> bool,
        is_due: impl Fn(&Job) -> bool,
    ) -> Option<Taken<'_>> {
        let mut state = self.state();
        let State {
            waiting,
            busy,
            drains,
        } = &mut *state;
        // A job behind a blocked one on the same target must not pass it.
        let mut passed = HashSet::new();
        let at = waiting.iter().position(|job| {
            if !wanted(job) {
                return false;
            }
            let target = job.target();
            let free = is_due(job)
                && target
                    .as_ref()
                    .is_none_or(|it| !busy.contains(it) && !passed.contains(it))
                && (!job.is_drain() || *drains < self.max_drains);
            if !free {
                passed.extend(target);
            }
            free
        })?;
        let job = waiting.remove(at)?;
        let (target, is_drain) = (job.target(), job.is_drain());
        busy.extend(target.clone());
        *drains += usize::from(is_drain);
        Some(Taken {
            job,
            queue: self,
            target,
            is_drain,
        })
    }

    fn wake(&self) {
        for _ in 0..self.workers {
            let _ = self.news.0.try_send(());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken<'_> {
    /// Puts the job back where it was: it was not begun, and is for later, the next term or the next start.
    pub fn put_back(self) {
        self.queue.state().waiting.push_front(self.job.clone());
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        if let Some(target) = &self.target {
            state.busy.remove(target);
        }
        state.drains -= usize::from(self.is_drain);
        drop(state);
        self.queue.wake();
    }
}
