//! What a path names.

use super::resources::{RESOURCES, Resource};

/// What a path of the API names.
#[derive(Clone, Debug)]
pub(super) struct Target {
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
pub(super) enum Route {
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
    pub(super) fn label(&self) -> String {
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
    pub(super) fn key(&self) -> String {
        self.resource.key(&self.namespace, &self.name)
    }
}

impl Route {
    /// Reads a path, for a server of this minor version.
    pub(super) fn parse(path: &str, minor: u32) -> Route {
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

    type Named = (&'static str, String, String, String);

    fn target(path: &str, minor: u32) -> Option<Named> {
        match Route::parse(path, minor) {
            Route::Target(it) => Some((it.resource.kind, it.namespace, it.name, it.subresource)),
            _ => None,
        }
    }

    fn assert_names(path: &str, kind: &'static str, namespace: &str, name: &str, sub: &str) {
        let expected = (kind, namespace.to_owned(), name.to_owned(), sub.to_owned());
        assert_eq!(target(path, 20), Some(expected), "{path}");
    }

    #[test]
    fn reads_the_paths_of_objects() {
        assert_names("/api/v1/pods", "Pod", "", "", "");
        assert_names(
            "/api/v1/namespaces/a/pods/b/eviction",
            "Pod",
            "a",
            "b",
            "eviction",
        );
        assert_names("/api/v1/namespaces", "Namespace", "", "", "");
        assert_names("/api/v1/namespaces/a", "Namespace", "", "a", "");
        assert_names(
            "/api/v1/namespaces/a/status",
            "Namespace",
            "",
            "a",
            "status",
        );
        assert_names(
            "/apis/apps/v1/namespaces/a/deployments/b/scale",
            "Deployment",
            "a",
            "b",
            "scale",
        );
        assert_names(
            "/apis/metrics.k8s.io/v1beta1/nodes/n",
            "NodeMetrics",
            "",
            "n",
            "",
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
}
