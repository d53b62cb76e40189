//! Whether a HorizontalPodAutoscaler scales a deployment: it would undo what an action sets.

use serde::Deserialize;
use serde_json::{Value, json};

use super::deployment::Named;
use crate::actions::outcome::{Reason, Status};
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;
use crate::kube::objects::HorizontalPodAutoscaler;
use crate::kube::request::encode;

/// Objects on a page.
const PAGE: u32 = 250;
const RESOURCE: &str = "horizontalpodautoscalers";

/// What is known of a deployment's autoscaler.
#[derive(Debug, Clone, PartialEq)]
pub enum Autoscaler {
    /// There is none.
    None,
    /// It has this one, as `details` show it.
    Found {
        /// Its name.
        name: String,
        /// Its name and bounds.
        details: Value,
    },
    /// The agent may not look.
    Unknown,
}

#[derive(Deserialize)]
struct Page {
    metadata: Meta,
    items: Vec<HorizontalPodAutoscaler>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "continue", default)]
    next: String,
}

/// Looks for the autoscaler of a deployment, in the version of the API that every server since 1.2 has.
pub fn of(named: Named<'_>, context: &Context<'_>) -> Result<Autoscaler, Ended> {
    let mut next = String::new();
    loop {
        let root = "/apis/autoscaling/v1";
        let mut path = format!(
            "{root}/namespaces/{}/{RESOURCE}?limit={PAGE}",
            named.namespace
        );
        if !next.is_empty() {
            path.push_str("&continue=");
            path.push_str(&encode(&next));
        }
        let page = match context.get::<Page>(&path, RESOURCE) {
            Ok(Some(page)) => page,
            // A server without that API has no autoscalers.
            Ok(None) => return Ok(Autoscaler::None),
            Err(ended) if ended.reason == Some(Reason::Forbidden) => {
                return Ok(Autoscaler::Unknown);
            }
            Err(ended) => return Err(ended),
        };
        if let Some(found) = page
            .items
            .iter()
            .find(|it| targets(it, named.name.as_str()))
        {
            return Ok(describe(found));
        }
        next = page.metadata.next;
        if next.is_empty() {
            return Ok(Autoscaler::None);
        }
        // However many pages there seem to be.
        if context.stop.requested() {
            return Err(Ended::interrupted("the agent was told to stop"));
        }
        if context.left().is_zero() {
            let message = "the autoscalers could not be read before the deadline";
            return Err(Ended::new(Status::Failed, Some(Reason::TimedOut), message));
        }
    }
}

/// Whether it scales the deployment of that name: also one written down in a group of long ago, or in none.
fn targets(autoscaler: &HorizontalPodAutoscaler, name: &str) -> bool {
    autoscaler.spec.as_ref().is_some_and(|it| {
        let target = &it.scale_target_ref;
        let version = target.api_version.as_deref().unwrap_or_default();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        target.kind == "Deployment"
            && target.name == name
            && matches!(group, "" | "apps" | "extensions")
    })
}

fn describe(autoscaler: &HorizontalPodAutoscaler) -> Autoscaler {
    let name = autoscaler.metadata.name.clone().unwrap_or_default();
    let spec = autoscaler.spec.as_ref();
    let details = json!({
        "name": name,
        "min_replicas": spec.and_then(|it| it.min_replicas).unwrap_or(1),
        "max_replicas": spec.map(|it| it.max_replicas),
    });
    Autoscaler::Found { name, details }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_deployment_of_that_name() {
        let cases = [
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}),
                true,
            ),
            (
                json!({"apiVersion": "extensions/v1beta1", "kind": "Deployment", "name": "web"}),
                true,
            ),
            (json!({"kind": "Deployment", "name": "web"}), true),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-2"}),
                false,
            ),
            (
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web"}),
                false,
            ),
            (
                json!({"apiVersion": "example.com/v1", "kind": "Deployment", "name": "web"}),
                false,
            ),
        ];
        for (target, expected) in cases {
            let value = json!({
                "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
                "spec": {"scaleTargetRef": target, "maxReplicas": 5},
            });
            let autoscaler = serde_json::from_value(value).unwrap();
            assert_eq!(targets(&autoscaler, "web"), expected, "{target}");
            assert!(
                matches!(describe(&autoscaler), Autoscaler::Found { details, .. }
                    if details == json!({"name": "a", "min_replicas": 1, "max_replicas": 5}))
            );
        }
    }
}
