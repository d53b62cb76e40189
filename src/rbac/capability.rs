//! What each rule of the table makes possible, and what a missing one costs: the one place that the agent's own
//! looking after its permissions, `kubernetes-agent check` and the registration decide by. No IO.

use std::collections::BTreeSet;
use std::fmt;

use super::{Need, RULES, Role, Rule};
use crate::actions::action::{Action, ActionKind};
use crate::actions::object::ObjectKind;

/// One verb on one resource: what the API server is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The plural name, with a subresource after a slash.
    pub resource: &'static str,
    /// The verb as RBAC has it.
    pub verb: &'static str,
}

impl fmt::Display for Access {
    /// As the API server says it in a refusal: `create pods/eviction`, `list pods.metrics.k8s.io`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            group,
            resource,
            verb,
        } = self;
        let dot = if group.is_empty() { "" } else { "." };
        match resource.split_once('/') {
            Some((plural, part)) => write!(f, "{verb} {plural}{dot}{group}/{part}"),
            None => write!(f, "{verb} {resource}{dot}{group}"),
        }
    }
}

impl Access {
    /// The rule of the table that grants it.
    pub fn rule(&self) -> Option<&'static Rule> {
        RULES.iter().find(|it| {
            it.group == self.group
                && it.resources.contains(&self.resource)
                && it.verbs.contains(&self.verb)
        })
    }

    /// How the client's requests for it are labelled in /metrics.
    pub fn label(&self) -> String {
        match self.group {
            "metrics.k8s.io" => format!("{}/{}", self.group, self.resource),
            _ => self.resource.to_owned(),
        }
    }
}

/// What a rule grants, one by one.
pub fn accesses(rule: &'static Rule) -> impl Iterator<Item = Access> {
    rule.resources.iter().flat_map(move |&resource| {
        rule.verbs.iter().map(move |&verb| Access {
            group: rule.group,
            resource,
            verb,
        })
    })
}

/// Something that the agent can do, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Samples of pods.
    Pods,
    /// Samples of nodes.
    Nodes,
    /// Samples of events.
    Events,
    /// Which Deployment a pod belongs to.
    ReplicaSets,
    /// Usage in the samples.
    Metrics,
    /// An action.
    Action(ActionKind),
}

impl Capability {
    /// Every one, what is observed first.
    pub fn all() -> impl Iterator<Item = Self> {
        let observed = [
            Self::Pods,
            Self::Nodes,
            Self::Events,
            Self::ReplicaSets,
            Self::Metrics,
        ];
        observed
            .into_iter()
            .chain(ActionKind::ALL.into_iter().map(Self::Action))
    }

    /// Its name: the action's, or that of what is observed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Nodes => "nodes",
            Self::Events => "events",
            Self::ReplicaSets => "replicasets",
            Self::Metrics => "metrics",
            Self::Action(kind) => kind.as_str(),
        }
    }

    /// The ways of doing it, each with what it takes; any one of them is enough. Without `writes` it is only checked
    /// and planned.
    fn ways(self, writes: bool) -> Vec<BTreeSet<Access>> {
        let kind = match self {
            Self::Action(ActionKind::LabelResource) => {
                return LABELLED.map(|it| labelling(it, writes)).into();
            }
            Self::Action(kind) => kind,
            observed => return vec![observed.observing()],
        };
        let way: BTreeSet<_> = needed(kind, writes).collect();
        match kind {
            ActionKind::ScaleDeployment => {
                // The deployment itself can be patched where its scale cannot.
                let wide = way.iter().map(|it| match it.resource {
                    "deployments/scale" => Access {
                        resource: "deployments",
                        ..*it
                    },
                    _ => *it,
                });
                let wide = wide.collect();
                vec![way, wide]
            }
            _ => vec![way],
        }
    }

    /// What observing it takes.
    fn observing(self) -> BTreeSet<Access> {
        let base = RULES.iter().filter(|it| it.needs.contains(&Need::Base));
        base.flat_map(accesses)
            .filter(|it| match self {
                Self::Metrics => it.group == "metrics.k8s.io",
                _ => it.group != "metrics.k8s.io" && it.resource == self.name(),
            })
            .collect()
    }

    /// What it lacks; `None` where it can be done. `may` says what is granted. Of several ways that with the least
    /// missing counts.
    pub fn lacks(self, writes: bool, may: impl Fn(&Access) -> bool) -> Option<Lack> {
        least(self.ways(writes), may)
    }
}

/// The kinds of objects that are labelled.
const LABELLED: [ObjectKind; 4] = [
    ObjectKind::Node,
    ObjectKind::Deployment,
    ObjectKind::Pod,
    ObjectKind::Namespace,
];

/// What one action, and no other of its kind, lacks.
pub fn lacking(action: &Action, writes: bool, may: impl Fn(&Access) -> bool) -> Option<Lack> {
    match action {
        Action::LabelResource(_) => least(vec![labelling(action.target().kind(), writes)], may),
        other => Capability::Action(other.kind()).lacks(writes, may),
    }
}

fn needed(kind: ActionKind, writes: bool) -> impl Iterator<Item = Access> {
    let rules = RULES.iter().filter(move |it| {
        it.needs.contains(&Need::Action(kind))
            && it.without.is_none()
            && (writes || it.role == Role::Read)
    });
    rules.flat_map(accesses)
}

fn labelling(kind: ObjectKind, writes: bool) -> BTreeSet<Access> {
    let plural = format!("{}s", kind.as_str().to_ascii_lowercase());
    needed(ActionKind::LabelResource, writes)
        .filter(|it| it.resource == plural)
        .collect()
}

/// Missing permissions, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack(BTreeSet<Access>);

impl Lack {
    /// Each of them.
    pub fn accesses(&self) -> impl Iterator<Item = &Access> {
        self.0.iter()
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the agent's account may not ")?;
        for (n, access) in self.0.iter().enumerate() {
            write!(f, "{}{access}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn least(ways: Vec<BTreeSet<Access>>, may: impl Fn(&Access) -> bool) -> Option<Lack> {
    let missing = ways.into_iter().map(|mut way| {
        way.retain(|it| !may(it));
        way
    });
    // Of two that lack the same number the first counts: the one that asks for less.
    let least = missing.min_by_key(BTreeSet::len)?;
    (!least.is_empty()).then_some(Lack(least))
}

/// What an agent of this policy can do when nothing is missing.
pub fn wanted(allowed: &BTreeSet<ActionKind>) -> impl Iterator<Item = Capability> {
    Capability::all().filter(|it| match it {
        Capability::Action(kind) => allowed.contains(kind),
        _ => true,
    })
}

/// Everything that decides over what an agent of this policy can do.
pub fn deciding(allowed: &BTreeSet<ActionKind>, writes: bool) -> BTreeSet<Access> {
    wanted(allowed)
        .flat_map(|it| it.ways(writes))
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn access(group: &'static str, resource: &'static str, verb: &'static str) -> Access {
        Access {
            group,
            resource,
            verb,
        }
    }

    /// The names of what cannot be done without these.
    fn off(missing: &[Access]) -> Vec<&'static str> {
        let may = |it: &Access| !missing.contains(it);
        Capability::all()
            .filter(|it| it.lacks(true, may).is_some())
            .map(Capability::name)
            .collect()
    }

    #[test]
    fn nothing_missing_is_nothing_off() {
        assert_eq!(off(&[]), [""; 0]);
    }

    #[test]
    fn each_permission_costs_what_needs_it() {
        const SCALE: Access = access("apps", "deployments/scale", "patch");
        const DEPLOYMENT: Access = access("apps", "deployments", "patch");
        for (missing, costs) in [
            (
                vec![access("", "pods", "watch")],
                vec!["pods", "evict_pod", "drain_node"],
            ),
            (
                vec![access("", "nodes", "list")],
                vec!["nodes", "drain_node"],
            ),
            (vec![access("", "events", "list")], vec!["events"]),
            (
                vec![access("apps", "replicasets", "watch")],
                vec!["replicasets"],
            ),
            (
                vec![access("metrics.k8s.io", "pods", "list")],
                vec!["metrics"],
            ),
            (
                vec![access("", "pods/eviction", "create")],
                vec!["evict_pod", "drain_node"],
            ),
            (
                vec![access("", "nodes", "patch")],
                vec!["cordon_node", "uncordon_node", "drain_node"],
            ),
            // The deployment can be patched in its scale's place.
            (vec![SCALE], vec![]),
            (
                vec![SCALE, DEPLOYMENT],
                vec!["scale_deployment", "set_image"],
            ),
            (vec![DEPLOYMENT], vec!["set_image"]),
            // Nodes can be labelled still.
            (vec![access("", "pods", "patch")], vec![]),
            // Less is known without them, and everything goes on.
            (vec![access("", "events", "create")], vec![]),
            (
                vec![access("policy", "poddisruptionbudgets", "list")],
                vec![],
            ),
            (vec![access("apps", "daemonsets", "get")], vec![]),
        ] {
            assert_eq!(off(&missing), costs, "{missing:?}");
        }
    }

    #[test]
    fn labels_are_off_when_no_kind_is_left() {
        let patches = ["nodes", "pods", "namespaces"].map(|it| access("", it, "patch"));
        let all = [&patches[..], &[access("apps", "deployments", "patch")]].concat();
        assert!(!off(&patches).contains(&"label_resource"));
        assert!(off(&all).contains(&"label_resource"));
    }

    #[test]
    fn observing_alone_needs_no_write() {
        let reads = |it: &Access| it.rule().is_some_and(|it| it.role == Role::Read);
        for capability in Capability::all() {
            assert_eq!(capability.lacks(false, reads), None, "{capability:?}");
        }
        assert!(deciding(&ActionKind::ALL.into(), false).iter().all(reads));
    }

    #[test]
    fn what_decides_is_in_the_table_and_has_no_stand_in() {
        let all = deciding(&ActionKind::ALL.into(), true);
        assert!(
            all.iter()
                .all(|it| it.rule().is_some_and(|it| it.without.is_none()))
        );
        let every = RULES.iter().filter(|it| it.without.is_none());
        assert_eq!(all, every.flat_map(accesses).collect());
    }

    #[test]
    fn a_lack_says_it_as_the_api_server_does() {
        let missing = [
            access("", "pods/eviction", "create"),
            access("apps", "deployments/scale", "patch"),
            access("metrics.k8s.io", "pods", "list"),
        ];
        assert_eq!(
            Lack(missing.into()).to_string(),
            "the agent's account may not create pods/eviction, patch deployments.apps/scale, list pods.metrics.k8s.io"
        );
    }
}
