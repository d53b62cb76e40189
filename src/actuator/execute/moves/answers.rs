//! What follows from the server's answer to an eviction.

use std::time::{Duration, Instant};

use super::one::{Fate, Stage};
use super::{ASK_AGAIN, Moves};
use crate::actuator::execute::budgets::Verdict;
use crate::actuator::execute::budgets::block::Block;
use crate::actuator::execute::drain::plan::Group;
use crate::actuator::execute::eviction::answer::{Answer, Answered};

/// A failure without a wish for a pause: this at first, doubled each time...
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// ...up to this.
const RETRY_MOST: Duration = Duration::from_secs(5);
/// The pause after a 429 of API priority and fairness that names none.
pub(super) const THROTTLED: Duration = Duration::from_secs(1);
/// A 500 may pass, but mostly does not: final when it was given so often in a row. That a webhook or etcd failed and
/// that budgets overlap are two answers, neither of which counts for the other.
pub(super) const TRIES_OF_500: u32 = 4;

impl Moves {
    /// The server's answer to the eviction of the pod of this index.
    pub fn answered(&mut self, index: usize, answered: Answered, now: Instant) {
        let it = &mut self.pods[index];
        it.was_asked = true;
        let is_repeated = it.last.as_ref().is_some_and(|it| it.is_like(&answered));
        it.in_a_row = if is_repeated { it.in_a_row + 1 } else { 1 };
        let in_a_row = it.in_a_row;
        let pause = |failures: u32| {
            let pause = RETRY_FIRST.saturating_mul(1 << failures.min(10));
            pause.min(RETRY_MOST)
        };
        let later = |failures: u32| Stage::Due {
            at: now + answered.retry_after.unwrap_or(pause(failures)),
            ask: true,
        };
        match &answered.answer {
            Answer::Accepted => {
                it.block = None;
                it.stage = if it.group == Group::Own {
                    Stage::Done(Fate::Accepted)
                } else {
                    Stage::Ending {
                        ours: true,
                        since: now,
                    }
                };
                let pod = it.pod.clone();
                self.budgets.spend(&pod);
            }
            Answer::Gone => self.gone(index),
            Answer::Budget(block) => {
                let mut block = block.clone();
                // The server knows best that it is held; by what, the budgets may tell better.
                if let Verdict::Never(known) = self.verdict(index) {
                    self.pods[index].stage = Stage::Done(Fate::Never(known));
                    return;
                }
                if let (true, Verdict::Held(known)) = (block.numbers.is_none(), self.verdict(index))
                {
                    block = known;
                }
                let until = now + answered.retry_after.unwrap_or(ASK_AGAIN).max(ASK_AGAIN);
                for other in self.pods.iter_mut().filter(|it| it.is_held_by(&block)) {
                    other.stage = Stage::Held { until };
                }
                self.hold(index, block, until);
            }
            Answer::Overlap => {
                // It may pass: one takes the place of another, and both are there for a moment.
                self.pods[index].stage = match self.verdict(index) {
                    _ if in_a_row < TRIES_OF_500 => later(in_a_row - 1),
                    Verdict::Never(block) => Stage::Done(Fate::Never(block)),
                    _ => Stage::Done(Fate::Never(Block::read(&answered.text))),
                };
            }
            Answer::Throttled => {
                let until = now + answered.retry_after.unwrap_or(THROTTLED);
                // After the pause the others first: it may be that this pod alone is answered so.
                it.stage = Stage::Due {
                    at: until + pause(it.failures),
                    ask: true,
                };
                it.failures += 1;
                self.paused_until = Some(until);
            }
            Answer::Conflict | Answer::NotSent => {
                it.stage = later(it.failures);
                it.failures += 1;
            }
            Answer::NotNow => {
                it.stage = Stage::Due {
                    at: now + answered.retry_after.unwrap_or(ASK_AGAIN),
                    ask: true,
                };
            }
            Answer::Failed | Answer::Lost => {
                it.maybe = true;
                it.failures += 1;
                it.stage = if answered.code() == Some(500) && in_a_row >= TRIES_OF_500 {
                    Stage::Done(Fate::Failed(Box::new(answered.clone())))
                } else {
                    later(it.failures - 1)
                };
            }
            Answer::Forbidden | Answer::WrongVersion | Answer::Refused => {
                it.stage = Stage::Done(Fate::Failed(Box::new(answered.clone())));
            }
        }
        self.pods[index].last = Some(answered);
    }
}
