//! What is read of a budget's object, and what is kept of it.

use serde::Deserialize;

use super::{Budget, Demand, Key};
use crate::actuator::execute::eviction::Version;
use crate::actuator::execute::selector::Selector;
use crate::cluster::text::{Text, null_is_default};

/// What is read of a budget's object.
#[derive(Deserialize)]
pub struct BudgetObject<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    spec: Spec<'a>,
    #[serde(default, deserialize_with = "null_is_default")]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    resource_version: Text<'a>,
    #[serde(default)]
    generation: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec<'a> {
    selector: Option<Selector>,
    #[serde(borrow)]
    min_available: Option<Amount<'a>>,
    #[serde(borrow)]
    max_unavailable: Option<Amount<'a>>,
    #[serde(borrow)]
    unhealthy_pod_eviction_policy: Option<Text<'a>>,
}

/// A number of pods, or a share of them in per cent.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount<'a> {
    Count(i64),
    Share(#[serde(borrow)] Text<'a>),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: i64,
    disruptions_allowed: i64,
    desired_healthy: i64,
    current_healthy: i64,
    expected_pods: i64,
}

impl Amount<'_> {
    fn percent(&self) -> Option<i64> {
        match self {
            Self::Count(_) => None,
            Self::Share(text) => text.strip_suffix('%')?.parse().ok(),
        }
    }
}

impl BudgetObject<'_> {
    /// The object's resource version.
    pub fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    /// The key of it among the [`Budgets`].
    pub fn key(&self) -> Key {
        (
            self.metadata.namespace.to_string(),
            self.metadata.name.to_string(),
        )
    }

    /// What is kept of it, as the API of that version shows it.
    pub fn facts(self, api: Version) -> Budget {
        let Self {
            metadata,
            spec,
            status,
        } = self;
        let demand = match (&spec.max_unavailable, &spec.min_available) {
            (Some(Amount::Count(0)), _) => Demand::All,
            (Some(it), _) if it.percent() == Some(0) => Demand::All,
            (None, Some(Amount::Count(_)) | None) => Demand::Count,
            (None, Some(it)) if it.percent() >= Some(100) => Demand::All,
            (Some(_), _) | (None, Some(Amount::Share(_))) => Demand::Share,
        };
        // An empty selector selects nothing in policy/v1beta1, and every pod of the namespace in policy/v1.
        let selector = spec
            .selector
            .filter(|it| api == Version::V1 || !it.is_empty());
        Budget {
            namespace: metadata.namespace.to_string(),
            name: metadata.name.to_string(),
            selector,
            demand,
            always_evicts_unhealthy: spec.unhealthy_pod_eviction_policy.as_deref()
                == Some("AlwaysAllow"),
            is_stale: status.observed_generation < metadata.generation,
            allowed: status.disruptions_allowed,
            needs: status.desired_healthy,
            has: status.current_healthy,
            expected: status.expected_pods,
            most: status.expected_pods,
        }
    }
}
