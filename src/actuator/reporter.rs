//! Brings results home: until the backend has them, or has said for good that it will not.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select_biased};
use log::{debug, error, warn};
use ureq::http::Method;

use super::inbox::Inbox;
use super::schedule::{Schedule, is_refused};
use crate::actions::id::EnvelopeId;
use crate::actions::outcome::ResultBody;
use crate::backend::Client;
use crate::backend::call::{Body, Call, TOTAL, segment};
use crate::backend::retry::Failure;
use crate::health::Component;
use crate::logging::ACTUATOR;
use crate::metrics::Metrics;
use crate::state_dir::CHECK;
use crate::thread::stop::{Never, Stop};
use crate::timestamp;

/// The journal, and what has changed while results wait, is looked after this often.
const LOOK: Duration = Duration::from_secs(5);
/// How long after the stop results are still delivered.
const FLUSH: Duration = Duration::from_secs(2);

/// Delivers results and looks after the journal.
pub struct Outbox {
    /// The journal is behind it.
    pub inbox: Arc<Inbox>,
    /// The backend.
    pub backend: Arc<Client>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Fires when a result waits.
    pub results: Receiver<()>,
}

impl Outbox {
    /// Runs until the stop, and for a moment after it while results wait.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        let mut schedule = Schedule::default();
        loop {
            let trouble = self.look_after(component);
            match trouble.as_deref().or(schedule.trouble()) {
                Some(why) => component.degraded(why),
                None => component.running(),
            }
            if stop.requested() {
                self.flush(stop);
                return Ok(());
            }
            let now = Instant::now();
            let key_version = self.backend.key_version();
            if let Some((id, body)) = self.next(&schedule, now, key_version) {
                self.deliver(&id, &body, &mut schedule);
                continue;
            }
            let quiet = schedule.quiet(now, key_version).min(LOOK);
            select_biased! {
                recv(stop.signal()) -> _ => (),
                recv(self.results) -> _ => (),
                default(quiet) => (),
            }
        }
    }

    /// The stop is the last chance of a result whose STATE_DIR goes with the pod: each that waits is tried once more,
    /// whatever it waits for. What is not delivered stays in the journal.
    fn flush(&self, stop: &Stop) {
        let mut tried = HashSet::new();
        loop {
            let left = FLUSH.saturating_sub(stop.elapsed().unwrap_or_default());
            let next = self
                .unsent(|mut waiting| Iterator::find(&mut waiting, |(id, _)| !tried.contains(*id)));
            let (false, Some((id, body))) = (left.is_zero(), next) else {
                return;
            };
            if let Err(failure) = self.send(&id, &body, left) {
                warn!(target: ACTUATOR, "The result of action {id} stays in STATE_DIR: {failure}");
            }
            tried.insert(id);
        }
    }

    /// Keeps the journal in order and says in `/readyz` whether it can be written; returns what is wrong with it.
    fn look_after(&self, component: &Component) -> Option<String> {
        let mut journal = self.inbox.journal();
        let outcome = journal
            .maintain(timestamp::unix_seconds())
            .and_then(|()| journal.may_claim());
        let waiting = journal.unsent().count();
        let parked = journal.in_parking().count();
        drop(journal);
        self.metrics
            .outbox_results
            .with_label_values(&["waiting"])
            .set(small(waiting));
        self.metrics
            .outbox_results
            .with_label_values(&["parked"])
            .set(small(parked));
        self.metrics
            .journal_writable
            .set(i64::from(outcome.is_ok()));
        let outcome = outcome.map_err(|err| err.to_string());
        component.health().check(CHECK, outcome.clone());
        outcome.err()
    }

    /// The result whose turn it is.
    fn next(
        &self,
        schedule: &Schedule,
        now: Instant,
        key_version: u64,
    ) -> Option<(EnvelopeId, String)> {
        self.unsent(|waiting| schedule.pick(waiting, now, key_version))
    }

    /// One of the results that wait, oldest first.
    fn unsent(
        &self,
        pick: impl for<'a> FnOnce(
            &mut dyn Iterator<Item = (&'a EnvelopeId, &'a ResultBody)>,
        ) -> Option<(&'a EnvelopeId, &'a ResultBody)>,
    ) -> Option<(EnvelopeId, String)> {
        let journal = self.inbox.journal();
        let (id, body) = pick(&mut journal.unsent())?;
        Some((id.clone(), body.as_str().to_owned()))
    }

    /// Sends a result and notes what follows.
    fn deliver(&self, id: &EnvelopeId, body: &str, schedule: &mut Schedule) {
        let sent = self.send(id, body, TOTAL);
        let now = Instant::now();
        match sent {
            Ok(()) => schedule.settled(id, now),
            Err(failure) if is_refused(&failure) => {
                warn!(target: ACTUATOR, "The backend refuses the result of action {id}: {failure}");
                if schedule.refused(id, &failure, now) {
                    self.park(id);
                }
            }
            Err(failure) => {
                let pause = schedule.failed(id, &failure, now);
                debug!(target: ACTUATOR, "Failed to deliver the result of action {id}: {failure}; trying again in {:.1} s", pause.as_secs_f64());
            }
        }
    }

    /// Sends a result; `Ok` also where the backend will never take it, and has said so.
    fn send(&self, id: &EnvelopeId, body: &str, deadline: Duration) -> Result<(), Failure> {
        let path = format!("/v1/actions/{}/result", segment(id.as_str()));
        let sent = self.backend.call(Call {
            endpoint: "result",
            method: Method::PUT,
            path: &path,
            body: Body::Json(body.as_bytes().to_vec()),
            deadline,
            success: &[204],
        });
        let outcome = match sent {
            Ok(_) => "delivered",
            // The backend does not know it or has another: either way it will never take this one.
            Err(Failure::Refused { code: 409, why }) => {
                warn!(target: ACTUATOR, "The backend has another result of action {id}: {why}");
                "conflict"
            }
            Err(Failure::Refused {
                code: 404 | 410, ..
            }) => "unknown",
            Err(failure) => return Err(failure),
        };
        self.metrics.results.with_label_values(&[outcome]).inc();
        self.reported(id);
        Ok(())
    }

    fn reported(&self, id: &EnvelopeId) {
        if let Err(err) = self.inbox.journal().reported(id) {
            // The backend takes an identical repeat, so all that is lost is a request after a restart.
            debug!(target: ACTUATOR, "That the result of {id} was delivered is not written down: {err}");
        }
    }

    fn park(&self, id: &EnvelopeId) {
        error!(target: ACTUATOR, "The result of action {id} is parked in STATE_DIR: the backend refuses it again and again");
        self.metrics.results.with_label_values(&["parked"]).inc();
        if let Err(err) = self.inbox.journal().parked(id) {
            debug!(target: ACTUATOR, "That the result of {id} is parked is not written down: {err}");
        }
    }
}

fn small(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
