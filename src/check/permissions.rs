//! Each permission of the table in `rbac`, asked of the API server itself: what a missing one costs, and how it is
//! granted.

use std::collections::BTreeSet;

use super::Sink;
use super::report::Line;
use crate::config::Config;
use crate::kube::review::{Scope, review};
use crate::kube::{Client, Error};
use crate::rbac::capability::{Access, accesses, wanted};
use crate::rbac::{self, Role, Rule};

/// The name of the line where none can be looked at.
pub(super) const ALL: &str = "permissions";

/// A line for each permission. Returns the labels of the resources of which one is missing.
pub(super) fn look(config: &Config, kube: &Client, sink: &Sink) -> BTreeSet<String> {
    let policy = &config.policy.policy;
    let election = config.leader_election.as_ref();
    let mut denied = BTreeSet::new();
    let mut lines = Vec::new();
    for rule in rbac::rules(&policy.allowed_actions, policy.dry_run) {
        for access in accesses(rule) {
            let scope = match (rule.role, election) {
                (Role::Read | Role::Write, _) => Scope::default(),
                (Role::Own, Some(it)) => Scope {
                    namespace: Some(&it.namespace),
                    name: rule.own_name.then_some(it.lease.as_str()),
                },
                (Role::Own, None) => {
                    lines.push((access, rule, Answer::Skipped("there is no leader election")));
                    continue;
                }
            };
            match review(kube, &access, scope) {
                Ok(true) => lines.push((access, rule, Answer::Granted)),
                Ok(false) => {
                    denied.insert(access);
                    lines.push((access, rule, Answer::Missing));
                }
                Err(err) => {
                    sink.tell(unanswered(&err));
                    return BTreeSet::new();
                }
            }
        }
    }
    let writes = !policy.dry_run;
    for (access, rule, answer) in lines {
        let costs = wanted(&policy.allowed_actions).filter(|it| {
            let lack = it.lacks(writes, |it| !denied.contains(it));
            lack.is_some_and(|it| it.accesses().any(|it| *it == access))
        });
        let costs: Vec<_> = costs.map(|it| it.name()).collect();
        sink.tell(line(&access, rule, &answer, &costs));
    }
    denied.iter().map(Access::label).collect()
}

enum Answer {
    Granted,
    Missing,
    Skipped(&'static str),
}

fn line(access: &Access, rule: &Rule, answer: &Answer, costs: &[&str]) -> Line {
    let name = format!("permission {access}");
    let why = rule.why;
    match answer {
        Answer::Granted => Line::ok(name, format!("granted, for: {why}")),
        Answer::Skipped(reason) => Line::skipped(name, *reason),
        Answer::Missing => {
            let role = match rule.role {
                Role::Read => "cluster role ml-agent",
                Role::Write => "cluster role ml-agent-write",
                Role::Own => "role ml-agent of the agent's namespace",
            };
            let grant = format!(
                "have the {role} grant {} on {}{} (apply your kustomization again, or helm upgrade; ml-agent stands \
                 for the installation's name)",
                access.verb,
                access.resource,
                if access.group.is_empty() {
                    String::new()
                } else {
                    format!(" of the group {}", access.group)
                }
            );
            if costs.is_empty() {
                let without = rule
                    .without
                    .unwrap_or("another permission stands in for it");
                return Line::warning(
                    name,
                    format!("missing, for: {why}; without it {without}"),
                    grant,
                );
            }
            let costs = costs.join(", ");
            Line::failed(
                name,
                format!("missing, for: {why}; switched off without it: {costs}"),
                format!("{grant}; an action that is not wanted is taken out of ALLOWED_ACTIONS"),
            )
        }
    }
}

fn unanswered(err: &Error) -> Line {
    if err.is_forbidden() {
        return Line::warning(
            ALL,
            "the agent may not ask what it may do (create selfsubjectaccessreviews)",
            "bind the cluster role system:basic-user to the group system:authenticated again, as every cluster has it",
        );
    }
    Line::failed(
        ALL,
        format!("what the agent may do is not known: {err}"),
        "look at the API server",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Outcome;
    use crate::rbac::RULES;

    fn missing(resource: &'static str, verb: &'static str, costs: &[&str]) -> Line {
        let group = "";
        let access = Access {
            group,
            resource,
            verb,
        };
        line(&access, access.rule().unwrap(), &Answer::Missing, costs)
    }

    #[test]
    fn a_missing_permission_says_what_it_costs_and_how_it_is_granted() {
        let it = missing("pods/eviction", "create", &["evict_pod", "drain_node"]);
        assert_eq!(it.outcome, Outcome::Failed);
        assert_eq!(it.name, "permission create pods/eviction");
        assert!(
            it.found
                .ends_with("switched off without it: evict_pod, drain_node")
        );
        let remedy = it.remedy.unwrap();
        assert!(remedy.contains("cluster role ml-agent-write grant create on pods/eviction"));
        assert!(remedy.contains("ml-agent stands for"), "{remedy}");
        let it = missing("events", "create", &[]);
        assert_eq!(it.outcome, Outcome::Warning);
        assert!(it.found.contains("no event on their objects"), "{it:?}");
    }

    #[test]
    fn every_permission_has_a_name_of_its_own() {
        let names: Vec<_> = RULES
            .iter()
            .flat_map(accesses)
            .map(|it| it.to_string())
            .collect();
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
