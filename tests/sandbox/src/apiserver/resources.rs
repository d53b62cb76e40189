//! The resources that are served.

/// A resource of one group and version.
#[derive(Debug)]
pub struct Resource {
    /// Its API group; empty for the core.
    pub group: &'static str,
    /// The version of that group.
    pub version: &'static str,
    /// As in a path.
    pub plural: &'static str,
    /// As in an object.
    pub kind: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// The subresources that are served.
    pub subresources: &'static [&'static str],
    /// What field selectors may name beside `metadata.name` and `metadata.namespace`.
    pub fields: &'static [&'static str],
    /// The minor versions of Kubernetes that serve it: from, and up to but not.
    pub minors: (u32, u32),
}

const ALWAYS: (u32, u32) = (0, u32::MAX);

const fn core(
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    subresources: &'static [&'static str],
    fields: &'static [&'static str],
) -> Resource {
    Resource {
        group: "",
        version: "v1",
        plural,
        kind,
        namespaced,
        subresources,
        fields,
        minors: ALWAYS,
    }
}

const fn grouped(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    subresources: &'static [&'static str],
) -> Resource {
    Resource {
        group,
        version,
        plural,
        kind,
        namespaced: true,
        subresources,
        fields: &[],
        minors: ALWAYS,
    }
}

/// All of them. Objects are stored by group and plural, so that both versions of a budget are one object.
pub(super) static RESOURCES: &[Resource] = &[
    core(
        "namespaces",
        "Namespace",
        false,
        &["status", "finalize"],
        &["status.phase"],
    ),
    core("nodes", "Node", false, &["status"], &["spec.unschedulable"]),
    core(
        "pods",
        "Pod",
        true,
        &["status", "eviction"],
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
    ),
    core(
        "events",
        "Event",
        true,
        &[],
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
    core("configmaps", "ConfigMap", true, &[], &[]),
    core(
        "replicationcontrollers",
        "ReplicationController",
        true,
        &["status"],
        &[],
    ),
    grouped(
        "apps",
        "v1",
        "deployments",
        "Deployment",
        &["status", "scale"],
    ),
    grouped(
        "apps",
        "v1",
        "replicasets",
        "ReplicaSet",
        &["status", "scale"],
    ),
    grouped(
        "apps",
        "v1",
        "statefulsets",
        "StatefulSet",
        &["status", "scale"],
    ),
    grouped("apps", "v1", "daemonsets", "DaemonSet", &["status"]),
    grouped("batch", "v1", "jobs", "Job", &["status"]),
    Resource {
        minors: (21, u32::MAX),
        ..grouped(
            "policy",
            "v1",
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            &["status"],
        )
    },
    Resource {
        minors: (5, 25),
        ..grouped(
            "policy",
            "v1beta1",
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            &["status"],
        )
    },
    grouped(
        "autoscaling",
        "v1",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        &["status"],
    ),
    grouped("coordination.k8s.io", "v1", "leases", "Lease", &[]),
    Resource {
        namespaced: false,
        ..grouped(
            "authorization.k8s.io",
            "v1",
            "selfsubjectaccessreviews",
            "SelfSubjectAccessReview",
            &[],
        )
    },
    grouped("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", &[]),
    Resource {
        namespaced: false,
        ..grouped("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", &[])
    },
];

impl Resource {
    /// The resource of a kind, at the first version there is; for the simulation's own use.
    ///
    /// # Panics
    /// If no such resource is served: the names here are all constants.
    pub fn named(group: &str, plural: &str) -> &'static Resource {
        let found = RESOURCES
            .iter()
            .find(|this| this.group == group && this.plural == plural);
        found.unwrap_or_else(|| panic!("no resource {plural} in group {group:?}"))
    }

    /// The resource whose objects say they are this.
    pub fn of_kind(api_version: &str, kind: &str) -> Option<&'static Resource> {
        RESOURCES
            .iter()
            .find(|this| this.kind == kind && this.api_version() == api_version)
    }

    /// Where its objects are stored.
    pub fn table(&self) -> usize {
        RESOURCES
            .iter()
            .position(|this| this.group == self.group && this.plural == self.plural)
            .unwrap_or_default()
    }

    /// `v1`, `apps/v1`, ...
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The name in messages and in audits: `pods`, `deployments.apps`.
    pub fn qualified(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// Whether it is served from the Metrics API.
    pub fn is_metrics(&self) -> bool {
        self.group == "metrics.k8s.io"
    }

    /// Whether status is written apart from the rest.
    pub fn has_status(&self) -> bool {
        self.subresources.contains(&"status")
    }

    /// Whether a server of this minor version serves it.
    pub fn served_by(&self, minor: u32) -> bool {
        (self.minors.0..self.minors.1).contains(&minor)
    }

    /// The key of an object: as in etcd, so that lists have its order.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced {
            format!("{namespace}/{name}")
        } else {
            name.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_both_versions_in_one_table() {
        let tables: Vec<usize> = RESOURCES
            .iter()
            .filter(|it| it.plural == "poddisruptionbudgets")
            .map(Resource::table)
            .collect();
        assert_eq!(tables[0], tables[1]);
    }
}
