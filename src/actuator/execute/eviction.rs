//! One eviction on the wire: the body at the server's version; in [`answer`] what comes back.

pub mod answer;

use serde::Deserialize;
use serde_json::{Value, json};

use super::pods::Pod;

/// The version of the `policy` API that a server speaks, for evictions and for budgets alike.
///
/// An eviction of policy/v1 is taken since 1.22, a budget of policy/v1 shown since 1.21; policy/v1beta1 serves both
/// before. <https://kubernetes.io/docs/reference/using-api/deprecation-guide/#poddisruptionbudget-v125>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// policy/v1
    V1,
    /// policy/v1beta1
    V1Beta1,
}

/// What is read of the core API's discovery document.
#[derive(Deserialize)]
pub struct Discovery {
    resources: Vec<Discovered>,
}

#[derive(Deserialize)]
struct Discovered {
    name: String,
    #[serde(default)]
    version: String,
}

impl Version {
    /// The one that the server names for `pods/eviction`.
    pub fn of(discovery: &Discovery) -> Self {
        let eviction = discovery
            .resources
            .iter()
            .find(|it| it.name == "pods/eviction");
        match eviction {
            Some(it) if it.version == "v1beta1" => Self::V1Beta1,
            _ => Self::V1,
        }
    }

    /// As in `apiVersion`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "policy/v1",
            Self::V1Beta1 => "policy/v1beta1",
        }
    }
}

/// Where an eviction is posted.
pub fn path(pod: &Pod) -> String {
    format!(
        "/api/v1/namespaces/{}/pods/{}/eviction",
        pod.namespace, pod.name
    )
}

/// The eviction of `pod`, and of no other under its name: without the precondition a stateful set's next pod would be
/// evicted in its place (kubernetes issue 64923). `grace` in seconds, in place of the pod's own.
pub fn body(version: Version, pod: &Pod, grace: Option<u32>, dry_run: bool) -> Value {
    let mut options = json!({"preconditions": {"uid": pod.uid}});
    if let Some(seconds) = grace {
        options["gracePeriodSeconds"] = seconds.into();
    }
    if dry_run {
        options["dryRun"] = json!(["All"]);
    }
    json!({
        "apiVersion": version.as_str(), "kind": "Eviction",
        "metadata": {"namespace": pod.namespace, "name": pod.name},
        "deleteOptions": options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuator::execute::pods::testing::pod;

    #[test]
    fn the_body() {
        let pod = pod(&json!({}));
        assert_eq!(path(&pod), "/api/v1/namespaces/shop/pods/web-1/eviction");
        assert_eq!(
            body(Version::V1Beta1, &pod, None, false),
            json!({
                "apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"namespace": "shop", "name": "web-1"},
                "deleteOptions": {"preconditions": {"uid": "uid-1"}},
            })
        );
        let body = body(Version::V1, &pod, Some(0), true);
        assert_eq!(body["apiVersion"], "policy/v1");
        assert_eq!(body["deleteOptions"]["gracePeriodSeconds"], 0);
        assert_eq!(body["deleteOptions"]["dryRun"], json!(["All"]));
    }

    #[test]
    fn the_version_is_the_servers() {
        let of = |resources: Value| {
            Version::of(&serde_json::from_value(json!({"resources": resources})).unwrap())
        };
        let eviction = |version: &str| json!([{"name": "pods"}, {"name": "pods/eviction", "group": "policy", "version": version}]);
        assert_eq!(of(eviction("v1beta1")), Version::V1Beta1);
        assert_eq!(of(eviction("v1")), Version::V1);
        assert_eq!(of(json!([])), Version::V1);
    }
}
