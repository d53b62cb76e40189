//! `evict_pod`: one pod leaves, as the budgets allow it.
//!
//! The pod is the one that had its name when the action began, or that of `pod_uid`: whatever comes under the same
//! name later, as the next pod of a stateful set does, counts as its being gone.

use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use super::drain::plan::Group;
use super::mover::{self, End, Mover, entry, no_thread};
use super::moves::one::{Fate, MAYBE, Move, Stage, never_details};
use super::pods::{Phase, Pod};
use super::sight::Sight;
use crate::actions::outcome::{Reason, Status};
use crate::actions::params::EvictPod;
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;

/// Carries it out.
pub fn execute(it: &EvictPod, context: &Context<'_>) -> Result<Ended, Ended> {
    let pod = match look(it, context)? {
        Found::Left(ended) => return Ok(ended),
        Found::Pod(pod) => *pod,
    };
    if let Some(ended) = refusal(&pod) {
        return Err(about(ended, &pod, &json!({"outcome": "refused"})));
    }
    thread::scope(|scope| {
        let sight = Sight::new(scope, context.kube);
        sight
            .watch_pods(Some(&pod.namespace), format!("metadata.name={}", pod.name))
            .map_err(|err| no_thread(&err))?;
        let api = mover::version(context)?;
        let mut mover = Mover::new(context, sight, api, 1, it.grace_period_seconds);
        let was_ending = pod.ending.is_some();
        mover.moves.add(pod, Group::Ordinary, Instant::now());
        if !was_ending {
            mover.learn_budgets(&mut |_, _| None)?;
        }
        if let Some((pod, block)) = mover.moves.never().first() {
            let message = format!("pod {} can never be evicted: {}", pod.path(), block.text());
            let details = never_details(block);
            context.metrics.evictions_blocked.inc();
            return Err(about(Ended::precondition(message), pod, &details));
        }
        if context.dry_run {
            return plan(&mover);
        }
        let writes = if was_ending {
            None
        } else {
            Some(context.begin()?)
        };
        let end = mover.run(writes.as_ref(), &mut |_, _| None);
        Ok(ended(&end, &mover.moves.all()[0], context))
    })
}

/// After a crash in the middle of it.
pub fn observe(it: &EvictPod, context: &Context<'_>) -> Result<Ended, Ended> {
    Ok(match look(it, context).map_err(Ended::not_observed)? {
        Found::Left(ended) => Ended {
            status: Status::Succeeded,
            ..ended
        },
        // Without a uid in the params it is not known whether this is the pod that was meant.
        Found::Pod(pod) if pod.ending.is_some() => {
            let message = format!("pod {} is ending", pod.path());
            about(
                Ended::interrupted(message),
                &pod,
                &json!({"outcome": "terminating"}),
            )
        }
        Found::Pod(pod) => {
            let message = format!("there is a pod {}", pod.path());
            about(
                Ended::interrupted(message),
                &pod,
                &json!({"outcome": "present"}),
            )
        }
    })
}

enum Found {
    /// It is not there any more: the wanted state holds.
    Left(Ended),
    /// It is.
    Pod(Box<Pod>),
}

fn look(it: &EvictPod, context: &Context<'_>) -> Result<Found, Ended> {
    let path = format!("/api/v1/namespaces/{}/pods/{}", it.namespace, it.name);
    let name = format!("{}/{}", it.namespace, it.name);
    let Some(pod) = context.get::<Pod>(&path, "pods")? else {
        let ended = Ended::noop(format!("there is no pod {name}"));
        return Ok(Found::Left(ended.with("outcome", "already_gone")));
    };
    if let Some(uid) = &it.pod_uid
        && uid.as_str() != pod.uid
    {
        let message = format!(
            "pod {name} of uid {uid} is gone: the one of that name has the uid {}",
            pod.uid
        );
        let ended = Ended::noop(message);
        return Ok(Found::Left(about(
            ended,
            &pod,
            &json!({"outcome": "replaced"}),
        )));
    }
    if pod.phase == Phase::Finished {
        let ended = Ended::noop(format!("pod {name} has finished by itself"));
        return Ok(Found::Left(about(
            ended,
            &pod,
            &json!({"outcome": "finished"}),
        )));
    }
    Ok(Found::Pod(Box::new(pod)))
}

/// Why the pod must not be evicted, whatever its budgets say.
fn refusal(pod: &Pod) -> Option<Ended> {
    if pod.is_mirror {
        let message = format!(
            "pod {} is run by its kubelet: an eviction does not end it",
            pod.path()
        );
        return Some(Ended::precondition(message));
    }
    let annotation = pod.protected_by.filter(|_| pod.ending.is_none())?;
    let message = format!(
        "the annotation {annotation} forbids to evict pod {}",
        pod.path()
    );
    Some(Ended::new(
        Status::Rejected,
        Some(Reason::PolicyDenied),
        message,
    ))
}

fn plan(mover: &Mover<'_, '_, '_, '_>) -> Result<Ended, Ended> {
    let plan = mover.rehearse()?;
    let pod = &mover.moves.all()[0].pod;
    let message = match plan[0]["would"].as_str() {
        Some("evict") => format!("pod {} would be evicted", pod.path()),
        Some("wait") => format!("the end of pod {} would be waited for", pod.path()),
        Some("wait_for_budget") => format!("pod {} would wait for its budget", pod.path()),
        _ => format!(
            "pod {} could not be evicted now: {}",
            pod.path(),
            plan[0]["message"]
        ),
    };
    Ok(about(Ended::plan(message, plan.clone()), pod, &json!({})))
}

/// Why, of what is said of a pod.
fn text(details: &Value) -> &str {
    details["message"].as_str().unwrap_or_default()
}

fn ended(end: &End, it: &Move, context: &Context<'_>) -> Ended {
    let path = it.pod.path();
    let mut details = it.details(Instant::now());
    let blocked = it.block().map(|it| format!(", held by {}", it.text()));
    let ended = match (&it.stage, end) {
        (Stage::Done(Fate::Evicted | Fate::Accepted), _) => {
            let next = successor(&it.pod, context);
            if let Some(next) = next {
                details["replacement"] = next;
            }
            Ended::succeeded(format!("evicted pod {path}, which is gone"))
        }
        (Stage::Done(fate), _) if fate.is_good() => {
            Ended::noop(format!("pod {path} has gone by itself"))
        }
        (Stage::Done(Fate::Never(block)), _) => {
            let message = format!("pod {path} can never be evicted: {}", block.text());
            Ended::new(Status::Failed, Some(Reason::ApiError), message)
        }
        (Stage::Done(Fate::Refused(_)), _) => {
            let message = format!("pod {path} was not evicted: {}", text(&details));
            Ended::new(Status::Failed, Some(Reason::PreconditionFailed), message)
        }
        (Stage::Done(_), _) => {
            let reason = if details["outcome"] == "forbidden" {
                Reason::Forbidden
            } else {
                Reason::ApiError
            };
            let message = format!("failed to evict pod {path}: {}", text(&details));
            Ended::new(Status::Failed, Some(reason), message)
        }
        (Stage::Ending { ours, .. }, End::Stopped) => Ended::interrupted(format!(
            "pod {path} is ending{}, and was not seen to be gone",
            if *ours { ", as it was asked to" } else { "" }
        )),
        (_, End::Stopped) => Ended::interrupted(format!(
            "stopped before pod {path} could be evicted{}",
            blocked.unwrap_or_default()
        )),
        (Stage::Ending { ours, .. }, _) => {
            let status = if *ours {
                Status::Partial
            } else {
                Status::Failed
            };
            let message = format!("pod {path} was still ending when the time was over");
            Ended::new(status, Some(Reason::TimedOut), message)
        }
        (_, End::TimedOut(Some(why))) => Ended::new(Status::Failed, Some(Reason::TimedOut), why),
        _ => {
            let mut message = format!(
                "pod {path} could not be evicted in time{}",
                blocked.unwrap_or_default()
            );
            if it.may_be_evicted() {
                message = format!("{message}; {MAYBE}");
            }
            Ended::new(Status::Failed, Some(Reason::TimedOut), message)
        }
    };
    about(ended, &it.pod, &details)
}

/// The pod under the same name, as a stateful set makes it: one read, and it is not waited for.
fn successor(pod: &Pod, context: &Context<'_>) -> Option<Value> {
    if pod.controller.as_ref()?.kind != "StatefulSet" || context.stop.requested() {
        return None;
    }
    let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
    let next = context.get::<Pod>(&path, "pods").ok()??;
    let is_other = next.uid != pod.uid;
    is_other.then(|| json!({"uid": next.uid, "node": next.node, "ready": next.ready}))
}

/// `ended` with the pod, and what is said of it.
fn about(mut ended: Ended, pod: &Pod, details: &Value) -> Ended {
    if let Value::Object(members) = entry(pod, details) {
        for (name, value) in members {
            // The sentence stands in the result already.
            if name != "message" {
                ended.details.insert(name, value);
            }
        }
    }
    ended.with("node", pod.node.clone())
}
