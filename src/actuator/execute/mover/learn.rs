//! What must be known before pods are moved, and what their budgets depend on.

use std::collections::BTreeSet;
use std::time::Instant;

use crossbeam_channel::select_biased;
use log::warn;
use serde::Deserialize;

use super::{Mover, Other, no_thread};
use crate::actions::outcome::{Reason, Status};
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;
use crate::actuator::execute::eviction::{Discovery, Version};
use crate::actuator::execute::moves::Moves;
use crate::actuator::execute::pods::{Controller, Pod};
use crate::actuator::execute::sight::News;
use crate::logging::ACTUATOR;

/// Which version of the policy API the server speaks.
pub fn version(context: &Context<'_>) -> Result<Version, Ended> {
    match context.get::<Discovery>("/api/v1", "discovery") {
        Ok(Some(discovery)) => Ok(Version::of(&discovery)),
        // Not allowed to ask, as in a hardened cluster: the current one, and the other if that is refused.
        Ok(None) => Ok(Version::V1),
        Err(ended) if ended.reason == Some(Reason::Forbidden) => Ok(Version::V1),
        Err(ended) => Err(ended),
    }
}

impl Mover<'_, '_, '_, '_> {
    /// The pods that the watch lists first.
    pub fn listed_pods(&self) -> Result<Vec<Pod>, Ended> {
        let mut pods: Vec<Pod> = Vec::new();
        loop {
            match self.await_news()? {
                News::Pod(pod) => {
                    pods.retain(|it| it.uid != pod.uid);
                    pods.push(*pod);
                }
                News::PodGone(uid) => pods.retain(|it| it.uid != uid),
                News::Pods(uids) => {
                    pods.retain(|it| uids.contains(&it.uid));
                    return Ok(pods);
                }
                News::Trouble(_, ended) => return Err(*ended),
                _ => (),
            }
        }
    }

    /// Watches the budgets of the pods' namespaces, and waits until they are listed. Budgets that cannot be read are
    /// no reason to end: the server asks them anyhow.
    pub fn learn_budgets(
        &mut self,
        others: &mut dyn FnMut(&mut Moves, Other) -> Option<String>,
    ) -> Result<(), Ended> {
        let open = self.moves.all().iter().filter(|it| it.fate().is_none());
        let namespaces: BTreeSet<String> = open.map(|it| it.pod.namespace.clone()).collect();
        if namespaces.is_empty() {
            return Ok(());
        }
        self.sight
            .watch_budgets(self.api, namespaces)
            .map_err(|err| no_thread(&err))?;
        loop {
            let news = self.await_news()?;
            let is_last = match &news {
                News::Budgets(_) => true,
                News::Trouble(_, ended) => {
                    warn!(target: ACTUATOR, "Going on without disruption budgets: {}", ended.message);
                    true
                }
                _ => false,
            };
            self.take(news, others);
            if is_last {
                self.resolve();
                return Ok(());
            }
        }
    }

    fn await_news(&self) -> Result<News, Ended> {
        select_biased! {
            recv(self.context.stop.signal()) -> _ => {
                Err(Ended::interrupted("the agent was told to stop before anything was written"))
            }
            recv(self.sight.news) -> news => news.map_err(|_| no_watch()),
            default(self.context.left()) => {
                let message = "the cluster could not be read before the deadline";
                Err(Ended::new(Status::Failed, Some(Reason::TimedOut), message))
            }
        }
    }

    /// Learns how many pods those controllers want on which a verdict depends.
    pub(super) fn resolve(&mut self) {
        while let Some((namespace, controller)) = self.moves.unresolved() {
            let wanted = self.wanted(&namespace, &controller);
            if self.context.stop.requested() {
                return;
            }
            self.moves.resolve(&controller, wanted, Instant::now());
        }
    }

    fn wanted(&self, namespace: &str, controller: &Controller) -> Option<i64> {
        #[derive(Deserialize)]
        struct Scaled {
            spec: Spec,
        }
        #[derive(Deserialize)]
        struct Spec {
            replicas: Option<i64>,
        }
        let (root, plural) = match (&*controller.api_version, &*controller.kind) {
            ("apps/v1", "ReplicaSet") => ("/apis/apps/v1", "replicasets"),
            ("apps/v1", "StatefulSet") => ("/apis/apps/v1", "statefulsets"),
            ("v1", "ReplicationController") => ("/api/v1", "replicationcontrollers"),
            _ => return None,
        };
        let path = format!("{root}/namespaces/{namespace}/{plural}/{}", controller.name);
        let found = self.context.get::<Scaled>(&path, plural);
        // Not known is not never: the pod is then waited for.
        found.ok().flatten().map(|it| it.spec.replicas.unwrap_or(1))
    }
}

fn no_watch() -> Ended {
    Ended::new(Status::Failed, Some(Reason::Internal), "the watches ended")
}
