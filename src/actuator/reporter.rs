//! Brings results home: until the backend has them, or has said for good that it will not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select_biased};
use log::{debug, error, warn};
use ureq::http::Method;

use super::inbox::Inbox;
use crate::actions::id::EnvelopeId;
use crate::backend::Client;
use crate::backend::call::{Body, Call, TOTAL, segment};
use crate::backend::retry::{Failure, Retry};
use crate::health::Component;
use crate::logging::ACTUATOR;
use crate::metrics::Metrics;
use crate::state_dir::CHECK;
use crate::thread::stop::{Never, Stop};
use crate::timestamp;

/// A result that the backend refuses is tried again after this...
const REFUSED_PAUSE: Duration = Duration::from_mins(10);
/// ...so many times, and then parked (protocol, section 2).
const REFUSED_TRIES: u32 = 6;
/// The journal is looked after this often.
const MAINTENANCE: Duration = Duration::from_secs(5);
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

/// How often a result was refused, and when it is tried again.
struct Refused {
    tries: u32,
    next: Instant,
}

impl Outbox {
    /// Runs until the stop, and for a moment after it while results wait.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        let mut retry = Retry::default();
        let mut refused = HashMap::new();
        let mut pause = Duration::ZERO;
        loop {
            component.beat();
            if self.wait(pause, stop) {
                return Ok(());
            }
            self.look_after(component);
            let due = self.next(&refused);
            pause = match due {
                None if stop.requested() => return Ok(()),
                None => MAINTENANCE,
                Some((id, body)) => match self.send(&id, &body) {
                    Ok(()) => {
                        retry.succeeded();
                        component.running();
                        refused.remove(&id);
                        Duration::ZERO
                    }
                    Err(Failure::Refused { code, why }) => {
                        self.refused(&id, code, &why, &mut refused);
                        Duration::ZERO
                    }
                    Err(failure) => {
                        component.degraded(&format!("failed to deliver a result: {failure}"));
                        let pause = retry.after(&failure);
                        debug!(target: ACTUATOR, "Failed to deliver the result of {id}: {failure}");
                        if stop.requested() || self.backend.pause(pause, &failure, stop) {
                            return Ok(());
                        }
                        Duration::ZERO
                    }
                },
            };
        }
    }

    /// Waits for a result or for `pause`; true when it is time to end.
    fn wait(&self, pause: Duration, stop: &Stop) -> bool {
        if let Some(since) = stop.elapsed() {
            return since >= FLUSH;
        }
        if !pause.is_zero() {
            select_biased! {
                recv(stop.signal()) -> _ => (),
                recv(self.results) -> _ => (),
                default(pause) => (),
            }
        }
        false
    }

    /// Keeps the journal in order and says in `/readyz` whether it can be written.
    fn look_after(&self, component: &Component) {
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
        if let Err(err) = &outcome {
            component.degraded(&err.to_string());
        }
        component
            .health()
            .check(CHECK, outcome.map_err(|err| err.to_string()));
    }

    /// The oldest result that is due.
    fn next(&self, refused: &HashMap<EnvelopeId, Refused>) -> Option<(EnvelopeId, String)> {
        let now = Instant::now();
        let journal = self.inbox.journal();
        let mut unsent = journal.unsent();
        let due = unsent.find(|(id, _)| refused.get(*id).is_none_or(|it| it.next <= now));
        due.map(|(id, body)| (id.clone(), body.as_str().to_owned()))
    }

    fn send(&self, id: &EnvelopeId, body: &str) -> Result<(), Failure> {
        let path = format!("/v1/actions/{}/result", segment(id.as_str()));
        let sent = self.backend.call(Call {
            endpoint: "result",
            method: Method::PUT,
            path: &path,
            body: Body::Json(body.as_bytes().to_vec()),
            deadline: TOTAL,
            success: &[204],
        });
        match sent {
            Ok(_) => (),
            // The backend does not know it or has another: either way it will never take this one.
            Err(Failure::Refused {
                code: code @ (404 | 409 | 410),
                why,
            }) => {
                if code == 409 {
                    warn!(target: ACTUATOR, "The backend has another result of action {id}: {why}");
                }
                self.metrics
                    .results
                    .with_label_values(&[if code == 409 { "conflict" } else { "unknown" }])
                    .inc();
                self.reported(id);
                return Ok(());
            }
            Err(Failure::TooLarge) => {
                return Err(Failure::Refused {
                    code: 413,
                    why: "too large".to_owned(),
                });
            }
            Err(failure) => return Err(failure),
        }
        self.metrics.results.with_label_values(&["delivered"]).inc();
        self.reported(id);
        Ok(())
    }

    fn reported(&self, id: &EnvelopeId) {
        if let Err(err) = self.inbox.journal().reported(id) {
            // The backend takes an identical repeat, so all that is lost is a request after a restart.
            debug!(target: ACTUATOR, "That the result of {id} was delivered is not written down: {err}");
        }
    }

    fn refused(
        &self,
        id: &EnvelopeId,
        code: u16,
        why: &str,
        refused: &mut HashMap<EnvelopeId, Refused>,
    ) {
        let entry = refused.entry(id.clone()).or_insert(Refused {
            tries: 0,
            next: Instant::now(),
        });
        entry.tries += 1;
        entry.next = Instant::now() + REFUSED_PAUSE;
        warn!(target: ACTUATOR, "The backend refuses the result of action {id}: {code} {why}");
        if entry.tries > REFUSED_TRIES {
            error!(target: ACTUATOR, "The result of action {id} is parked in STATE_DIR after {} refusals", entry.tries);
            refused.remove(id);
            self.metrics.results.with_label_values(&["parked"]).inc();
            if let Err(err) = self.inbox.journal().parked(id) {
                debug!(target: ACTUATOR, "That the result of {id} is parked is not written down: {err}");
            }
        }
    }
}

fn small(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
