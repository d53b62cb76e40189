//! What the agent asks of the API server, and what the table of permissions holds: the same.

use std::collections::BTreeSet;

use crate::common::real::{Real, Request};
use kubernetes_agent::rbac::capability::{Access, accesses};
use kubernetes_agent::rbac::{RULES, Role, Rule};

/// The name of the Lease, unless another is set.
const LEASE: &str = "kubernetes-agent";

/// Whether every account may ask for it: discovery, and what one may do oneself.
fn needs_no_rule(request: &Request) -> bool {
    let is_discovery = request.path == "/version" || request.path.starts_with("/api");
    match &*request.resource {
        "" => request.verb == "get" && is_discovery,
        resource => resource == "selfsubjectaccessreviews",
    }
}

/// What the table holds that grants the request.
fn granted(request: &Request) -> Option<Access> {
    let is_within = |rule: &Rule| match rule.role {
        Role::Read | Role::Write => true,
        Role::Own => !request.namespace.is_empty() && (!rule.own_name || request.name == LEASE),
    };
    let rules = RULES.iter().filter(|it| is_within(it));
    rules.flat_map(accesses).find(|it| {
        (it.verb, it.group, it.resource) == (&*request.verb, &*request.group, &*request.resource)
    })
}

/// Nothing is missing and nothing is spare. The account has exactly the rules of the table, and all tests of the
/// cluster have used it: observing, each action, and the election.
#[test]
#[ignore = "needs the audit log of all other tests on a real cluster: tests/cluster/suite"]
fn what_was_asked_for_and_what_the_table_holds_are_the_same() {
    let real = Real::from_environment().expect("KUBERNETES_AGENT_TEST_CLUSTER");
    let denied = real.denied();
    let (mut used, mut beyond, mut refused) = (BTreeSet::new(), Vec::new(), Vec::new());
    for request in real.asked() {
        if needs_no_rule(&request) {
            continue;
        }
        let is_refused = request.code == 403;
        let access = (
            request.verb.clone(),
            request.group.clone(),
            request.resource.clone(),
        );
        match granted(&request) {
            None => beyond.push(request),
            Some(_) if is_refused && !denied.contains(&access) => refused.push(request),
            Some(_) if is_refused => (),
            Some(access) => {
                used.insert(access);
            }
        }
    }
    assert!(
        beyond.is_empty(),
        "asked for what the table does not hold: {beyond:#?}"
    );
    assert!(
        refused.is_empty(),
        "refused, though no test has denied it: {refused:#?}"
    );
    let all: BTreeSet<_> = RULES.iter().flat_map(accesses).collect();
    let spare: Vec<_> = all.difference(&used).map(Access::to_string).collect();
    assert!(
        spare.is_empty(),
        "in the table and never asked for: {spare:?}"
    );
}
