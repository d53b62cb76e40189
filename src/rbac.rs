//! What the agent asks of the API server, and why: the one table from which the roles of the manifests, the chart
//! and the README are made, and against which the requests that a server has recorded are held.
//!
//! Discovery (`/version`, `/api/v1`) and the question what one may do oneself (`selfsubjectaccessreviews`) need no rule:
//! every account may ask for them. [`capability`] says what each rule makes possible.

pub mod capability;

use std::collections::BTreeSet;

use crate::actions::action::ActionKind;

/// What a rule is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Observing the cluster; without it that part of the samples is missing.
    Base,
    /// Carrying out an action.
    Action(ActionKind),
    /// One active agent among several replicas.
    LeaderElection,
}

/// The role that a rule stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reading, in the whole cluster.
    Read,
    /// Writing, in the whole cluster; not there in read-only mode.
    Write,
    /// In the agent's own namespace alone; not there in read-only mode.
    Own,
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The role that holds it.
    pub role: Role,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// Plural names, with a subresource after a slash.
    pub resources: &'static [&'static str],
    /// Verbs as RBAC has them.
    pub verbs: &'static [&'static str],
    /// Only the object that is named as the agent is.
    pub own_name: bool,
    /// What it is needed for; one of them is enough for the rule to stand.
    pub needs: &'static [Need],
    /// Why.
    pub why: &'static str,
    /// What is lost without it, where what it is needed for goes on all the same; none where that cannot be done.
    pub without: Option<&'static str>,
}

impl Rule {
    const fn or_else(self, without: &'static str) -> Self {
        Self {
            without: Some(without),
            ..self
        }
    }
}

const EVICT: Need = Need::Action(ActionKind::EvictPod);
const CORDON: Need = Need::Action(ActionKind::CordonNode);
const UNCORDON: Need = Need::Action(ActionKind::UncordonNode);
const DRAIN: Need = Need::Action(ActionKind::DrainNode);
const SCALE: Need = Need::Action(ActionKind::ScaleDeployment);
const IMAGE: Need = Need::Action(ActionKind::SetImage);
const LABEL: Need = Need::Action(ActionKind::LabelResource);

const CONTROLLER_UNKNOWN: &str = "whether waiting for a budget can ever help is not known, and of the labels of such a controller's pods only new ones are set";

/// Every rule; none is there twice, and none with a wildcard.
pub const RULES: [Rule; 23] = [
    read(
        "",
        &["pods"],
        &["list", "watch"],
        &[Need::Base, EVICT, DRAIN],
        "status, requests and owners of pods; which pods an eviction moves, and that they are gone; what holds up a rollout",
    ),
    read(
        "",
        &["nodes"],
        &["list", "watch"],
        &[Need::Base, DRAIN],
        "capacity, conditions, taints and labels of nodes; that a node that is drained is still there",
    ),
    read(
        "",
        &["events"],
        &["list", "watch"],
        &[Need::Base],
        "what happens in the cluster",
    ),
    read(
        "apps",
        &["replicasets"],
        &["list", "watch"],
        &[Need::Base],
        "which Deployment a pod belongs to (metadata alone)",
    ),
    read(
        "metrics.k8s.io",
        &["pods", "nodes"],
        &["list"],
        &[Need::Base],
        "usage of processors and memory",
    ),
    read(
        "",
        &["pods"],
        &["get"],
        &[EVICT, DRAIN, LABEL],
        "the pod is the one that is meant, and is gone afterwards",
    ),
    read(
        "",
        &["nodes"],
        &["get"],
        &[CORDON, UNCORDON, DRAIN, LABEL],
        "the node is the one that is meant, and whose its cordon is",
    ),
    read(
        "",
        &["namespaces"],
        &["get"],
        &[LABEL],
        "the labels that a namespace has",
    ),
    read(
        "apps",
        &["deployments"],
        &["get"],
        &[SCALE, IMAGE, LABEL],
        "the deployment before the change, and whether it took effect",
    ),
    read(
        "apps",
        &["replicasets", "statefulsets"],
        &["get"],
        &[EVICT, DRAIN, LABEL],
        "how many pods a budget counts with; the labels that a controller selects its pods by",
    )
    .or_else(CONTROLLER_UNKNOWN),
    read(
        "",
        &["replicationcontrollers"],
        &["get"],
        &[EVICT, DRAIN, LABEL],
        "the same",
    )
    .or_else(CONTROLLER_UNKNOWN),
    read(
        "apps",
        &["daemonsets"],
        &["get"],
        &[DRAIN, LABEL],
        "whether the pod would come back to a drained node; the labels that it is selected by",
    )
    .or_else("a pod of a DaemonSet is taken for one that comes back to its node"),
    read(
        "batch",
        &["jobs"],
        &["get"],
        &[LABEL],
        "the labels that a Job selects its pods by",
    )
    .or_else("of the labels of a Job's pods only new ones are set"),
    read(
        "autoscaling",
        &["horizontalpodautoscalers"],
        &["list"],
        &[SCALE],
        "no autoscaler undoes the change at once",
    )
    .or_else("a deployment is scaled only with override_hpa"),
    read(
        "policy",
        &["poddisruptionbudgets"],
        &["list", "watch"],
        &[EVICT, DRAIN],
        "which budget holds an eviction up, and whether waiting helps",
    )
    .or_else("budgets are known only by what the API server answers to an eviction"),
    write(
        "",
        &["pods/eviction"],
        &["create"],
        &[EVICT, DRAIN],
        "evicting, never deleting: the server keeps disruption budgets",
    ),
    write(
        "",
        &["nodes"],
        &["patch"],
        &[CORDON, UNCORDON, DRAIN, LABEL],
        "the cordon with the record of whose it is; labels",
    ),
    write(
        "apps",
        &["deployments/scale"],
        &["patch"],
        &[SCALE],
        "the number of replicas, and nothing else of the deployment",
    ),
    write(
        "apps",
        &["deployments"],
        &["patch"],
        &[IMAGE, LABEL],
        "the image of a container; labels",
    ),
    write("", &["pods", "namespaces"], &["patch"], &[LABEL], "labels"),
    write(
        "",
        &["events"],
        &["create"],
        &[EVICT, CORDON, UNCORDON, DRAIN, SCALE, IMAGE, LABEL],
        "the event that every action leaves on its object",
    )
    .or_else("actions leave no event on their objects"),
    own(
        &["create"],
        false,
        "the Lease, should somebody delete it; a name cannot bound a creation",
    )
    .or_else("a Lease that is gone stays gone, and every replica acts"),
    own(
        &["get", "update", "watch"],
        true,
        "holding and renewing the Lease, and seeing that it is free",
    )
    .or_else("every replica acts, so that there may be but one"),
];

const fn read(
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    needs: &'static [Need],
    why: &'static str,
) -> Rule {
    Rule {
        role: Role::Read,
        group,
        resources,
        verbs,
        own_name: false,
        needs,
        why,
        without: None,
    }
}

const fn write(
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    needs: &'static [Need],
    why: &'static str,
) -> Rule {
    Rule {
        role: Role::Write,
        ..read(group, resources, verbs, needs, why)
    }
}

const fn own(verbs: &'static [&'static str], own_name: bool, why: &'static str) -> Rule {
    Rule {
        role: Role::Own,
        own_name,
        ..read(
            "coordination.k8s.io",
            &["leases"],
            verbs,
            &[Need::LeaderElection],
            why,
        )
    }
    .or_else("there is no leader election: the agent acts without asking, so keep to one replica")
}

/// The rules of an agent that may carry out these actions. One that only observes, in read-only mode, reads what
/// the actions' checks read and writes nothing.
pub fn rules(
    allowed: &BTreeSet<ActionKind>,
    read_only: bool,
) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(move |rule| {
        let needed = rule.needs.iter().any(|need| match need {
            Need::Base | Need::LeaderElection => true,
            Need::Action(kind) => allowed.contains(kind),
        });
        needed && (rule.role == Role::Read || !read_only)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const READS: [&str; 3] = ["get", "list", "watch"];

    #[test]
    fn the_role_says_whether_a_rule_writes() {
        for rule in &RULES {
            let reads = rule.verbs.iter().all(|it| READS.contains(it));
            match rule.role {
                Role::Read => assert!(reads, "{rule:?}"),
                Role::Write => {
                    assert!(rule.verbs.iter().all(|it| !READS.contains(it)), "{rule:?}");
                }
                Role::Own => assert_eq!(rule.needs, [Need::LeaderElection]),
            }
        }
    }

    #[test]
    fn nothing_is_granted_twice_and_nothing_by_a_wildcard() {
        let mut seen = BTreeSet::new();
        for rule in &RULES {
            for resource in rule.resources {
                for verb in rule.verbs {
                    assert!(seen.insert((rule.group, *resource, *verb)), "{rule:?}");
                    assert!(!verb.contains('*') && !resource.contains('*'), "{rule:?}");
                }
            }
        }
    }

    #[test]
    fn read_only_has_no_write_rule_and_no_action_leaves_the_base_alone() {
        let all: BTreeSet<_> = ActionKind::ALL.into();
        assert!(rules(&all, true).all(|it| it.role == Role::Read));
        assert_eq!(rules(&all, false).count(), RULES.len());
        let none = BTreeSet::new();
        assert!(rules(&none, true).all(|it| it.needs.contains(&Need::Base)));
        assert!(rules(&none, false).all(|it| it.role != Role::Write));
    }

    #[test]
    fn an_action_brings_its_own_rules_and_no_others() {
        let scale = [ActionKind::ScaleDeployment].into();
        let writes: Vec<_> = rules(&scale, false)
            .filter(|it| it.role == Role::Write)
            .map(|it| it.resources)
            .collect();
        assert_eq!(writes, [&["deployments/scale"], &["events"]]);
    }
}
