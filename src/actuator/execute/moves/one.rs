//! One pod on its way out: how far it is, and what `details` say of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::actuator::execute::budgets::block::Block;
use crate::actuator::execute::drain::plan::Group;
use crate::actuator::execute::eviction::answer::{Answer, Answered};
use crate::actuator::execute::pods::Pod;

/// A pod that takes so much longer to end than its grace period is stuck.
const STUCK: Duration = Duration::from_mins(1);

/// What is said of a pod that was asked for without an answer.
pub const MAYBE: &str = "an answer was lost, so its eviction may have been accepted";

/// One pod.
#[derive(Debug)]
pub struct Move {
    /// The pod as it was seen last.
    pub pod: Pod,
    /// When its turn comes.
    pub group: Group,
    /// How far it is.
    pub stage: Stage,
    /// It came in the place of one that was evicted.
    pub(super) came_back: bool,
    /// An eviction was sent whose answer was lost: it may have been accepted.
    pub(super) maybe: bool,
    /// Failures of every kind, by which the pauses grow.
    pub(super) failures: u32,
    /// So many answers of the kind that is final only when it is given again and again, in a row.
    pub(super) in_a_row: u32,
    pub(super) was_asked: bool,
    pub(super) block: Option<Block>,
    pub(super) last: Option<Answered>,
}

/// How far a pod is.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// To be evicted.
    Due {
        /// Not before.
        at: Instant,
        /// Whatever the budgets seem to say.
        ask: bool,
    },
    /// A budget holds it; asked again then at the latest.
    Held {
        /// When.
        until: Instant,
    },
    /// It is being deleted.
    Ending {
        /// By us.
        ours: bool,
        /// Since when, as far as we know.
        since: Instant,
    },
    /// Settled.
    Done(Fate),
}

/// What became of a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// We evicted it, and it is gone.
    Evicted,
    /// It is the agent's own: its eviction was accepted, its end we shall not see.
    Accepted,
    /// It went without us.
    Gone,
    /// Another pod has its name.
    Replaced,
    /// Its budgets never allow it.
    Never(Block),
    /// Refused for good.
    Failed(Box<Answered>),
    /// It came to the node when it was being drained, in the place of one that we evicted, and not as the first.
    Returned,
    /// It may not be evicted, as it turned out on the way.
    Refused(Value),
}

impl Move {
    /// What became of it, if that is settled.
    pub fn fate(&self) -> Option<&Fate> {
        match &self.stage {
            Stage::Done(fate) => Some(fate),
            _ => None,
        }
    }

    /// Whether an eviction of ours has ended it, or is ending it.
    pub fn is_ours(&self) -> bool {
        matches!(
            self.stage,
            Stage::Ending { ours: true, .. } | Stage::Done(Fate::Evicted | Fate::Accepted)
        )
    }

    /// Settled as the action wants it, or open.
    pub fn may_succeed(&self) -> bool {
        self.fate().is_none_or(Fate::is_good)
    }

    /// Whether it is open and an eviction was sent whose answer was lost.
    pub fn may_be_evicted(&self) -> bool {
        self.maybe && self.is_open()
    }

    /// What holds it, if it is held.
    pub fn block(&self) -> Option<&Block> {
        match &self.stage {
            Stage::Done(Fate::Never(block)) => Some(block),
            Stage::Done(_) | Stage::Ending { .. } => None,
            Stage::Due { .. } | Stage::Held { .. } => self.block.as_ref(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Due { .. } | Stage::Held { .. })
    }

    pub(super) fn is_held_by(&self, block: &Block) -> bool {
        matches!(self.stage, Stage::Held { .. })
            && self
                .block
                .as_ref()
                .is_some_and(|it| it.budgets == block.budgets)
    }

    /// What `details` say of it, when the action ends at `now`: its outcome, and why.
    pub fn details(&self, now: Instant) -> Value {
        let plain = |outcome: &str| json!({"outcome": outcome});
        match &self.stage {
            Stage::Done(fate) => fate.details(),
            Stage::Ending { since, .. } => {
                let grace = Duration::from_secs(self.pod.ending.unwrap_or_default());
                let is_stuck = now.saturating_duration_since(*since) > grace + STUCK;
                let outcome = if is_stuck {
                    "stuck_terminating"
                } else {
                    "terminating"
                };
                let mut details = plain(outcome);
                if !self.pod.finalizers.is_empty() {
                    details["finalizers"] = json!(self.pod.finalizers);
                }
                details
            }
            Stage::Due { .. } | Stage::Held { .. } => match (&self.block, &self.last) {
                (Some(block), _) => {
                    json!({"outcome": "blocked", "never": false, "budget": block.details(), "message": block.text()})
                }
                (None, Some(last)) if self.maybe => {
                    let message = format!("{}; {MAYBE}", last.text);
                    json!({"outcome": "timed_out", "message": message, "status": last.status})
                }
                (None, Some(last)) => {
                    json!({"outcome": "timed_out", "message": last.text, "status": last.status})
                }
                (None, None) => plain("not_tried"),
            },
        }
    }
}

impl Fate {
    /// Whether the pod is out of the way.
    pub fn is_good(&self) -> bool {
        matches!(
            self,
            Self::Evicted | Self::Accepted | Self::Gone | Self::Replaced
        )
    }

    fn details(&self) -> Value {
        match self {
            Self::Evicted => json!({"outcome": "evicted"}),
            Self::Accepted => {
                json!({"outcome": "evicted", "message": "the agent's own pod: its end is not waited for"})
            }
            Self::Gone => json!({"outcome": "already_gone"}),
            Self::Replaced => json!({"outcome": "replaced"}),
            Self::Never(block) => never_details(block),
            Self::Failed(answered) => {
                let outcome = match answered.answer {
                    Answer::Forbidden => "forbidden",
                    _ => "failed",
                };
                json!({"outcome": outcome, "message": answered.text, "status": answered.status})
            }
            Self::Returned => {
                let message = "it came again in the place of an evicted pod: its controller puts it on this node";
                json!({"outcome": "returned", "message": message})
            }
            Self::Refused(details) => details.clone(),
        }
    }
}

/// What `details` say of a pod that its budgets never allow to go.
pub fn never_details(block: &Block) -> Value {
    let outcome = if block.budgets.len() == 1 {
        "blocked"
    } else {
        "pdb_misconfigured"
    };
    json!({"outcome": outcome, "never": true, "budget": block.details(), "message": block.text()})
}
