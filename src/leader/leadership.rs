//! Whether this agent leads: decided by the elector, asked by everything that acts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{info, warn};

use crate::health::Health;
use crate::kube::fence::Fence;
use crate::logging::MAIN;
use crate::metrics::Metrics;

/// What this replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not known yet: the Lease was not read so far.
    Undecided,
    /// Another leads, or nobody does.
    Standby,
    /// This one leads, in the term of this number.
    Leading(u64),
}

/// Until when this agent may act.
#[derive(Debug, Clone, Copy)]
enum Held {
    /// It runs alone.
    Alone,
    /// By the Lease.
    Until {
        /// No write is begun after this, the renew deadline.
        act: Instant,
        /// Nobody else begins before this: the Lease runs out.
        lease: Instant,
    },
}

/// The name of the check in `/readyz`: a replica of which nobody knows what it is can replace no other.
const CHECK: &str = "leadership";

/// Whether this agent leads. Shared by all threads.
pub struct Leadership {
    inner: Mutex<Inner>,
    /// One token: whoever waits looks at the state again.
    news: (Sender<()>, Receiver<()>),
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

struct Inner {
    /// The number of the term, or of the last one.
    term: u64,
    held: Option<Held>,
    decided: bool,
}

impl Leadership {
    /// Nothing decided yet.
    pub fn undecided(health: Arc<Health>, metrics: Arc<Metrics>) -> Arc<Self> {
        health.check(CHECK, Err("it is not known yet who leads".to_owned()));
        Self::new(health, metrics)
    }

    /// That of an agent without an election: it leads for as long as it runs.
    pub fn of_one(health: Arc<Health>, metrics: Arc<Metrics>) -> Arc<Self> {
        let leadership = Self::new(health, metrics);
        leadership.hold(Held::Alone);
        leadership
    }

    fn new(health: Arc<Health>, metrics: Arc<Metrics>) -> Arc<Self> {
        let inner = Mutex::new(Inner {
            term: 0,
            held: None,
            decided: false,
        });
        Arc::new(Self {
            inner,
            news: bounded(1),
            health,
            metrics,
        })
    }

    /// What this replica is at this moment.
    pub fn state(&self) -> State {
        let inner = self.inner();
        match inner.held {
            Some(held) if held.left(Instant::now()).is_some() => State::Leading(inner.term),
            _ if inner.decided => State::Standby,
            _ => State::Undecided,
        }
    }

    /// How long this replica leads if nothing is heard of the Lease any more; `None` where it does not lead.
    pub fn lasts(&self) -> Option<Duration> {
        let now = Instant::now();
        match self.inner().held? {
            Held::Alone => Some(Duration::MAX),
            Held::Until { act, .. } => (now < act).then(|| act.duration_since(now)),
        }
    }

    /// Fires when the state may have changed.
    pub fn news(&self) -> &Receiver<()> {
        &self.news.1
    }

    /// Answers for the writes of the term of this number, and of no other.
    pub fn fence(self: &Arc<Self>, term: u64) -> Arc<dyn Fence> {
        Arc::new(TermFence {
            leadership: Arc::clone(self),
            term,
        })
    }

    /// The Lease is ours since the renewal that was sent at `sent`.
    pub(super) fn lead(&self, sent: Instant, renew_deadline: Duration, lease_duration: Duration) {
        self.hold(Held::Until {
            act: sent + renew_deadline,
            lease: sent + lease_duration,
        });
    }

    /// Nobody decides who leads, so this one does.
    pub(super) fn alone(&self) {
        self.hold(Held::Alone);
    }

    /// Until when the Lease was renewed; `None` while this agent leads by none.
    pub(super) fn renewed_until(&self) -> Option<Instant> {
        match self.inner().held {
            Some(Held::Until { act, .. }) => Some(act),
            _ => None,
        }
    }

    /// This agent does not lead, or does so no more, for this reason. `holder` leads instead, where one is known.
    pub(super) fn stand_by(&self, why: &str, holder: Option<&str>) {
        let mut inner = self.inner();
        let led = inner.held.take().is_some();
        let first = !std::mem::replace(&mut inner.decided, true);
        drop(inner);
        self.publish(false, holder);
        if led {
            warn!(target: MAIN, "Lost leadership: {why}");
        } else if first {
            info!(target: MAIN, "Standing by: {why}");
        }
        if led || first {
            let _ = self.news.0.try_send(());
        }
    }

    /// This agent is on its way out and writes nothing more.
    pub(super) fn resign(&self) {
        self.inner().held = None;
        self.publish(false, None);
    }

    fn hold(&self, held: Held) {
        let mut inner = self.inner();
        let now = Instant::now();
        let led = inner.held.is_some_and(|it| it.left(now).is_some());
        inner.held = Some(held);
        inner.decided = true;
        if !led {
            inner.term += 1;
        }
        drop(inner);
        if !led {
            self.publish(true, None);
            let _ = self.news.0.try_send(());
        }
    }

    fn publish(&self, leads: bool, holder: Option<&str>) {
        self.metrics.leader.set(leads.into());
        self.health.leads(leads, holder);
        self.health.check(CHECK, Ok(()));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// How long a write that begins at `now` may take; none if none may begin.
    fn left(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Alone => Some(Duration::MAX),
            Self::Until { act, lease } => (now < *act).then(|| lease.duration_since(now)),
        }
    }
}

struct TermFence {
    leadership: Arc<Leadership>,
    term: u64,
}

impl Fence for TermFence {
    fn admits(&self) -> Option<Duration> {
        let inner = self.leadership.inner();
        let held = inner.held.filter(|_| inner.term == self.term)?;
        held.left(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);
    const LEASE: Duration = Duration::from_secs(15);

    fn leadership() -> Arc<Leadership> {
        let metrics = Arc::new(Metrics::new().unwrap());
        Leadership::undecided(Health::new(metrics.clone()), metrics)
    }

    #[test]
    fn it_lasts_as_long_as_writes_may_begin() {
        let leadership = leadership();
        assert_eq!(leadership.lasts(), None);
        leadership.lead(Instant::now(), DEADLINE, LEASE);
        assert!(leadership.lasts().is_some_and(|it| it <= DEADLINE));
        let Some(long_ago) = Instant::now().checked_sub(DEADLINE) else {
            return;
        };
        leadership.lead(long_ago, DEADLINE, LEASE);
        assert_eq!(leadership.lasts(), None);
    }

    #[test]
    fn a_write_begins_before_the_deadline_and_ends_before_the_lease() {
        let leadership = leadership();
        assert_eq!(leadership.state(), State::Undecided);
        let now = Instant::now();
        leadership.lead(now, DEADLINE, LEASE);
        assert_eq!(leadership.state(), State::Leading(1));
        let left = leadership.fence(1).admits().unwrap();
        assert!(left <= LEASE && left > DEADLINE, "{left:?}");

        // The last renewal is too long ago, though not so long that another may lead.
        leadership.lead(now.checked_sub(DEADLINE).unwrap(), DEADLINE, LEASE);
        assert_eq!(leadership.fence(1).admits(), None);
        assert_eq!(leadership.state(), State::Standby);
    }

    #[test]
    fn the_fence_of_an_old_term_stays_shut() {
        let leadership = leadership();
        leadership.lead(Instant::now(), DEADLINE, LEASE);
        let old = leadership.fence(1);
        leadership.stand_by("another took it", Some("b"));
        assert!(old.admits().is_none());
        assert_eq!(leadership.state(), State::Standby);
        leadership.lead(Instant::now(), DEADLINE, LEASE);
        assert_eq!(leadership.state(), State::Leading(2));
        assert!(old.admits().is_none() && leadership.fence(2).admits().is_some());
    }

    #[test]
    fn a_term_that_ran_out_is_not_taken_up_again() {
        let leadership = leadership();
        let past = Instant::now().checked_sub(DEADLINE).unwrap();
        leadership.lead(past, DEADLINE, LEASE);
        leadership.lead(Instant::now(), DEADLINE, LEASE);
        assert_eq!(leadership.state(), State::Leading(2));
        leadership.lead(Instant::now(), DEADLINE, LEASE);
        assert_eq!(leadership.state(), State::Leading(2));
    }

    #[test]
    fn alone_there_is_no_end() {
        let leadership = leadership();
        leadership.alone();
        assert_eq!(leadership.fence(1).admits(), Some(Duration::MAX));
        assert_eq!(leadership.renewed_until(), None);
    }
}
