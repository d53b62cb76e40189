//! Which daemon sets exist: a pod of one that does is put back at once, a pod of one that does not is put back never.

use std::collections::HashMap;

use serde::de::IgnoredAny;

use super::plan::{Lot, Rules, lot};
use crate::actions::outcome::Reason;
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;
use crate::actuator::execute::pods::Pod;

/// The daemon sets of one node's pods, each asked for once.
pub(super) struct Daemons<'a, 'c> {
    context: &'a Context<'c>,
    exists: HashMap<(String, String), bool>,
}

impl<'a, 'c> Daemons<'a, 'c> {
    /// None is known yet.
    pub(super) fn new(context: &'a Context<'c>) -> Self {
        Self {
            context,
            exists: HashMap::new(),
        }
    }

    /// What becomes of `pod`.
    pub(super) fn lot(&mut self, pod: &Pod, rules: Rules) -> Result<Lot, Ended> {
        let exists = self.exists(pod)?;
        Ok(lot(pod, rules, exists, self.is_own(pod)))
    }

    /// Whether it is the agent's own pod.
    pub(super) fn is_own(&self, pod: &Pod) -> bool {
        self.context.is_own(&pod.namespace, &pod.name)
    }

    fn exists(&mut self, pod: &Pod) -> Result<bool, Ended> {
        let owner = pod.controller.as_ref().filter(|_| pod.is_of_daemon_set());
        // Daemon sets of other groups, as some operators have, are taken at their word.
        let Some(owner) = owner.filter(|it| it.api_version.starts_with("apps/")) else {
            return Ok(pod.is_of_daemon_set());
        };
        let key = (pod.namespace.clone(), owner.name.clone());
        if let Some(&known) = self.exists.get(&key) {
            return Ok(known);
        }
        let path = format!("/apis/apps/v1/namespaces/{}/daemonsets/{}", key.0, key.1);
        let exists = match self.context.get::<IgnoredAny>(&path, "daemonsets") {
            Ok(found) => found.is_some(),
            // Most exist, and a pod that is left alone by mistake does less harm than one that is evicted by mistake.
            Err(ended) if ended.reason == Some(Reason::Forbidden) => true,
            Err(ended) => return Err(ended),
        };
        self.exists.insert(key, exists);
        Ok(exists)
    }
}
