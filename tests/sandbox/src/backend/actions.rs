//! The life of an action: pending, claimed, done (protocol, sections 2 and 4).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::action::{Action, ActionState};
use super::envelope::Envelope;
use super::messages::ClaimMessage;

/// The answer to a claim or a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200 or 204.
    Granted,
    /// 409; `broken` where an agent that keeps to the protocol would not have asked.
    Conflict { why: &'static str, broken: bool },
    /// 410.
    Gone(&'static str),
    /// 404.
    Unknown,
}

const fn conflict(why: &'static str) -> Answer {
    Answer::Conflict { why, broken: false }
}

const fn broken(why: &'static str) -> Answer {
    Answer::Conflict { why, broken: true }
}

/// All actions, oldest first.
#[derive(Debug, Default)]
pub(super) struct Actions {
    all: Vec<Action>,
    by_id: HashMap<String, usize>,
}

impl Actions {
    /// Adds an action; fails if the id is taken.
    pub(super) fn add(
        &mut self,
        envelope: Envelope,
        action: &str,
        cluster_id: &str,
        agent_id: Option<String>,
        expires_at: i64,
        at: String,
    ) -> Result<(), String> {
        if self.by_id.contains_key(&envelope.id) {
            return Err(format!("id: {} is taken", envelope.id));
        }
        self.by_id.insert(envelope.id.clone(), self.all.len());
        self.all.push(Action {
            id: envelope.id.clone(),
            action: action.to_owned(),
            cluster_id: cluster_id.to_owned(),
            agent_id,
            payload_sha256: envelope.payload_sha256(),
            envelope,
            expires_at,
            state: ActionState::Pending,
            created_at: at,
            listed: 0,
            pushed: 0,
            claimed_by: None,
            claimed_at: None,
            claims_granted: 0,
            claims_refused: 0,
            was_lost: false,
            result: None,
            finished_at: None,
            result_repeats: 0,
            results_refused: 0,
            frames: Vec::new(),
            lease_until: None,
        });
        Ok(())
    }

    /// Lets what is past its time expire and what is past its lease be lost. To be called before reading.
    pub(super) fn advance(&mut self, unix: i64) {
        let now = Instant::now();
        for action in &mut self.all {
            let expired = action.state == ActionState::Pending && unix >= action.expires_at;
            let lost = action.state == ActionState::Claimed
                && action.lease_until.is_some_and(|until| now > until);
            if expired {
                action.state = ActionState::Expired;
            } else if lost {
                action.state = ActionState::Lost;
                action.was_lost = true;
            }
        }
    }

    /// What a list for this agent offers.
    pub(super) fn pending<'a>(
        &'a mut self,
        cluster_id: &'a str,
        agent_id: &'a str,
    ) -> impl Iterator<Item = &'a mut Action> {
        self.all.iter_mut().filter(move |action| {
            action.state == ActionState::Pending
                && action.cluster_id == cluster_id
                && action
                    .agent_id
                    .as_deref()
                    .is_none_or(|wanted| wanted == agent_id)
        })
    }

    /// Answers a claim.
    pub(super) fn claim(
        &mut self,
        id: &str,
        claim: &ClaimMessage,
        lease: Duration,
        at: String,
    ) -> Answer {
        let Some(action) = self.get_mut(id) else {
            return Answer::Unknown;
        };
        let claimant = (claim.agent_id.clone(), claim.instance_id.clone());
        let answer = match (&action.state, &action.claimed_by) {
            _ if action
                .agent_id
                .as_ref()
                .is_some_and(|wanted| *wanted != claim.agent_id) =>
            {
                broken("for another agent")
            }
            _ if action.payload_sha256 != claim.payload_sha256 => conflict("another payload"),
            (ActionState::Done, _) => conflict("it has its result"),
            (ActionState::Cancelled, _) => Answer::Gone("cancelled"),
            (ActionState::Expired, _) => Answer::Gone("expired"),
            (_, Some(holder)) if *holder != claimant => conflict("claimed by another instance"),
            _ => Answer::Granted,
        };
        if answer == Answer::Granted {
            action.claims_granted += 1;
            action.claimed_by = Some(claimant);
            action.claimed_at.get_or_insert(at);
            if action.state == ActionState::Pending {
                action.state = ActionState::Claimed;
            }
            action.lease_until = Some(Instant::now() + lease);
        } else {
            action.claims_refused += 1;
        }
        answer
    }

    /// Renews the lease of what this instance holds. Fails for what is known, but not claimed by it.
    pub(super) fn renew(
        &mut self,
        id: &str,
        claimant: (&str, &str),
        lease: Duration,
    ) -> Result<(), String> {
        // An id that is not known may come from before this backend was started.
        let Some(action) = self.get_mut(id) else {
            return Ok(());
        };
        let holder = action
            .claimed_by
            .as_ref()
            .map(|(agent, instance)| (agent.as_str(), instance.as_str()));
        if holder != Some(claimant) {
            return Err(format!("in_progress: {id} is not claimed by this instance"));
        }
        if action.state == ActionState::Claimed {
            action.lease_until = Some(Instant::now() + lease);
        }
        Ok(())
    }

    /// Answers a result.
    pub(super) fn finish(
        &mut self,
        id: &str,
        by: &ClaimMessage,
        result: Value,
        at: String,
    ) -> Answer {
        let Some(action) = self.get_mut(id) else {
            return Answer::Unknown;
        };
        let claimant = (by.agent_id.clone(), by.instance_id.clone());
        let answer = match &action.result {
            _ if action.claimed_by.as_ref() != Some(&claimant) => {
                broken("not claimed by this instance")
            }
            _ if action.payload_sha256 != by.payload_sha256 => broken("another payload"),
            Some(stored) if *stored != result => broken("another result is stored"),
            _ => Answer::Granted,
        };
        if answer != Answer::Granted {
            action.results_refused += 1;
        } else if action.result.is_some() {
            action.result_repeats += 1;
        } else {
            action.result = Some(result);
            action.finished_at = Some(at);
            action.state = ActionState::Done;
        }
        answer
    }

    /// Withdraws an action; only one that nobody claimed can be.
    pub(super) fn cancel(&mut self, id: &str) -> Answer {
        let Some(action) = self.get_mut(id) else {
            return Answer::Unknown;
        };
        match action.state {
            ActionState::Pending | ActionState::Cancelled => {
                action.state = ActionState::Cancelled;
                Answer::Granted
            }
            ActionState::Expired => Answer::Gone("expired"),
            _ => conflict("claimed already"),
        }
    }

    pub(super) fn all(&self) -> &[Action] {
        &self.all
    }

    pub(super) fn get(&self, id: &str) -> Option<&Action> {
        self.by_id.get(id).map(|&at| &self.all[at])
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Action> {
        self.by_id.get(id).map(|&at| &mut self.all[at])
    }
}

#[cfg(test)]
mod tests;
