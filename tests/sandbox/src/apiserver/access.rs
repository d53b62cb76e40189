//! Who may do what: the token, and what is denied.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::object::str_at;
use super::route::Target;
use super::status::{Result, Status};
use crate::http::Request;

/// The user every request is made as.
const USER: &str = "system:serviceaccount:kubernetes-agent:kubernetes-agent";

/// What may not be done. Empty members match anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Denial {
    /// get, list, watch, create, update, patch or delete.
    pub verb: String,
    /// With its subresource, as `pods/eviction`; the Metrics API's is `pods.metrics.k8s.io`.
    pub resource: String,
    /// The namespace.
    pub namespace: String,
}

/// Authentication and authorization.
#[derive(Default)]
pub(super) struct Access(Mutex<State>);

#[derive(Default)]
struct State {
    token: Option<String>,
    denials: Vec<Denial>,
}

impl Access {
    /// Demands a token, or none.
    pub(super) fn new(token: Option<String>) -> Access {
        Access(Mutex::new(State {
            token,
            denials: Vec::new(),
        }))
    }

    /// The token that is demanded now.
    pub(super) fn token(&self) -> Option<String> {
        self.lock().token.clone()
    }

    /// Demands another from now on: the old one is answered 401.
    pub(super) fn set_token(&self, token: Option<String>) {
        self.lock().token = token;
    }

    /// Denies something more.
    pub(super) fn deny(&self, denial: Denial) {
        self.lock().denials.push(denial);
    }

    /// Allows everything again.
    pub(super) fn allow_all(&self) {
        self.lock().denials.clear();
    }

    /// 401 unless the request bears the token.
    pub(super) fn authenticate(&self, request: &Request) -> Result<()> {
        let state = self.lock();
        let Some(token) = &state.token else {
            return Ok(());
        };
        let bearer = request
            .header("authorization")
            .and_then(|it| it.strip_prefix("Bearer "));
        if bearer == Some(token) {
            Ok(())
        } else {
            Err(Status::new(401, "Unauthorized"))
        }
    }

    /// 403 if it is denied.
    pub(super) fn authorize(&self, verb: &str, target: &Target) -> Result<()> {
        let label = target.label();
        if self.allows(verb, &label, &target.namespace) {
            return Ok(());
        }
        let plural = target.resource.plural;
        let part = if target.subresource.is_empty() {
            plural.to_owned()
        } else {
            format!("{plural}/{}", target.subresource)
        };
        let place = match target.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        let group = target.resource.group;
        let why =
            format!("User {USER:?} cannot {verb} resource {part:?} in API group {group:?} {place}");
        Err(Status::forbidden(target.resource, &target.name, &why))
    }

    /// Answers a `SelfSubjectAccessReview`.
    pub(super) fn review(&self, mut review: Value) -> Value {
        let asked = &review["spec"]["resourceAttributes"];
        let (resource, subresource) = (str_at(asked, "resource"), str_at(asked, "subresource"));
        let mut label = resource.to_owned();
        if str_at(asked, "group") == "metrics.k8s.io" {
            label.push_str(".metrics.k8s.io");
        }
        if !subresource.is_empty() {
            label = format!("{label}/{subresource}");
        }
        let allowed = self.allows(str_at(asked, "verb"), &label, str_at(asked, "namespace"));
        let reason = if allowed {
            "RBAC: allowed by ClusterRoleBinding \"sandbox\""
        } else {
            ""
        };
        review["status"] = json!({"allowed": allowed, "reason": reason});
        review["metadata"] = json!({"creationTimestamp": null});
        review
    }

    fn allows(&self, verb: &str, label: &str, namespace: &str) -> bool {
        let denies = |denial: &Denial| {
            let any_or = |wanted: &str, actual: &str| wanted.is_empty() || wanted == actual;
            any_or(&denial.verb, verb)
                && any_or(&denial.resource, label)
                && any_or(&denial.namespace, namespace)
        };
        !self.lock().denials.iter().any(denies)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
