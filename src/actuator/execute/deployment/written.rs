//! A change that was written: the wait until it has taken effect, and what may come in between.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::keeper::Keeper;
use super::managers::{changer, writer};
use super::trouble::{self, Trouble};
use super::{Named, paused, state, uid};
use crate::actions::outcome::{Reason, Status};
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;
use crate::actuator::execute::guarded;
use crate::actuator::execute::rollout::{self, Aim, Rollout};
use crate::kube::objects::Deployment;

/// A change of a deployment that was written, and is now to take effect.
pub struct Written<'a> {
    /// Which.
    pub named: Named<'a>,
    /// As it was before the write.
    pub before: &'a Deployment,
    /// What it is to bring about.
    pub aim: Aim,
    /// A sentence of what was written: "scaled deployment shop/web from 2 to 5".
    pub what: String,
    /// The same for `details`.
    pub change: Value,
    /// The pointer in `managedFields` to the field that was written.
    pub field: String,
}

impl Written<'_> {
    /// Waits until the change, which is there while `holds`, has taken effect and stays: until the action's deadline.
    ///
    /// What was there before is written down first: after a crash nothing else would know what to go back to.
    ///
    /// It stays if it is seen in two looks, or for as long as whoever keeps the deployment may need to restore what he
    /// holds elsewhere.
    pub fn converge(
        &self,
        context: &Context<'_>,
        holds: impl Fn(&Deployment) -> bool,
    ) -> Result<Ended, Ended> {
        context
            .record
            .step(&json!({"written": self.change, "before": state(self.before)}));
        let stuck_before = rollout::stuck_since(self.before);
        let keeper = Keeper::of(&self.before.metadata);
        let mut effect = Effect::new(keeper.map_or(Duration::ZERO, |it| it.settles()));
        let mut last: Option<(Deployment, Rollout)> = None;
        let found = guarded::until(context, context.deadline, || {
            let now = self.named.read(context, Some(uid(self.before)))?;
            if !holds(&now) {
                return Ok(Some(self.undone(&now)));
            }
            let rollout = rollout::of(&now, self.aim, stuck_before.as_ref());
            let is_news = last.as_ref().is_none_or(|(_, it)| *it != rollout);
            let is_complete = rollout == Rollout::Complete;
            let stays = effect.seen(is_complete, Instant::now());
            let ended = match &rollout {
                Rollout::Complete if stays => Some(self.done()),
                Rollout::Complete => {
                    if is_news {
                        progress(context, &now, "complete; whether it stays so is looked at");
                    }
                    None
                }
                Rollout::Stuck(why) => Some(self.held_up(context, &now, |because| {
                    let why = format!("its rollout failed: {why}{because}");
                    self.failed(Some(Reason::TimedOut), &why)
                })),
                Rollout::Paused(why) => Some(self.partial(None, &paused(why))),
                Rollout::Waiting(awaited) => {
                    if is_news {
                        progress(context, &now, awaited);
                    }
                    None
                }
            };
            let found = ended.map(|it| it.with("after", state(&now)));
            last = Some((now, rollout));
            Ok(found)
        });
        let cut_short = match found {
            Ok(Some(ended)) => return Ok(self.about(ended)),
            Ok(None) => None,
            Err(ended) => Some(ended),
        };
        let seen = |ended: Ended| match &last {
            Some((now, _)) => ended.with("after", state(now)),
            None => ended,
        };
        // It has taken effect; only the look whether it stays was cut short.
        if effect.since.is_some() {
            return Ok(self.about(seen(self.done())));
        }
        let (awaited, now) = match &last {
            Some((now, Rollout::Waiting(awaited))) => (awaited.as_str(), now),
            _ => ("its state was not seen", self.before),
        };
        match cut_short {
            None => {
                let ended = self.held_up(context, now, |because| {
                    let why = format!("it has not come to its end in time: {awaited}{because}");
                    self.partial(Some(Reason::TimedOut), &why)
                });
                Ok(self.about(seen(ended)))
            }
            Some(mut ended) => {
                ended.message = match ended.reason {
                    Some(Reason::Shutdown) => format!(
                        "{}; {} before it came to its end: {awaited}",
                        self.what, ended.message
                    ),
                    _ => format!("{}; then {}", self.what, ended.message),
                };
                Err(self.about(seen(ended.after_write())))
            }
        }
    }

    /// `ended` with what was written and what was there before.
    pub fn about(&self, ended: Ended) -> Ended {
        ended
            .with("uid", uid(self.before))
            .with("before", state(self.before))
            .with("written", self.change.clone())
    }

    fn undone(&self, now: &Deployment) -> Ended {
        let by = writer(&now.metadata, &self.field);
        let who = changer(&now.metadata, &self.field);
        self.failed(None, &format!("{who} has changed it again"))
            .with("reverted_by", by)
            .with("after", state(now))
    }

    /// The end of a rollout that is held up, made with what holds it up: as the deployment's controller says it, and
    /// as its pods show it.
    fn held_up(
        &self,
        context: &Context<'_>,
        now: &Deployment,
        end: impl Fn(&str) -> Ended,
    ) -> Ended {
        let troubles = trouble::look(self.named, context);
        let failure = rollout::failure(now).into_iter();
        let all = failure.chain(troubles.first().map(Trouble::to_string));
        let because = all.fold(String::new(), |text, it| text + "; " + &it);
        let ended = end(&because);
        if troubles.is_empty() {
            return ended;
        }
        let pods: Vec<_> = troubles.iter().map(Trouble::details).collect();
        ended.with("pods", pods)
    }

    fn done(&self) -> Ended {
        Ended::succeeded(self.what.clone())
    }

    fn partial(&self, reason: Option<Reason>, why: &str) -> Ended {
        Ended::new(Status::Partial, reason, format!("{}, but {why}", self.what))
    }

    fn failed(&self, reason: Option<Reason>, why: &str) -> Ended {
        Ended::new(Status::Failed, reason, format!("{}, but {why}", self.what))
    }
}

/// Whether a change that has taken effect stays.
struct Effect {
    /// For how long it must be seen; in two looks in any case.
    settles: Duration,
    /// Since when it is seen in every look.
    since: Option<Instant>,
}

impl Effect {
    fn new(settles: Duration) -> Self {
        Self {
            settles,
            since: None,
        }
    }

    /// Takes in what a look has shown; true if that is enough.
    fn seen(&mut self, is_there: bool, now: Instant) -> bool {
        match (self.since, is_there) {
            (_, false) => self.since = None,
            (None, true) => self.since = Some(now),
            (Some(since), true) => return now.duration_since(since) >= self.settles,
        }
        false
    }
}

fn progress(context: &Context<'_>, now: &Deployment, awaited: &str) {
    let count = |it: i32| u64::try_from(it).unwrap_or_default();
    let status = now.status.as_ref();
    let available = status
        .and_then(|it| it.available_replicas)
        .unwrap_or_default();
    context
        .record
        .progress(awaited, count(available), count(rollout::wanted(now)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_stays_if_it_is_seen_twice_and_for_long_enough() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut effect = Effect::new(Duration::ZERO);
        let looks = [(0, false, false), (1, true, false), (2, true, true)];
        for (seconds, is_there, stays) in looks {
            assert_eq!(effect.seen(is_there, at(seconds)), stays, "{seconds}");
        }
        let mut effect = Effect::new(Duration::from_secs(10));
        let looks = [
            (0, true, false),
            (5, true, false),
            // A pod has crashed: from the beginning.
            (6, false, false),
            (7, true, false),
            (16, true, false),
            (17, true, true),
        ];
        for (seconds, is_there, stays) in looks {
            assert_eq!(effect.seen(is_there, at(seconds)), stays, "{seconds}");
        }
    }
}
