//! What is read of the API's pod, and what follows from it.

use std::sync::Arc;

use serde::Deserialize;

use super::{ContainerHistory, ContainerShape, Phase, Qos, Shape};
use crate::cluster::amounts::Amounts;
use crate::cluster::meta::Meta;
use crate::cluster::text::{Text, null_is_default};

/// What is read of a pod.
#[derive(Deserialize, Debug, Default, PartialEq)]
pub struct PodObject<'a> {
    #[serde(borrow)]
    pub(in crate::cluster) metadata: Meta<'a>,
    #[serde(borrow, default)]
    pub(in crate::cluster) spec: Spec<'a>,
    #[serde(borrow, default)]
    pub(in crate::cluster) status: Status<'a>,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::cluster) struct Spec<'a> {
    #[serde(borrow)]
    pub(in crate::cluster) node_name: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) containers: Vec<Container<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) init_containers: Vec<Container<'a>>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) overhead: Amounts,
    /// Pod-level resources (KEP-2837), which stand above those of the containers.
    #[serde(deserialize_with = "null_is_default")]
    pub(super) resources: Resources,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) resources: Resources,
    #[serde(borrow)]
    pub(super) restart_policy: Option<Text<'a>>,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(default)]
pub(super) struct Resources {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) requests: Amounts,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) limits: Amounts,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::cluster) struct Status<'a> {
    #[serde(borrow)]
    pub(super) phase: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) qos_class: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) conditions: Vec<Condition<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) container_statuses: Vec<ContainerStatus<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    pub(super) init_container_statuses: Vec<ContainerStatus<'a>>,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
pub(in crate::cluster) struct Condition<'a> {
    #[serde(rename = "type", borrow)]
    pub(in crate::cluster) kind: Text<'a>,
    #[serde(borrow)]
    pub(in crate::cluster) status: Text<'a>,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerStatus<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(default)]
    pub(super) restart_count: u32,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub(super) last_state: LastState<'a>,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(default)]
pub(super) struct LastState<'a> {
    #[serde(borrow)]
    pub(super) terminated: Option<Terminated<'a>>,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
pub(super) struct Terminated<'a> {
    #[serde(borrow, default)]
    pub(super) reason: Option<Text<'a>>,
}

impl PodObject<'_> {
    /// The object's resource version.
    pub fn version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Container<'_> {
    /// An init container that runs beside the others (KEP-753).
    fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    fn shape(&self, share: impl FnOnce(&str) -> Arc<str>) -> ContainerShape {
        ContainerShape {
            name: share(&self.name),
            cpu_request: self.resources.requests.cpu,
            cpu_limit: self.resources.limits.cpu,
            memory_request: self.resources.requests.memory,
            memory_limit: self.resources.limits.memory,
        }
    }
}

impl Spec<'_> {
    /// What its containers are; `share` gives the shared copy of a text.
    pub(in crate::cluster) fn shape(&self, mut share: impl FnMut(&str) -> Arc<str>) -> Shape {
        let sidecars = self.init_containers.iter().filter(|it| it.is_sidecar());
        Shape {
            containers: self
                .containers
                .iter()
                .chain(sidecars)
                .map(|it| it.shape(&mut share))
                .collect(),
            requested_cpu: self.requested(|it| it.cpu),
            requested_memory: self.requested(|it| it.memory),
        }
    }

    /// What the scheduler counts (k8s.io/component-helpers `resource.PodRequests`): the containers together, or
    /// the hungriest moment of the start, whichever is more, plus the runtime's overhead.
    fn requested(&self, amount: impl Fn(&Amounts) -> Option<i64>) -> i64 {
        let overhead = amount(&self.overhead).unwrap_or_default();
        if let Some(whole) = amount(&self.resources.requests) {
            return whole.saturating_add(overhead);
        }
        let of = |it: &Container<'_>| amount(&it.resources.requests).unwrap_or_default();
        let mut running = self
            .containers
            .iter()
            .fold(0_i64, |sum, it| sum.saturating_add(of(it)));
        let (mut sidecars, mut start) = (0_i64, 0_i64);
        for it in &self.init_containers {
            if it.is_sidecar() {
                sidecars = sidecars.saturating_add(of(it));
                start = start.max(sidecars);
            } else {
                start = start.max(sidecars.saturating_add(of(it)));
            }
        }
        running = running.saturating_add(sidecars);
        running.max(start).saturating_add(overhead)
    }
}

impl Status<'_> {
    pub(in crate::cluster) fn phase(&self) -> Phase {
        Phase::parse(self.phase.as_deref())
    }

    pub(in crate::cluster) fn qos(&self) -> Option<Qos> {
        Qos::parse(self.qos_class.as_deref())
    }

    pub(in crate::cluster) fn ready(&self) -> bool {
        self.conditions
            .iter()
            .any(|it| &*it.kind == "Ready" && &*it.status == "True")
    }

    /// What happened to the containers of `shape`, if anything did.
    pub(in crate::cluster) fn history(
        &self,
        shape: &Shape,
        mut share: impl FnMut(&str) -> Arc<str>,
    ) -> Option<Box<[ContainerHistory]>> {
        let statuses = || {
            self.container_statuses
                .iter()
                .chain(&self.init_container_statuses)
        };
        if statuses().all(|it| it.restart_count == 0 && it.last_state.terminated.is_none()) {
            return None;
        }
        let of = |container: &ContainerShape| {
            let Some(status) = statuses().find(|it| *it.name == *container.name) else {
                return ContainerHistory::default();
            };
            let reason = status
                .last_state
                .terminated
                .as_ref()
                .and_then(|it| it.reason.as_deref());
            ContainerHistory {
                restarts: status.restart_count,
                last_termination: reason.map(&mut share),
            }
        };
        Some(shape.containers.iter().map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Shape {
        serde_json::from_str::<Spec<'_>>(text)
            .unwrap()
            .shape(|it| it.into())
    }

    #[test]
    fn requests_are_counted_as_the_scheduler_counts_them() {
        let container = |name: &str, cpu: &str, policy: &str| {
            format!(r#"{{"name":"{name}"{policy},"resources":{{"requests":{{"cpu":"{cpu}"}}}}}}"#)
        };
        let always = r#","restartPolicy":"Always""#;
        let cpu = |containers: &[String], init: &[String], rest: &str| {
            spec(&format!(
                r#"{{"containers":[{}],"initContainers":[{}]{rest}}}"#,
                containers.join(","),
                init.join(",")
            ))
            .requested_cpu
                / 1_000_000
        };
        let two = [container("a", "100m", ""), container("b", "200m", "")];
        assert_eq!(cpu(&two, &[], ""), 300);
        assert_eq!(cpu(&two, &[container("i", "1", "")], ""), 1000);
        assert_eq!(
            cpu(
                &two,
                &[container("i", "150m", "")],
                r#","overhead":{"cpu":"10m"}"#
            ),
            310
        );
        assert_eq!(cpu(&two, &[container("s", "50m", always)], ""), 350);
        assert_eq!(
            cpu(
                &two,
                &[container("s", "50m", always), container("i", "400m", "")],
                ""
            ),
            450
        );
        assert_eq!(
            cpu(&two, &[], r#","resources":{"requests":{"cpu":"2"}}"#),
            2000
        );
    }

    #[test]
    fn sidecars_are_containers_of_the_shape() {
        let shape = spec(
            r#"{"containers":[{"name":"app"}],"initContainers":[{"name":"init"},{"name":"mesh","restartPolicy":"Always"}]}"#,
        );
        let names: Vec<_> = shape.containers.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["app", "mesh"]);
    }

    #[test]
    fn history_is_kept_only_where_something_happened() {
        let shape = spec(r#"{"containers":[{"name":"a"},{"name":"b"}]}"#);
        let history = |text: &str| {
            serde_json::from_str::<Status<'_>>(text)
                .unwrap()
                .history(&shape, |it| it.into())
        };
        assert_eq!(
            history(r#"{"containerStatuses":[{"name":"a","restartCount":0,"lastState":{}}]}"#),
            None
        );
        let found = history(
            r#"{"containerStatuses":[{"name":"b","restartCount":3,"lastState":{"terminated":{"reason":"OOMKilled"}}}]}"#,
        )
        .unwrap();
        assert_eq!((found[0].restarts, found[1].restarts), (0, 3));
        assert_eq!(found[1].last_termination.as_deref(), Some("OOMKilled"));
    }

    #[test]
    fn a_bare_object_is_no_error() {
        let pod: PodObject<'_> = serde_json::from_str(r#"{"metadata":{"name":"p"}}"#).unwrap();
        assert_eq!(pod.status.phase(), Phase::Unknown);
        assert!(!pod.status.ready());
        assert_eq!(pod.spec.shape(|it| it.into()).containers.len(), 0);
    }
}
