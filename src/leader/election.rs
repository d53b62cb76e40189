//! The rules: from what was seen of a Lease, and when, to what may be done. As client-go's `leaderelection` has them.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::Timing;
use super::lease::{Record, micro_time};

/// `leaseDurationSeconds` of a Lease that was given back: the API server takes nothing less.
const RELEASED: Duration = Duration::from_secs(1);

/// A replica's view of the Lease.
#[derive(Debug)]
pub struct Election {
    identity: String,
    timing: Timing,
    /// Whether this replica could carry out actions.
    is_fit: bool,
    seen: Option<Seen>,
    /// Since when there is no Lease.
    missing_since: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    record: Record,
    /// When it was first seen to be so, by our own monotonic clock.
    since: Instant,
}

/// Whose the Lease is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody's: it does not exist, was released, or has run out.
    Free,
    /// Ours: also that of the run before this one, whose STATE_DIR we have and which has therefore ended.
    Ours,
    /// Nobody's, and until then left to a replica that can carry out actions, which this one cannot.
    Left {
        /// When this one takes it, so that everything else goes on.
        until: Instant,
    },
    /// Another's, until then at least.
    Held {
        /// Whose.
        holder: String,
        /// When it runs out unless it is renewed.
        until: Instant,
    },
}

impl Election {
    /// One in which nothing was seen yet. `identity` tells this replica from all others; `is_fit` where it could carry
    /// out actions.
    pub fn new(identity: String, timing: Timing, is_fit: bool) -> Self {
        Self {
            identity,
            timing,
            is_fit,
            seen: None,
            missing_since: None,
        }
    }

    /// The Lease was seen to be so at `now`, or not to exist. Only a change starts its time anew.
    pub fn observe(&mut self, record: Option<Record>, now: Instant) {
        match record {
            None => {
                self.seen = None;
                self.missing_since.get_or_insert(now);
                return;
            }
            Some(record) if self.seen.as_ref().is_some_and(|it| it.record == record) => (),
            Some(record) => self.seen = Some(Seen { record, since: now }),
        }
        self.missing_since = None;
    }

    /// Whose it is at `now`.
    pub fn standing(&self, now: Instant) -> Standing {
        let Some(Seen { record, since }) = &self.seen else {
            return self.free(self.missing_since.unwrap_or(now), now);
        };
        let until = *since + record.duration;
        if record.holder == self.identity {
            Standing::Ours
        } else if record.holder.is_empty() {
            self.free(*since, now)
        } else if now >= until {
            self.free(until, now)
        } else if record.is_unfit && self.is_fit {
            // Nothing is done twice: its holder does nothing.
            Standing::Free
        } else {
            let holder = record.holder.clone();
            Standing::Held { holder, until }
        }
    }

    /// Nobody's since then. Who is fit takes it within a retry period; who is not waits until nobody did.
    fn free(&self, since: Instant, now: Instant) -> Standing {
        let until = since + self.timing.lease_duration;
        if self.is_fit || now >= until {
            Standing::Free
        } else {
            Standing::Left { until }
        }
    }

    /// Whether this replica could carry out actions.
    pub fn is_fit(&self) -> bool {
        self.is_fit
    }

    /// What is written to take the Lease, or to renew it. `wall` is for people, `told` for a successor.
    pub fn claim(&self, wall: OffsetDateTime, told: String) -> Record {
        let now = micro_time(wall);
        let (acquired, transitions) = match self.seen.as_ref().map(|it| &it.record) {
            Some(seen) if seen.holder == self.identity => (seen.acquired.clone(), seen.transitions),
            Some(seen) => (now.clone(), seen.transitions + 1),
            None => (now.clone(), 0),
        };
        Record {
            holder: self.identity.clone(),
            duration: self.timing.lease_duration,
            acquired,
            renewed: now,
            transitions,
            told,
            is_unfit: !self.is_fit,
        }
    }

    /// What is written to give it back.
    pub fn release(&self, wall: OffsetDateTime, told: String) -> Record {
        Record {
            holder: String::new(),
            duration: RELEASED,
            is_unfit: false,
            ..self.claim(wall, told)
        }
    }

    /// How the times are.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn timing() -> Timing {
        Timing {
            lease_duration: 15 * SECOND,
            renew_deadline: 10 * SECOND,
            retry_period: 2 * SECOND,
        }
    }

    fn of(identity: &str) -> Election {
        Election::new(identity.to_owned(), timing(), true)
    }

    /// A claim by `identity` whose clock says `wall`.
    fn claimed(identity: &str, wall: OffsetDateTime) -> Record {
        of(identity).claim(wall, String::new())
    }

    fn is_held(standing: &Standing) -> bool {
        matches!(standing, Standing::Held { .. })
    }

    #[test]
    fn a_lease_runs_out_by_our_own_clock_since_it_last_changed() {
        let mut ours = of("b");
        let start = Instant::now();
        // The holder's clock is a century behind, then an hour ahead: neither matters.
        ours.observe(Some(claimed("a", datetime!(1926-01-01 0:00 UTC))), start);
        assert!(is_held(&ours.standing(start + 14 * SECOND)));
        assert_eq!(ours.standing(start + 15 * SECOND), Standing::Free);
        let renewed = claimed("a", OffsetDateTime::now_utc() + time::Duration::HOUR);
        ours.observe(Some(renewed.clone()), start + 14 * SECOND);
        assert!(is_held(&ours.standing(start + 28 * SECOND)));
        // Seen again unchanged: no sign of life.
        ours.observe(Some(renewed), start + 28 * SECOND);
        assert_eq!(ours.standing(start + 29 * SECOND), Standing::Free);
    }

    #[test]
    fn the_holder_decides_how_long_its_lease_holds() {
        let mut ours = of("b");
        let start = Instant::now();
        let longer = Record {
            duration: 60 * SECOND,
            ..claimed("a", OffsetDateTime::now_utc())
        };
        ours.observe(Some(longer), start);
        assert!(is_held(&ours.standing(start + 59 * SECOND)));
    }

    #[test]
    fn a_released_or_missing_lease_is_free_at_once() {
        let (mut ours, now) = (of("b"), Instant::now());
        assert_eq!(ours.standing(now), Standing::Free);
        let wall = OffsetDateTime::now_utc();
        ours.observe(Some(of("a").release(wall, String::new())), now);
        assert_eq!(ours.standing(now), Standing::Free);
        ours.observe(Some(claimed("a", wall)), now);
        assert!(is_held(&ours.standing(now)));
        ours.observe(None, now);
        assert_eq!(ours.standing(now), Standing::Free);
    }

    #[test]
    fn taking_it_counts_a_transition_and_renewing_it_does_not() {
        let (first, second) = (
            datetime!(2026-01-01 0:00 UTC),
            datetime!(2026-01-01 0:01 UTC),
        );
        let mut ours = of("b");
        let created = ours.claim(first, String::new());
        assert_eq!(
            (created.transitions, &created.acquired),
            (0, &created.renewed)
        );
        ours.observe(Some(created.clone()), Instant::now());
        let renewed = ours.claim(second, String::new());
        assert_eq!(
            (renewed.transitions, &renewed.acquired),
            (0, &created.acquired)
        );
        assert_ne!(renewed.renewed, created.renewed);

        let mut other = of("c");
        other.observe(Some(ours.release(second, "9".to_owned())), Instant::now());
        let taken = other.claim(second, String::new());
        assert_eq!((taken.transitions, taken.holder.as_str()), (1, "c"));
        assert_eq!(taken.acquired, micro_time(second));
    }

    #[test]
    fn a_restarted_holder_goes_on_at_once() {
        let (mut ours, now) = (of("a"), Instant::now());
        ours.observe(Some(claimed("a", OffsetDateTime::now_utc())), now);
        assert_eq!(ours.standing(now + 60 * SECOND), Standing::Ours);
    }

    fn unfit(identity: &str) -> Election {
        Election::new(identity.to_owned(), timing(), false)
    }

    #[test]
    fn who_cannot_act_leaves_a_free_lease_to_whoever_can() {
        let start = Instant::now();
        let wall = OffsetDateTime::now_utc();
        let held = claimed("a", wall);
        let released = of("a").release(wall, String::new());
        // Missing, given back, run out.
        for (seen, free) in [(None, 0), (Some(released), 0), (Some(held), 15)] {
            let mut ours = unfit("b");
            ours.observe(seen, start);
            let until = start + free * SECOND + 15 * SECOND;
            assert_eq!(
                ours.standing(start + free * SECOND),
                Standing::Left { until }
            );
            assert_eq!(ours.standing(until), Standing::Free);
        }
    }

    #[test]
    fn who_can_act_takes_the_lease_from_a_holder_that_cannot() {
        let (now, wall) = (Instant::now(), OffsetDateTime::now_utc());
        let held = unfit("a").claim(wall, String::new());
        let mut fit = of("b");
        fit.observe(Some(held.clone()), now);
        assert_eq!(fit.standing(now), Standing::Free);
        assert!(!fit.claim(wall, String::new()).is_unfit);
        let mut other = unfit("c");
        other.observe(Some(held), now);
        assert!(is_held(&other.standing(now)));
    }
}
