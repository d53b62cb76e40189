//! What the agent's account may do, as the API server's authorizers say it: `SelfSubjectAccessReview`, which every
//! account may ask for by default (the cluster role `system:basic-user`).
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access>

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http;

use super::call::Call;
use super::client::Client;
use super::request::Target;
use super::status::Error;
use crate::rbac::capability::Access;

/// Where an access is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// The namespace; none for all of them.
    pub namespace: Option<&'a str>,
    /// The object; none for any.
    pub name: Option<&'a str>,
}

#[derive(Deserialize)]
struct Review {
    status: Answer,
}

#[derive(Deserialize)]
struct Answer {
    allowed: bool,
}

/// Asks whether the agent's account may do this. An error says nothing of it.
pub fn review(client: &Client, access: &Access, scope: Scope<'_>) -> Result<bool, Error> {
    let body = body(access, scope).to_string();
    let target = Target::new("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
    let resource = "selfsubjectaccessreviews";
    let review: Review = client.send(&Call::json(
        http::Method::POST,
        "create",
        &target,
        resource,
        &body,
    ))?;
    Ok(review.status.allowed)
}

fn body(access: &Access, scope: Scope<'_>) -> Value {
    let (plural, part) = match access.resource.split_once('/') {
        Some((plural, part)) => (plural, Some(part)),
        None => (access.resource, None),
    };
    let mut attributes = json!({
        "group": access.group, "resource": plural, "verb": access.verb,
    });
    for (member, value) in [
        ("subresource", part),
        ("namespace", scope.namespace),
        ("name", scope.name),
    ] {
        if let Some(value) = value {
            attributes[member] = value.into();
        }
    }
    json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_all_that_an_authorizer_looks_at() {
        let eviction = Access {
            group: "",
            resource: "pods/eviction",
            verb: "create",
        };
        assert_eq!(
            body(&eviction, Scope::default())["spec"]["resourceAttributes"],
            json!({"group": "", "resource": "pods", "subresource": "eviction", "verb": "create"})
        );
        let lease = Access {
            group: "coordination.k8s.io",
            resource: "leases",
            verb: "update",
        };
        let scope = Scope {
            namespace: Some("ml-optimizer"),
            name: Some("ml-agent"),
        };
        assert_eq!(
            body(&lease, scope)["spec"]["resourceAttributes"],
            json!({
                "group": "coordination.k8s.io", "resource": "leases", "verb": "update",
                "namespace": "ml-optimizer", "name": "ml-agent",
            })
        );
    }
}
