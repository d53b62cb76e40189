//! One write of an object that others change too: guarded by the object's version, so that it takes place at most
//! once and only on what was checked.
//!
//! Every patch names the `resourceVersion` of the object that it was made for. A change in between is answered with
//! 409 (API conventions, "Concurrency Control and Consistency"): the object is read and checked anew. A lost answer
//! is no reason to guess either: the object is read again, and where the write is not seen on it, a further try with
//! the same version cannot take place beside the first, because whichever comes second finds another version.

use std::time::{Duration, Instant};

use log::debug;
use serde_json::Value;

use crate::actions::outcome::{Reason, Status};
use crate::actuator::context::Context;
use crate::actuator::context::writes::Writes;
use crate::actuator::ended::{Ended, Written};
use crate::kube;
use crate::kube::client::pause_after;
use crate::logging::ACTUATOR;
use crate::thread::backoff::Backoff;

/// The most tries of one write; a conflict counts as one.
pub const TRIES: u32 = 3;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(5);
const REREAD_FIRST: Duration = Duration::from_millis(50);
const REREAD_MOST: Duration = Duration::from_secs(2);

/// One change of one object.
pub trait Guarded {
    /// The object as it is read.
    type Object;

    /// What is done, after "failed": "to cordon the node worker-7".
    fn doing(&self) -> String;

    /// Reads the object. Its absence, or another one under its name, is the end of the action.
    fn read(&self, context: &Context<'_>) -> Result<Self::Object, Ended>;

    /// The patch that the object needs, with its version in it; `None` where the wanted state holds already. `Err`
    /// where the object is not as the action expects it.
    fn need(&self, object: &Self::Object) -> Result<Option<Value>, Ended>;

    /// Sends the patch.
    fn write(&self, writes: &Writes<'_>, patch: &Value) -> Result<(), kube::Error>;
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<T> {
    /// It took place; this was the object before.
    Made(T),
    /// Nothing was written: the wanted state held when the object was read last.
    Held(T),
}

/// Makes the change on `object`, as it was read last. `Err` says whether something may have been written.
pub fn change<G: Guarded>(
    it: &G,
    context: &Context<'_>,
    writes: &Writes<'_>,
    mut object: G::Object,
) -> Result<Change<G::Object>, Ended> {
    let doing = it.doing();
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
    // The object before the first try whose fate is unknown.
    let mut lost: Option<G::Object> = None;
    let mut tries = 0;
    let mut failure: Option<kube::Error> = None;
    loop {
        let patch = match it.need(&object) {
            Ok(Some(patch)) => patch,
            Ok(None) => return Ok(lost.map_or(Change::Held(object), Change::Made)),
            // What was sent may have taken place, and have been changed by somebody since.
            Err(ended) if lost.is_some() => {
                return Err(maybe_written(failed(&doing, &ended.message)));
            }
            Err(ended) => return Err(ended),
        };
        if let Some(err) = failure.take_if(|_| tries == TRIES || context.left().is_zero()) {
            return Err(given_up(&doing, &err, tries));
        }
        tries += 1;
        let err = match it.write(writes, &patch) {
            Ok(()) => return Ok(Change::Made(lost.unwrap_or(object))),
            Err(err) => err,
        };
        debug!(target: ACTUATOR, "Failed {doing}, try {tries} of {TRIES}: {err}");
        let fate = Fate::of(&err);
        let is_lost = lost.is_some() || fate == Fate::Unknown;
        let unless_lost = |ended| if is_lost { maybe_written(ended) } else { ended };
        if fate == Fate::Refused {
            return Err(unless_lost(Ended::api(&doing, &err)));
        }
        context
            .pause(pause_after(&err, &mut backoff))
            .map_err(unless_lost)?;
        let fresh = it.read(context).map_err(unless_lost)?;
        let before = std::mem::replace(&mut object, fresh);
        if fate == Fate::Unknown {
            lost.get_or_insert(before);
        }
        failure = Some(err);
    }
}

/// What is known of a write that was not answered with success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It did not take place and never will.
    Refused,
    /// It did not take place; another try may.
    Undone,
    /// It may have taken place.
    Unknown,
}

impl Fate {
    fn of(err: &kube::Error) -> Self {
        match err {
            kube::Error::Status(status) => match status.code {
                // A token that is being rotated, a conflict, or API priority and fairness: refused before anything was
                // done.
                401 | 409 | 429 => Self::Undone,
                408 | 500.. => Self::Unknown,
                _ => Self::Refused,
            },
            kube::Error::Fenced => Self::Refused,
            kube::Error::Connect(_) | kube::Error::Credentials(_) => Self::Undone,
            // Also a 2xx whose body could not be read.
            kube::Error::Timeout(_)
            | kube::Error::Cut(_)
            | kube::Error::Decode(_)
            | kube::Error::Tls(_)
            | kube::Error::Stopped => Self::Unknown,
        }
    }
}

fn given_up(doing: &str, err: &kube::Error, tries: u32) -> Ended {
    let mut ended = Ended::api(doing, err);
    let after = if tries == 1 {
        "after one try".to_owned()
    } else {
        format!("after {tries} tries")
    };
    ended.message = match Fate::of(err) {
        Fate::Unknown => format!(
            "{}; {after} it was not seen to have taken place",
            ended.message
        ),
        _ => format!("{} ({after})", ended.message),
    };
    ended.with("tries", tries)
}

fn failed(doing: &str, why: &str) -> Ended {
    Ended::new(
        Status::Failed,
        Some(Reason::ApiError),
        format!("failed {doing}: {why}"),
    )
}

/// The end of an action one of whose writes was not answered, nor seen to have taken place or not.
fn maybe_written(mut ended: Ended) -> Ended {
    ended
        .message
        .push_str("; an answer was lost, so the write may have taken place");
    ended.after_write().having_written(Written::Unknown)
}

/// Looks again and again, at first quickly, until there is an answer; `None` at `deadline`.
pub fn until<T>(
    context: &Context<'_>,
    deadline: Instant,
    mut look: impl FnMut() -> Result<Option<T>, Ended>,
) -> Result<Option<T>, Ended> {
    let deadline = deadline.min(context.deadline);
    let mut pause = REREAD_FIRST;
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        context.pause(pause.min(left))?;
        pause = (pause * 2).min(REREAD_MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_write_by_its_answer() {
        let of = |code| {
            let status = kube::Status::from_answer(code, None, b"");
            Fate::of(&kube::Error::Status(Box::new(status)))
        };
        for code in [401, 409, 429] {
            assert_eq!(of(code), Fate::Undone, "{code}");
        }
        for code in [408, 500, 503, 504] {
            assert_eq!(of(code), Fate::Unknown, "{code}");
        }
        for code in [400, 403, 404, 422] {
            assert_eq!(of(code), Fate::Refused, "{code}");
        }
        let lost = Fate::of(&kube::Error::Timeout("global".to_owned()));
        assert_eq!(lost, Fate::Unknown);
    }
}
