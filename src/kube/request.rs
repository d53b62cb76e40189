//! Requests to the API server as values: no IO, so that paths and queries are tested without a server.

use std::borrow::Cow;
use std::fmt::Write;

/// A resource of the API: where its objects live, and the name under which requests for it are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// The path before `/namespaces/`: `/api/v1` or `/apis/GROUP/VERSION`.
    pub root: &'static str,
    /// The plural, lower-case name: `pods`.
    pub plural: &'static str,
    /// Ask for metadata alone (`PartialObjectMetadata`).
    pub metadata_only: bool,
}

impl Resource {
    const fn new(root: &'static str, plural: &'static str) -> Self {
        Self {
            root,
            plural,
            metadata_only: false,
        }
    }

    /// core/v1 pods.
    pub const PODS: Self = Self::new("/api/v1", "pods");
    /// core/v1 nodes.
    pub const NODES: Self = Self::new("/api/v1", "nodes");
    /// core/v1 events.
    pub const EVENTS: Self = Self::new("/api/v1", "events");
    /// apps/v1 replica sets, of which only the owners are of interest.
    pub const REPLICA_SETS: Self = Self {
        metadata_only: true,
        ..Self::new("/apis/apps/v1", "replicasets")
    };
    /// policy/v1 disruption budgets, served since Kubernetes 1.21.
    pub const BUDGETS: Self = Self::new("/apis/policy/v1", "poddisruptionbudgets");
    /// policy/v1beta1 disruption budgets, served before Kubernetes 1.25.
    pub const BETA_BUDGETS: Self = Self::new("/apis/policy/v1beta1", "poddisruptionbudgets");
    /// coordination.k8s.io/v1 leases.
    pub const LEASES: Self = Self::new("/apis/coordination.k8s.io/v1", "leases");
    /// metrics.k8s.io/v1beta1 pods.
    pub const POD_METRICS: Self = Self::new("/apis/metrics.k8s.io/v1beta1", "pods");
    /// metrics.k8s.io/v1beta1 nodes.
    pub const NODE_METRICS: Self = Self::new("/apis/metrics.k8s.io/v1beta1", "nodes");

    /// The collection's path over all namespaces.
    pub fn path(&self) -> String {
        format!("{}/{}", self.root, self.plural)
    }

    /// How requests for it are labelled in /metrics: with the group where the plural alone is ambiguous.
    pub fn label(&self) -> &'static str {
        match (self.root, self.plural) {
            ("/apis/metrics.k8s.io/v1beta1", "pods") => "metrics.k8s.io/pods",
            ("/apis/metrics.k8s.io/v1beta1", "nodes") => "metrics.k8s.io/nodes",
            (_, plural) => plural,
        }
    }

    /// The `Accept` header of its lists: JSON, or protobuf and JSON only where something on the way knows no other.
    pub fn accept_list(&self, protobuf: bool) -> &'static str {
        match (protobuf, self.metadata_only) {
            (false, false) => "application/json",
            (true, false) => "application/vnd.kubernetes.protobuf,application/json",
            (false, true) => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            (true, true) => {
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                 application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
            }
        }
    }

    /// The same of its watches.
    pub fn accept_watch(&self, protobuf: bool) -> &'static str {
        match (protobuf, self.metadata_only) {
            (_, false) => self.accept_list(protobuf),
            (false, true) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            (true, true) => {
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
                 application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
            }
        }
    }
}

/// Objects of a resource that are listed and watched together: all of them, those of a namespace, or those that a
/// field selector takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// The resource.
    pub resource: Resource,
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only objects of which this holds, such as `spec.nodeName=worker-7`.
    pub fields: Option<String>,
}

impl From<Resource> for Collection {
    fn from(resource: Resource) -> Self {
        Self {
            resource,
            namespace: None,
            fields: None,
        }
    }
}

impl Collection {
    /// Those of a namespace only.
    #[must_use]
    pub fn in_namespace(self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self
        }
    }

    /// Those only of which `fields` holds.
    #[must_use]
    pub fn with_fields(self, fields: String) -> Self {
        Self {
            fields: Some(fields),
            ..self
        }
    }

    fn target(&self) -> Target {
        let Resource { root, plural, .. } = self.resource;
        let target = match &self.namespace {
            Some(namespace) => Target::new(format!("{root}/namespaces/{namespace}/{plural}")),
            None => Target::new(self.resource.path()),
        };
        match &self.fields {
            Some(fields) => target.with("fieldSelector", fields),
            None => target,
        }
    }
}

/// Path and query of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    text: String,
    has_query: bool,
}

impl Target {
    /// A path, without query.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            text: path.into(),
            has_query: false,
        }
    }

    /// With one more query parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        let _ = write!(self.text, "{name}={}", encode(value));
        self
    }

    /// As it stands in the request line.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// One page of a list: at most `limit` objects where there is a limit, after `token` where it is not the first.
///
/// The resource version stays unset: "most recent", from etcd. With "0" the server ignores the limit and answers
/// all at once (kube-rs issue 1748).
pub fn list(collection: &Collection, limit: Option<u32>, token: Option<&str>) -> Target {
    let target = match limit {
        Some(limit) => collection.target().with("limit", &limit.to_string()),
        None => collection.target(),
    };
    match token {
        Some(token) => target.with("continue", token),
        None => target,
    }
}

/// A watch from `version` on, with bookmarks, which the server ends after `seconds`.
pub fn watch(collection: &Collection, version: &str, seconds: u64) -> Target {
    (collection.target())
        .with("watch", "1")
        .with("allowWatchBookmarks", "true")
        .with("resourceVersion", version)
        .with("timeoutSeconds", &seconds.to_string())
}

/// Percent-encodes all but the unreserved characters of RFC 3986, section 2.3.
pub fn encode(text: &str) -> Cow<'_, str> {
    let unreserved = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_' | b'~');
    if text.bytes().all(unreserved) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if unreserved(byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Cow::Owned(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_leaves_the_resource_version_unset() {
        assert_eq!(
            list(&Resource::PODS.into(), Some(500), None).as_str(),
            "/api/v1/pods?limit=500"
        );
        assert_eq!(
            list(
                &Resource::REPLICA_SETS.into(),
                Some(500),
                Some("eyJ2Ijoi/+=")
            )
            .as_str(),
            "/apis/apps/v1/replicasets?limit=500&continue=eyJ2Ijoi%2F%2B%3D"
        );
    }

    #[test]
    fn a_part_of_a_resource() {
        let on_node = Collection::from(Resource::PODS).with_fields("spec.nodeName=n-1".to_owned());
        assert_eq!(
            list(&on_node, Some(500), None).as_str(),
            "/api/v1/pods?fieldSelector=spec.nodeName%3Dn-1&limit=500"
        );
        let budgets = Collection::from(Resource::BUDGETS).in_namespace("shop");
        assert_eq!(
            watch(&budgets, "7", 60).as_str(),
            "/apis/policy/v1/namespaces/shop/poddisruptionbudgets?watch=1&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=60"
        );
    }

    #[test]
    fn a_watch_asks_for_bookmarks_from_a_version() {
        assert_eq!(
            watch(&Resource::NODES.into(), "123", 290).as_str(),
            "/api/v1/nodes?watch=1&allowWatchBookmarks=true&resourceVersion=123&timeoutSeconds=290"
        );
    }
}
