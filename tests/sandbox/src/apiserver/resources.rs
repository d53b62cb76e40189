//! The resources that are served, and the parts of a path that name them.

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
pub static RESOURCES: &[Resource] = &[
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

/// What a path of the API names.
#[derive(Clone, Debug)]
pub struct Target {
    /// The resource.
    pub resource: &'static Resource,
    /// The namespace; empty for none or all.
    pub namespace: String,
    /// The object; empty for all of them.
    pub name: String,
    /// The subresource; empty for none.
    pub subresource: String,
}

/// What a path names.
#[derive(Debug)]
pub enum Route {
    /// A resource, an object or a part of one.
    Target(Target),
    /// The list of resources of a group and version.
    Resources(String, String),
    /// A group and version that are served, but nothing in them.
    UnknownResource,
    /// Anything else: discovery, health, or nothing.
    Other,
}

impl Target {
    /// The resource and subresource as faults, denials and the audit name them: `pods/eviction`, `deployments/scale`.
    /// The Metrics API's are told from the core's: `pods.metrics.k8s.io`.
    pub fn label(&self) -> String {
        let plural = if self.resource.is_metrics() {
            self.resource.qualified()
        } else {
            self.resource.plural.into()
        };
        if self.subresource.is_empty() {
            plural
        } else {
            format!("{plural}/{}", self.subresource)
        }
    }

    /// The key of the object.
    pub fn key(&self) -> String {
        self.resource.key(&self.namespace, &self.name)
    }
}

impl Route {
    /// Reads a path, for a server of this minor version.
    pub fn parse(path: &str, minor: u32) -> Route {
        let segments: Vec<&str> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Route::Other,
        };
        let find = |plural: &str| {
            RESOURCES.iter().find(|this| {
                (this.group, this.version, this.plural) == (group, version, plural)
                    && this.served_by(minor)
            })
        };
        if !RESOURCES
            .iter()
            .any(|this| (this.group, this.version) == (group, version) && this.served_by(minor))
        {
            return Route::Other;
        }
        let (namespace, rest) = match rest {
            [] => return Route::Resources(group.to_owned(), version.to_owned()),
            ["namespaces", namespace, plural, after @ ..]
                if find(plural).is_some_and(|it| it.namespaced) =>
            {
                (*namespace, [&[*plural], after].concat())
            }
            rest => ("", rest.to_vec()),
        };
        let (plural, name, subresource) = match rest.as_slice() {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, subresource] => (*plural, *name, *subresource),
            _ => return Route::UnknownResource,
        };
        let Some(resource) = find(plural) else {
            return Route::UnknownResource;
        };
        let known = subresource.is_empty() || resource.subresources.contains(&subresource);
        if !known || (resource.namespaced && namespace.is_empty() && !name.is_empty()) {
            return Route::UnknownResource;
        }
        Route::Target(Target {
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str, minor: u32) -> Option<(&'static str, String, String, String)> {
        match Route::parse(path, minor) {
            Route::Target(it) => Some((it.resource.kind, it.namespace, it.name, it.subresource)),
            _ => None,
        }
    }

    fn named(
        kind: &'static str,
        namespace: &str,
        name: &str,
        sub: &str,
    ) -> Option<(&'static str, String, String, String)> {
        Some((kind, namespace.into(), name.into(), sub.into()))
    }

    #[test]
    fn reads_the_paths_of_objects() {
        assert_eq!(target("/api/v1/pods", 20), named("Pod", "", "", ""));
        assert_eq!(
            target("/api/v1/namespaces/a/pods/b/eviction", 20),
            named("Pod", "a", "b", "eviction")
        );
        assert_eq!(
            target("/api/v1/namespaces", 20),
            named("Namespace", "", "", "")
        );
        assert_eq!(
            target("/api/v1/namespaces/a", 20),
            named("Namespace", "", "a", "")
        );
        assert_eq!(
            target("/api/v1/namespaces/a/status", 20),
            named("Namespace", "", "a", "status")
        );
        assert_eq!(
            target("/apis/apps/v1/namespaces/a/deployments/b/scale", 20),
            named("Deployment", "a", "b", "scale")
        );
        assert_eq!(
            target("/apis/metrics.k8s.io/v1beta1/nodes/n", 20),
            named("NodeMetrics", "", "n", "")
        );
    }

    #[test]
    fn knows_what_a_version_serves() {
        let path = |version: &str| format!("/apis/policy/{version}/poddisruptionbudgets");
        assert!(target(&path("v1"), 20).is_none() && target(&path("v1beta1"), 20).is_some());
        assert!(target(&path("v1"), 25).is_some() && target(&path("v1beta1"), 25).is_none());
        assert!(matches!(
            Route::parse("/api/v1/gadgets", 20),
            Route::UnknownResource
        ));
        assert!(matches!(
            Route::parse("/apis/gadgets.io/v1/gadgets", 20),
            Route::Other
        ));
        assert!(matches!(Route::parse("/api/v1", 20), Route::Resources(..)));
    }

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
