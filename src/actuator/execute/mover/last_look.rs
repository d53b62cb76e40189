//! The last look at a node that shall be empty. A watch lags, and says nothing of how far: only a list, which the
//! server reads from its store when it is asked, says that no pod came in the last moment.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{End, Mover, Other};
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;
use crate::actuator::execute::drain::plan::Group;
use crate::actuator::execute::moves::{Moves, Next};
use crate::actuator::execute::pods::Pod;
use crate::actuator::execute::sight::News;
use crate::kube::call::Deadlines;
use crate::kube::list::{self, list};
use crate::kube::stream::parse;
use crate::kube::{self, Collection, Resource};

/// The pause after a look that failed.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The pods of a node, for whoever only looks: tried again until the deadline.
pub fn observed_pods(context: &Context<'_>, node: &str) -> Result<Vec<Pod>, Ended> {
    loop {
        match pods_on(context, node) {
            Ok(pods) => return Ok(pods),
            Err(err) if err.is_transient() && !context.left().is_zero() => {
                context.pause(LOOK_AGAIN)?;
            }
            Err(err) => return Err(unread(&err)),
        }
    }
}

fn unread(err: &kube::Error) -> Ended {
    Ended::api("to list the node's pods", err)
}

/// The pods of a node, from the server's store; tried once, and no longer than there is time.
fn pods_on(context: &Context<'_>, node: &str) -> Result<Vec<Pod>, kube::Error> {
    let on_node = Collection::from(Resource::PODS).with_fields(format!("spec.nodeName={node}"));
    let options = list::Options {
        tries: 1,
        deadlines: context.at_most(Deadlines::LIST),
        ..list::Options::default()
    };
    let mut pods: Vec<Pod> = Vec::new();
    list(context.kube, on_node, options, |window| {
        parse(window, |source| {
            pods.push(serde::Deserialize::deserialize(source)?);
            Ok(())
        })
    })?;
    // A page that broke off is read twice.
    pods.sort_by(|a, b| a.uid.cmp(&b.uid));
    pods.dedup_by(|a, b| a.uid == b.uid);
    Ok(pods)
}

impl Mover<'_, '_, '_, '_> {
    /// Whether nothing comes after `next`: also the agent's own pod takes the agent away.
    pub(super) fn is_last(&self, next: Next) -> bool {
        match next {
            Next::Done => true,
            Next::Evict { index, .. } => self.moves.all()[index].group == Group::Own,
            Next::Wait(_) => false,
        }
    }

    /// Takes in what a list of the node says, like news; `Err` says why there is none.
    pub(super) fn last_look(
        &mut self,
        others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>,
    ) -> Result<(), String> {
        let Some(node) = &self.node else {
            return Ok(());
        };
        // Tried again by whoever looks, who knows of the stop and of the time.
        let pods = pods_on(self.context, &node.name).map_err(|err| unread(&err).message)?;
        let uids: HashSet<String> = pods.iter().map(|it| it.uid.clone()).collect();
        for pod in pods {
            self.moves.still_listed(&pod, Instant::now());
            self.take(News::Pod(Box::new(pod)), others);
        }
        self.take(News::Pods(uids), others);
        Ok(())
    }

    /// How it ends at the stop, after what was ending had its time: a node that turns out to be empty is settled.
    pub(super) fn stopped(
        &mut self,
        others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>,
    ) -> End {
        let is_settled = self.node.is_some()
            && self.moves.are_gone()
            && self.last_look(others).is_ok()
            && self.moves.are_gone();
        if is_settled {
            End::Settled
        } else {
            End::Stopped
        }
    }
}
