//! What is to be asked of the backend next, and when: without clock or socket (protocol, section 2).
//!
//! Many orders share one endpoint. What fails for one of them says little of the others, so each has a back-off of its
//! own; only where the backend asks for a pause, refuses the key, or fails for several, all of them wait.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::actions::id::EnvelopeId;
use crate::backend::hold::Hold;
use crate::backend::retry::{Failure, Retry};

/// What is refused for good is tried again after this...
const REFUSED_PAUSE: Duration = Duration::from_mins(10);
/// ...so many times.
const REFUSED_TRIES: u32 = 6;

/// The requests of one endpoint, each for one order. It holds those alone that have failed.
#[derive(Default)]
pub struct Schedule {
    tries: HashMap<EnvelopeId, Tries>,
    /// How the endpoint does as a whole: failing once several orders have failed.
    endpoint: Retry,
    hold: Option<Hold>,
    /// The first that failed since something went well.
    first_failed: Option<EnvelopeId>,
    /// Why the last one failed.
    trouble: Option<String>,
}

/// What came of the requests for one order so far.
struct Tries {
    retry: Retry,
    failures: u32,
    refusals: u32,
    next: Instant,
}

impl Schedule {
    /// Whether the request for `id` may be sent at `now`, if nothing holds the endpoint.
    pub fn is_due(&self, id: &EnvelopeId, now: Instant) -> bool {
        self.tries.get(id).is_none_or(|it| it.next <= now)
    }

    /// How long the endpoint is left alone; none if it is not.
    pub fn held(&self, now: Instant, key_version: u64) -> Option<Duration> {
        self.hold?.left(now, key_version)
    }

    /// How long nothing changes by itself.
    pub fn quiet(&self, now: Instant, key_version: u64) -> Duration {
        if let Some(left) = self.held(now, key_version) {
            return left;
        }
        let later = self.tries.values().map(|it| it.next);
        let next = later.filter(|it| *it > now).min();
        next.map_or(Duration::MAX, |it| it.duration_since(now))
    }

    /// The one of `waiting`, oldest first, whose turn it is at `now`: of those that are due, one that failed least.
    pub fn pick<'a, T>(
        &self,
        waiting: impl Iterator<Item = (&'a EnvelopeId, T)>,
        now: Instant,
        key_version: u64,
    ) -> Option<(&'a EnvelopeId, T)> {
        if self.held(now, key_version).is_some() {
            return None;
        }
        let due = waiting.filter(|(id, _)| self.is_due(id, now));
        due.min_by_key(|(id, _)| self.tries.get(*id).map_or(0, |it| it.failures))
    }

    /// The request for `id` has its answer: nothing is left to try.
    pub fn settled(&mut self, id: &EnvelopeId, now: Instant) {
        self.answered(now);
        self.forget(id);
    }

    /// There will be no more requests for `id`.
    pub fn forget(&mut self, id: &EnvelopeId) {
        self.tries.remove(id);
        if self.tries.values().all(|it| it.failures == 0) {
            self.trouble = None;
        }
    }

    /// The request for `id` is not to be sent for so long, for a reason that is no failure.
    pub fn put_off(&mut self, id: &EnvelopeId, pause: Duration, now: Instant) {
        self.tries_of(id, now).next = now + pause;
    }

    /// The request for `id` failed, and is tried again. Returns after how long, if nothing changes until then.
    pub fn failed(&mut self, id: &EnvelopeId, failure: &Failure, now: Instant) -> Duration {
        self.trouble = Some(failure.to_string());
        self.tries_of(id, now).failures += 1;
        if is_refused(failure) {
            self.answered(now);
        } else if let Some((hold, pause)) = self.told_to_wait(failure, now) {
            self.hold = Some(hold);
            return pause;
        } else if self.endpoint.is_failing()
            || self.first_failed.as_ref().is_some_and(|it| it != id)
        {
            self.hold = Some(Hold::until(now + self.endpoint.after(failure)));
        } else {
            self.first_failed = Some(id.clone());
        }
        let tries = self.tries_of(id, now);
        let pause = tries.retry.after(failure);
        tries.next = now + pause;
        pause
    }

    /// The request for `id` was refused in a way that repeating it will hardly mend; true if it is to be given up.
    pub fn refused(&mut self, id: &EnvelopeId, failure: &Failure, now: Instant) -> bool {
        self.failed(id, failure, now);
        let tries = self.tries_of(id, now);
        tries.refusals += 1;
        tries.next = now + REFUSED_PAUSE;
        let is_over = tries.refusals > REFUSED_TRIES;
        if is_over {
            self.forget(id);
        }
        is_over
    }

    /// Why something waits that was tried, if so.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What is asked of all, and not only of the one that failed.
    fn told_to_wait(&mut self, failure: &Failure, now: Instant) -> Option<(Hold, Duration)> {
        Hold::after(failure, Duration::ZERO, now)?;
        let pause = self.endpoint.after(failure);
        Some((Hold::after(failure, pause, now)?, pause))
    }

    /// The endpoint answers: what waited for that alone is due.
    fn answered(&mut self, now: Instant) {
        if self.endpoint.is_failing() {
            for tries in self.tries.values_mut().filter(|it| it.refusals == 0) {
                tries.next = now;
            }
        }
        self.endpoint.succeeded();
        self.hold = None;
        self.first_failed = None;
    }

    fn tries_of(&mut self, id: &EnvelopeId, now: Instant) -> &mut Tries {
        self.tries.entry(id.clone()).or_insert_with(|| Tries {
            retry: Retry::default(),
            failures: 0,
            refusals: 0,
            next: now,
        })
    }
}

/// It was answered, and the answer is about this order: the endpoint works.
pub fn is_refused(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused { .. } | Failure::TooLarge)
}

#[cfg(test)]
mod tests;
