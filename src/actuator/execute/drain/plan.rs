//! What a drain does with each pod of its node, decided for all of them before the first eviction, as kubectl does.
//!
//! The rules are those of `kubectl drain` (its filters in `k8s.io/kubectl/pkg/drain`) but for four: a pod that has
//! finished stays, because nothing of it runs; a pod that would come straight back to the cordoned node stays, because
//! evicting it moves nothing; a pod that somebody has forbidden to move refuses the drain; and a pod that is ending
//! already is only waited for.

use serde_json::{Value, json};

use crate::actions::params::DrainNode;
use crate::actuator::execute::pods::{Phase, Pod};

/// What the action allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Pods that nothing makes again may go.
    pub force: bool,
    /// Data in emptyDir volumes may go.
    pub delete_emptydir_data: bool,
    /// Pods of daemon sets may stay.
    pub ignore_daemonsets: bool,
}

impl From<&DrainNode> for Rules {
    fn from(it: &DrainNode) -> Self {
        Self {
            force: it.force,
            delete_emptydir_data: it.delete_emptydir_data,
            ignore_daemonsets: it.ignore_daemonsets,
        }
    }
}

/// What becomes of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lot {
    /// It is evicted.
    Evict,
    /// It is ending already: its end is waited for.
    Wait,
    /// It stays, and the drain can succeed all the same.
    Skip(Skip),
    /// It must not be evicted and cannot stay: the drain does not begin. Never empty.
    Refuse(Vec<Refusal>),
}

/// Why a pod stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// Its DaemonSet would put it back at once.
    DaemonSet,
    /// Its kubelet runs it, whatever the API says.
    Mirror,
    /// It has ended by itself.
    Finished,
    /// It tolerates the cordon, so its controller would put it back at once.
    Tolerates,
}

/// Why a pod may not be evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A DaemonSet makes it, and `ignore_daemonsets` is false.
    DaemonSet,
    /// Its DaemonSet is gone: nothing makes it again.
    DaemonSetGone,
    /// Nothing makes it again.
    NoController,
    /// Its emptyDir would be lost.
    EmptyDir,
    /// Its annotation forbids it.
    Protected(&'static str),
}

/// In which order pods go: all of one group before the first of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Ordinary pods.
    Ordinary,
    /// Those on which the cluster or the node depends.
    Critical,
    /// The agent's own.
    Own,
}

impl Group {
    /// The group of a pod.
    pub fn of(pod: &Pod, is_own: bool) -> Self {
        match (is_own, pod.is_critical) {
            (true, _) => Self::Own,
            (_, true) => Self::Critical,
            _ => Self::Ordinary,
        }
    }
}

/// What becomes of `pod`. `has_daemon_set` says whether the DaemonSet that it names exists.
///
/// The agent's own emptyDir is no reason to refuse: an order claimed under a lost journal is not run again (protocol,
/// section 4, 3), and the result is delivered while the agent ends.
pub fn lot(pod: &Pod, rules: Rules, has_daemon_set: bool, is_own: bool) -> Lot {
    if pod.is_mirror {
        return Lot::Skip(Skip::Mirror);
    }
    if pod.phase == Phase::Finished {
        return Lot::Skip(Skip::Finished);
    }
    let is_daemon = pod.is_of_daemon_set() && has_daemon_set;
    if is_daemon && rules.ignore_daemonsets {
        return Lot::Skip(Skip::DaemonSet);
    }
    if is_daemon {
        return Lot::Refuse(vec![Refusal::DaemonSet]);
    }
    let is_made_again = pod.controller.is_some() && !pod.is_of_daemon_set();
    if is_made_again && pod.tolerates_cordon {
        return Lot::Skip(Skip::Tolerates);
    }
    if pod.ending.is_some() {
        return Lot::Wait;
    }
    let mut refusals = Vec::new();
    if !is_made_again && !rules.force {
        refusals.push(if pod.is_of_daemon_set() {
            Refusal::DaemonSetGone
        } else {
            Refusal::NoController
        });
    }
    if pod.has_empty_dir && !rules.delete_emptydir_data && !is_own {
        refusals.push(Refusal::EmptyDir);
    }
    refusals.extend(pod.protected_by.map(Refusal::Protected));
    if refusals.is_empty() {
        Lot::Evict
    } else {
        Lot::Refuse(refusals)
    }
}

impl Skip {
    /// As `details` name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DaemonSet => "daemonset",
            Self::Mirror => "mirror",
            Self::Finished => "finished",
            Self::Tolerates => "tolerates_cordon",
        }
    }
}

impl Refusal {
    /// As `details` name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DaemonSet => "daemonset",
            Self::DaemonSetGone => "daemonset_gone",
            Self::NoController => "no_controller",
            Self::EmptyDir => "empty_dir",
            Self::Protected(_) => "protected",
        }
    }

    /// For a person: why, and what would allow it.
    fn why(self) -> String {
        match self {
            Self::DaemonSet => "a DaemonSet makes it (ignore_daemonsets)".to_owned(),
            Self::DaemonSetGone => {
                "its DaemonSet is gone, nothing makes it again (force)".to_owned()
            }
            Self::NoController => "nothing makes it again (force)".to_owned(),
            Self::EmptyDir => "its emptyDir would be lost (delete_emptydir_data)".to_owned(),
            Self::Protected(annotation) => format!("the annotation {annotation} forbids it"),
        }
    }
}

/// What `details` say of a refused pod beside its name.
pub fn refusal_details(refusals: &[Refusal]) -> Value {
    let names: Vec<_> = refusals.iter().map(|it| it.as_str()).collect();
    let outcome = if refusals
        .iter()
        .any(|it| matches!(it, Refusal::Protected(_)))
    {
        "protected"
    } else {
        "refused"
    };
    let why: Vec<_> = refusals.iter().map(|it| it.why()).collect();
    json!({"outcome": outcome, "reasons": names, "message": why.join("; ")})
}

#[cfg(test)]
mod tests;
