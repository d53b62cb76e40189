//! Standing for election: to campaign while another leads, to lead while the renewals succeed, and over again.

mod watch;

use std::time::{Duration, Instant};

use log::{info, warn};
use time::OffsetDateTime;

use super::{Elector, FORBIDDEN_PAUSE};
use crate::health::Component;
use crate::kube::Error;
use crate::leader::election::{Election, Standing};
use crate::leader::lease::{Lease, Record};
use crate::leader::{Settings, Timing};
use crate::logging::MAIN;
use crate::thread::stop::Stop;

/// Giving the Lease back has so long: a stop is under way.
const RELEASE: Duration = Duration::from_secs(1);

/// What is said of a replica that carries out no action.
const UNFIT: &str = "STATE_DIR cannot be used, no action is executed";

/// One that stands for election.
pub(super) struct Candidate<'a> {
    elector: &'a Elector,
    election: Election,
    /// As it was last read or written.
    lease: Option<Lease>,
    /// Since when the API server does nothing but forbid it.
    forbidden_since: Option<Instant>,
    /// The API server has let us use the Lease before.
    was_permitted: bool,
    /// That we run alone has been said.
    is_alone: bool,
    component: &'a Component,
    stop: &'a Stop,
}

/// What came of a try to take the Lease.
enum Tried {
    /// It is ours.
    Won,
    /// Another has it, until then at least.
    Held(Instant),
}

impl<'a> Candidate<'a> {
    /// One that knows nothing of the Lease yet.
    pub(super) fn new(elector: &'a Elector, component: &'a Component, stop: &'a Stop) -> Self {
        Self {
            elector,
            election: Election::new(
                elector.identity.clone(),
                elector.settings.timing,
                elector.is_fit,
            ),
            lease: None,
            forbidden_since: None,
            was_permitted: false,
            is_alone: false,
            component,
            stop,
        }
    }

    /// Stands again and again, until the stop.
    pub(super) fn stand(mut self) {
        while self.campaign() {
            self.lead();
        }
    }

    /// Returns once the Lease is ours; false at the stop.
    fn campaign(&mut self) -> bool {
        loop {
            if self.stop.requested() {
                return false;
            }
            self.component.beat();
            let pause = match self.try_to_win() {
                Ok(Tried::Won) => return true,
                Ok(Tried::Held(until)) => {
                    self.watch(until);
                    // A watch that fails at once must not become a loop.
                    match self.election.standing(Instant::now()) {
                        Standing::Held { .. } | Standing::Left { .. } => self.elector.pause(),
                        Standing::Free | Standing::Ours => continue,
                    }
                }
                Err(err) => self.failed(&err),
            };
            if self.stop.wait(pause) {
                return false;
            }
        }
    }

    /// Reads the Lease, and takes it if it is free.
    fn try_to_win(&mut self) -> Result<Tried, Error> {
        self.saw(self.elector.get()?);
        match self.election.standing(Instant::now()) {
            Standing::Held { holder, until } => {
                self.permitted();
                let why = format!("{holder} leads");
                self.elector.leadership.stand_by(&why, Some(&holder));
                self.component.running();
                Ok(Tried::Held(until))
            }
            Standing::Left { until } => {
                self.permitted();
                self.leave();
                Ok(Tried::Held(until))
            }
            Standing::Free | Standing::Ours => {
                self.claim(self.elector.patience())?;
                self.permitted();
                let Settings {
                    namespace, lease, ..
                } = &self.elector.settings;
                info!(target: MAIN, "Leading: took the lease {namespace}/{lease} as {}", self.elector.identity);
                self.leads_well();
                Ok(Tried::Won)
            }
        }
    }

    /// Nobody leads, and whoever can act is to have it.
    fn leave(&self) {
        let why = format!("nobody leads, and the lease is left to another: {UNFIT}");
        self.elector.leadership.stand_by(&why, None);
        self.component.degraded(&why);
    }

    fn leads_well(&self) {
        if self.election.is_fit() {
            self.component.running();
        } else {
            self.component
                .degraded(&format!("no other agent leads: {UNFIT}"));
        }
    }

    /// Writes the Lease as ours. What it is worth counts from the moment before it was sent.
    fn claim(&mut self, patience: Duration) -> Result<(), Error> {
        let told = self.elector.handover.tell();
        let record = self.election.claim(OffsetDateTime::now_utc(), told);
        let sent = Instant::now();
        self.write(&record, patience)?;
        let Timing {
            lease_duration,
            renew_deadline,
            ..
        } = *self.elector.timing();
        self.elector
            .leadership
            .lead(sent, renew_deadline, lease_duration);
        Ok(())
    }

    fn write(&mut self, record: &Record, patience: Duration) -> Result<(), Error> {
        let lease = match &self.lease {
            Some(lease) => lease.with(record),
            None => {
                let Settings {
                    namespace, lease, ..
                } = &self.elector.settings;
                Lease::new(namespace, lease).with(record)
            }
        };
        let written = self.elector.put(&lease, patience)?;
        self.election
            .observe(Some(written.record()), Instant::now());
        self.lease = Some(written);
        Ok(())
    }

    /// Renews the Lease until it is lost, or gives it back at the stop.
    fn lead(&mut self) {
        loop {
            let until = self.elector.leadership.renewed_until();
            let until = until.unwrap_or_else(Instant::now);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.lost("the lease could not be renewed in time");
                return;
            }
            if self.stop.wait(self.elector.pause().min(left)) {
                self.release();
                return;
            }
            self.component.beat();
            let left = until.saturating_duration_since(Instant::now());
            match self.renew(left.min(self.elector.patience())) {
                Ok(true) => self.leads_well(),
                Ok(false) => {
                    self.lost("another agent has taken the lease");
                    return;
                }
                Err(err) => {
                    warn!(target: MAIN, "Failed to renew the lease: {err}");
                    let why = format!("failed to renew the lease: {err}");
                    self.component.degraded(&why);
                }
            }
        }
    }

    /// Renews it; false if it is not ours any more.
    fn renew(&mut self, patience: Duration) -> Result<bool, Error> {
        match self.claim(patience) {
            Err(err) if matches!(err.code(), Some(409 | 404)) => (),
            other => return other.map(|()| true),
        }
        // Somebody has changed it, or we did and did not hear of it.
        self.saw(self.elector.get()?);
        match self.election.standing(Instant::now()) {
            Standing::Ours => self.claim(patience).map(|()| true),
            Standing::Free | Standing::Left { .. } | Standing::Held { .. } => Ok(false),
        }
    }

    fn lost(&self, why: &str) {
        let holder = match self.election.standing(Instant::now()) {
            Standing::Held { holder, .. } => Some(holder),
            Standing::Free | Standing::Left { .. } | Standing::Ours => None,
        };
        self.elector.leadership.stand_by(why, holder.as_deref());
    }

    /// Gives the Lease back, so that the next one need not wait until it runs out. One try.
    fn release(&mut self) {
        let told = self.elector.handover.tell();
        let record = self.election.release(OffsetDateTime::now_utc(), told);
        self.elector.leadership.resign();
        match self.write(&record, RELEASE) {
            Ok(()) => info!(target: MAIN, "Gave the lease back"),
            Err(err) => warn!(target: MAIN, "Failed to give the lease back: {err}"),
        }
    }

    fn saw(&mut self, lease: Option<Lease>) {
        let record = lease.as_ref().map(Lease::record);
        if let Some(told) = record.as_ref().map(|it| it.told.as_str())
            && !told.is_empty()
        {
            self.elector.handover.heard(told);
        }
        self.election.observe(record, Instant::now());
        self.lease = lease;
    }

    fn permitted(&mut self) {
        self.forbidden_since = None;
        self.was_permitted = true;
        self.is_alone = false;
    }

    /// What a failed try means, and the pause after it.
    fn failed(&mut self, err: &Error) -> Duration {
        // Another replica was quicker.
        if err.code() == Some(409) {
            return self.elector.pause();
        }
        let why = format!("failed to use the lease: {err}");
        if !err.is_forbidden() {
            self.forbidden_since = None;
            self.component.degraded(&why);
            warn!(target: MAIN, "Failed to use the lease: {err}");
            self.elector.leadership.stand_by(&why, None);
            return self.elector.pause();
        }
        let since = *self.forbidden_since.get_or_insert_with(Instant::now);
        // Who was permitted before may meet an authorizer that fails for a moment.
        if self.was_permitted && since.elapsed() < self.elector.timing().lease_duration {
            self.elector.leadership.stand_by(&why, None);
            return self.elector.pause();
        }
        if !std::mem::replace(&mut self.is_alone, true) {
            warn!(target: MAIN, "Leading without an election, since the agent may not use its lease: {err}");
        }
        self.component
            .degraded(&format!("leads without an election: {err}"));
        self.elector.leadership.alone();
        FORBIDDEN_PAUSE
    }
}
