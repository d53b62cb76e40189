//! The one door for envelopes, whichever channel brings them: proves them, drops copies, keeps the rest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use log::{debug, warn};

use super::queue::{Job, Queue, Task};
use super::rejections::Rejections;
use crate::actions::envelope::RawEnvelope;
use crate::actions::id::EnvelopeId;
use crate::actions::keys::{Key, Keys};
use crate::actions::known::Seen;
use crate::actions::refusal::Refusal;
use crate::actions::verify::{Identity, Order, Verified, verify};
use crate::config::key_file;
use crate::journal::{Journal, Recovered, Stage};
use crate::logging::ACTUATOR;
use crate::metrics::Metrics;
use crate::settings::{self, Live, Taken};
use crate::timestamp;

/// What became of an envelope at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Taken; a result follows, unless the claim is refused.
    Accepted(EnvelopeId),
    /// Taken before.
    Duplicate(EnvelopeId),
    /// Settings, proven: in force, or refused for a reason.
    Settled {
        /// Their envelope.
        id: EnvelopeId,
        /// Their version.
        version: u64,
        /// Why they are not in force.
        refused: Option<&'static str>,
    },
    /// Not proven. `loud` if this should be said now: at most once a minute for an id.
    Rejected {
        /// The id, where one can be read.
        id: Option<EnvelopeId>,
        /// Why, as the wire writes it.
        reason: &'static str,
        /// Whether to answer.
        loud: bool,
    },
    /// No room at the moment: it stays at the backend, which offers it again.
    Later,
}

impl Receipt {
    /// For the metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Duplicate(_) => "duplicate",
            Self::Settled { refused: None, .. } => "applied",
            Self::Settled { .. } | Self::Rejected { .. } => "rejected",
            Self::Later => "later",
        }
    }
}

/// The channel that brought an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The poller.
    Polled,
    /// The WebSocket.
    Pushed,
}

impl Source {
    fn label(self) -> &'static str {
        match self {
            Self::Polled => "polled",
            Self::Pushed => "pushed",
        }
    }
}

/// The door and what stands behind it.
pub struct Inbox {
    /// What survives a crash.
    pub journal: Mutex<Journal>,
    /// Proven orders on their way to a worker.
    pub queue: Queue,
    /// What was refused.
    pub rejections: Rejections,
    identity: Identity,
    secret: Arc<key_file::Key>,
    previous: Option<Arc<key_file::Key>>,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
}

impl Inbox {
    /// The door of the agent that `identity` names, with the keys that `secret` and `previous` hold at each time.
    pub fn new(
        journal: Journal,
        queue: Queue,
        identity: Identity,
        secret: Arc<key_file::Key>,
        previous: Option<Arc<key_file::Key>>,
        live: Arc<Live>,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.config_version.set(small(journal.config().0));
        Self {
            journal: Mutex::new(journal),
            queue,
            rejections: Rejections::default(),
            identity,
            secret,
            previous,
            live,
            metrics,
        }
    }

    /// The journal. Held shortly: a write to the disk at most.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if another order may be taken.
    pub fn is_open(&self) -> bool {
        self.queue.has_room() && self.journal().may_claim().is_ok()
    }

    /// Takes an envelope, or says why not.
    pub fn offer(&self, envelope: Result<RawEnvelope, Refusal>, source: Source) -> Receipt {
        let now = timestamp::unix_seconds();
        let receipt = match envelope.and_then(|it| self.verify(it, now)) {
            Ok(verified) => self.take(verified),
            Err(refusal) => self.refuse(&refusal),
        };
        self.metrics
            .envelopes
            .with_label_values(&[source.label(), receipt.label()])
            .inc();
        receipt
    }

    fn verify(&self, envelope: RawEnvelope, now: i64) -> Result<Verified, Refusal> {
        let current = Key::parse(&self.secret.current().0).map_err(|_| unusable_key(&envelope))?;
        let previous = self
            .previous
            .as_ref()
            .and_then(|it| Key::parse(&it.current().0).ok());
        verify(&Keys { current, previous }, &self.identity, now, envelope)
    }

    fn take(&self, verified: Verified) -> Receipt {
        let id = verified.id().clone();
        let mut journal = self.journal();
        match journal.seen(&verified) {
            Seen::Duplicate => return Receipt::Duplicate(id),
            Seen::Conflict => {
                drop(journal);
                return self.refuse(&Refusal::id_conflict(id));
            }
            Seen::New => (),
        }
        if let Order::Settings(order) = verified.order() {
            let taken = settings::take(&verified, order, &mut journal, &self.live);
            drop(journal);
            return self.settled(id, order.version, taken);
        }
        if !self.queue.has_room() {
            return Receipt::Later;
        }
        if let Err(err) = journal.received(&verified) {
            debug!(target: ACTUATOR, "Action {id} stays at the backend: {err}");
            return Receipt::Later;
        }
        drop(journal);
        // Room was there a moment ago, and one more than the bound does no harm: the order is ours now.
        self.queue.restore(Job {
            verified,
            task: Task::Run { claimed: false },
        });
        Receipt::Accepted(id)
    }

    fn settled(&self, id: EnvelopeId, version: u64, taken: Taken) -> Receipt {
        let refused = match taken {
            Taken::Later => return Receipt::Later,
            Taken::Applied => {
                self.metrics.config_version.set(small(version));
                None
            }
            Taken::Refused(reason) => {
                self.metrics.refusals.with_label_values(&[reason]).inc();
                self.rejections.add(id.as_str(), reason, Instant::now());
                warn!(target: ACTUATOR, "Refused settings version {version} of envelope {id}: {reason}");
                Some(reason)
            }
        };
        Receipt::Settled {
            id,
            version,
            refused,
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Receipt {
        let reason = refusal.reason.as_str();
        self.metrics.refusals.with_label_values(&[reason]).inc();
        let id = refusal.id.clone();
        let loud = self.rejections.add(
            id.as_ref().map_or("", EnvelopeId::as_str),
            reason,
            Instant::now(),
        );
        if loud {
            // People grep for the word "signature".
            warn!(target: ACTUATOR, "Refused an envelope whose signature or form proves nothing: {refusal}");
        }
        Receipt::Rejected { id, reason, loud }
    }

    /// Takes up what a crash or a restart has left. Returns the claimed orders that cannot be proven any more:
    /// they are owed a result.
    pub fn recover(&self, recovered: Recovered) -> Vec<(RawEnvelope, Stage)> {
        let mut owed = Vec::new();
        for it in recovered.unfinished {
            let envelope = it.envelope.clone();
            // As of a moment at which it was valid: that it was in time was proven when it was taken, and what was begun
            // has to be understood to be observed. Whether it may still begin is asked before it does.
            let verified = match self.verify(it.envelope, it.expires_at - 1) {
                Ok(verified) => verified,
                Err(refusal) => {
                    warn!(target: ACTUATOR, "An order from before the restart is not proven any more: {refusal}");
                    match it.stage {
                        Stage::Received => drop(self.journal().dropped(envelope.id())),
                        stage => owed.push((envelope, stage)),
                    }
                    continue;
                }
            };
            let task = match it.stage {
                Stage::Received => Task::Run { claimed: false },
                Stage::Claimed => Task::Run { claimed: true },
                Stage::Started { at, steps } => Task::Observe {
                    started_at: at,
                    steps,
                },
            };
            self.queue.restore(Job { verified, task });
        }
        owed
    }
}

fn small(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn unusable_key(envelope: &RawEnvelope) -> Refusal {
    Refusal {
        id: Some(envelope.id().clone()),
        reason: crate::actions::refusal::NotProven::BadSignature,
        detail: "SECRET_KEY cannot be used",
    }
}
