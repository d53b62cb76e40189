//! A change that was written: the wait until it has taken effect, and what may come in between.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::keeper::Keeper;
use super::managers::writer;
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
    /// It stays if it is seen in two looks, or for as long as whoever keeps the deployment may need to restore what he
    /// holds elsewhere.
    pub fn converge(
        &self,
        context: &Context<'_>,
        holds: impl Fn(&Deployment) -> bool,
    ) -> Result<Ended, Ended> {
        let stuck_before = rollout::stuck_since(self.before);
        let keeper = Keeper::of(&self.before.metadata);
        let settles = keeper.map_or(Duration::ZERO, |it| it.settles());
        let mut last: Option<(Deployment, Rollout)> = None;
        let mut complete_since: Option<Instant> = None;
        let found = guarded::until(context, context.deadline, || {
            let now = self.named.read(context, Some(uid(self.before)))?;
            if !holds(&now) {
                return Ok(Some(self.undone(&now)));
            }
            let rollout = rollout::of(&now, self.aim, stuck_before.as_ref());
            let is_news = last.as_ref().is_none_or(|(_, it)| *it != rollout);
            if rollout != Rollout::Complete {
                complete_since = None;
            }
            let ended = match &rollout {
                Rollout::Complete => match complete_since {
                    Some(since) if since.elapsed() >= settles => Some(self.done()),
                    Some(_) => None,
                    None => {
                        complete_since = Some(Instant::now());
                        progress(context, &now, "complete; whether it stays so is looked at");
                        None
                    }
                },
                Rollout::Stuck(why) => {
                    let why = format!("its rollout failed: {why}{}", because(&now));
                    Some(self.failed(Some(Reason::TimedOut), &why))
                }
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
        if complete_since.is_some() {
            return Ok(self.about(seen(self.done())));
        }
        let awaited = match &last {
            Some((now, Rollout::Waiting(awaited))) => format!("{awaited}{}", because(now)),
            _ => "its state was not seen".to_owned(),
        };
        match cut_short {
            None => {
                let why = format!("it has not come to its end in time: {awaited}");
                Ok(self.about(seen(self.partial(Some(Reason::TimedOut), &why))))
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
        let who = by.as_deref().unwrap_or("somebody");
        self.failed(None, &format!("{who} has changed it again"))
            .with("reverted_by", by)
            .with("after", state(now))
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

/// What stands in the way of the pods that are missing, if the deployment's controller knows of anything.
fn because(now: &Deployment) -> String {
    rollout::failure(now).map_or_else(String::new, |it| format!("; {it}"))
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
