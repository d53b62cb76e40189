//! Writing to the cluster: the requests, and the right to send them.

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Method;

use crate::kube::call::Call;
use crate::kube::{self, Client, Target};

/// Who the agent is in its writes: `fieldManager` and the owner of its cordons.
pub const FIELD_MANAGER: &str = "kubernetes-agent";

/// The form of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 7386.
    Merge,
    /// Kubernetes' own: lists are merged by their keys.
    Strategic,
}

/// The right to write to the cluster; made by [`super::Context::begin`] alone.
pub struct Writes<'a> {
    kube: &'a Client,
}

impl<'a> Writes<'a> {
    pub(super) fn new(kube: &'a Client) -> Self {
        Self { kube }
    }

    /// Patches the object at `path` and returns what the server made of it. One try: whether a write whose answer
    /// was lost took place is for the executor to find out by reading.
    pub fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        resource: &'static str,
        kind: PatchType,
        patch: &Value,
    ) -> Result<T, kube::Error> {
        let target = Target::new(path).with("fieldManager", FIELD_MANAGER);
        let content = match kind {
            PatchType::Merge => "application/merge-patch+json",
            PatchType::Strategic => "application/strategic-merge-patch+json",
        };
        let patch = patch.to_string();
        self.kube.send(&Call {
            body: Some((content, patch.as_bytes())),
            ..Call::json(Method::PATCH, "patch", &target, resource, &patch)
        })
    }

    /// Creates an object in the collection at `path`, such as an eviction of a pod.
    pub fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        resource: &'static str,
        object: &Value,
    ) -> Result<T, kube::Error> {
        let target = Target::new(path).with("fieldManager", FIELD_MANAGER);
        create(self.kube, &target, resource, object)
    }
}

/// Asks the server what it would say to a creation, with `dryRun=All`: nothing is written.
pub fn create_dry_run<T: DeserializeOwned>(
    kube: &Client,
    path: &str,
    resource: &'static str,
    object: &Value,
) -> Result<T, kube::Error> {
    let target = Target::new(path)
        .with("dryRun", "All")
        .with("fieldManager", FIELD_MANAGER);
    create(kube, &target, resource, object)
}

fn create<T: DeserializeOwned>(
    kube: &Client,
    target: &Target,
    resource: &'static str,
    object: &Value,
) -> Result<T, kube::Error> {
    let object = object.to_string();
    kube.send(&Call::json(
        Method::POST,
        "create",
        target,
        resource,
        &object,
    ))
}
