//! One eviction: asked of the server, or only rehearsed.

use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use log::debug;
use serde_json::{Value, json};

use super::{Mover, entry};
use crate::actuator::context::writes::{Writes, create_dry_run};
use crate::actuator::ended::Ended;
use crate::actuator::execute::eviction::answer::{Answer, Answered};
use crate::actuator::execute::eviction::{self, Version};
use crate::actuator::execute::moves::one::Stage;
use crate::actuator::execute::pods::Pod;
use crate::logging::ACTUATOR;

/// How requests for evictions are counted.
const RESOURCE: &str = "pods/eviction";

impl Mover<'_, '_, '_, '_> {
    /// Asks the server of each pod what it would say to its eviction: its name and the answer.
    pub fn rehearse(&self) -> Result<Vec<Value>, Ended> {
        let mut plan = Vec::new();
        for it in self.moves.all() {
            if self.context.stop.requested() {
                return Err(Ended::interrupted("the agent was told to stop"));
            }
            let details = match &it.stage {
                Stage::Due { .. } | Stage::Held { .. } => {
                    let body = eviction::body(self.api, &it.pod, self.grace_of(&it.pod), true);
                    let path = eviction::path(&it.pod);
                    let answer = create_dry_run(self.context.kube, &path, RESOURCE, &body);
                    would(&Answered::of(answer))
                }
                Stage::Ending { .. } => json!({"would": "wait"}),
                Stage::Done(_) => it.details(Instant::now()),
            };
            plan.push(entry(&it.pod, &details));
        }
        Ok(plan)
    }

    pub(super) fn evict(&mut self, writes: &Writes<'_>, index: usize, again: bool) {
        if again && !self.still_there(index) {
            return;
        }
        let permit = match self.context.take_eviction() {
            Ok(permit) => permit,
            Err(wait) => {
                let at = Instant::now() + wait;
                self.permit_at = Some(at);
                self.moves.pause(at);
                return;
            }
        };
        self.permit_at = None;
        let mut answered = self.send(writes, index);
        if answered.answer == Answer::WrongVersion && self.api == Version::V1 {
            self.api = Version::V1Beta1;
            answered = self.send(writes, index);
        }
        let outcome = answered.answer.as_str();
        self.context
            .metrics
            .evictions
            .with_label_values(&[outcome])
            .inc();
        let pod = &self.moves.all()[index].pod;
        debug!(target: ACTUATOR, "The eviction of pod {}: {}", pod.path(), answered.text);
        if !matches!(
            answered.answer,
            Answer::Accepted | Answer::Failed | Answer::Lost
        ) {
            self.context.give_back_eviction(permit);
        }
        self.moves.answered(index, answered, Instant::now());
    }

    fn send(&self, writes: &Writes<'_>, index: usize) -> Answered {
        let pod = &self.moves.all()[index].pod;
        let body = eviction::body(self.api, pod, self.grace_of(pod), false);
        Answered::of(writes.create::<meta::Status>(&eviction::path(pod), RESOURCE, &body))
    }

    /// The agent's own pod keeps its own time to end, in which the result leaves.
    fn grace_of(&self, pod: &Pod) -> Option<u32> {
        self.grace
            .filter(|_| !self.context.is_own(&pod.namespace, &pod.name))
    }

    /// Looks at a pod before it is asked for again: whether it is still the one, and still to be evicted.
    fn still_there(&mut self, index: usize) -> bool {
        let pod = &self.moves.all()[index].pod;
        let (uid, path) = (
            pod.uid.clone(),
            format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name),
        );
        match self.context.get::<Pod>(&path, "pods") {
            Ok(None) => self.moves.lost(&uid),
            Ok(Some(pod)) if pod.uid != uid => self.moves.replaced(index),
            Ok(Some(pod)) => {
                self.moves.seen(pod, Instant::now());
            }
            // The eviction names the uid, so that it is sent without the look; but not when it is too late.
            Err(_) => return !self.context.stop.requested() && !self.context.left().is_zero(),
        }
        matches!(self.moves.all()[index].stage, Stage::Due { .. })
    }
}

fn would(answered: &Answered) -> Value {
    match &answered.answer {
        Answer::Accepted => json!({"would": "evict"}),
        Answer::Budget(block) => {
            json!({"would": "wait_for_budget", "budget": block.details(), "message": block.text()})
        }
        other => json!({"would": "fail", "answer": other.as_str(), "message": answered.text}),
    }
}
