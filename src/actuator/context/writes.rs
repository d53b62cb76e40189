//! Writing to the cluster: the requests, and the right to send them.

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Method;

use crate::kube::client::{Call, Deadlines};
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
        write(
            self.kube,
            Method::PATCH,
            "patch",
            &target,
            resource,
            content,
            patch,
        )
    }

    /// Creates an object in the collection at `path`, such as an eviction of a pod.
    pub fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        resource: &'static str,
        object: &Value,
    ) -> Result<T, kube::Error> {
        let target = Target::new(path).with("fieldManager", FIELD_MANAGER);
        write(
            self.kube,
            Method::POST,
            "create",
            &target,
            resource,
            "application/json",
            object,
        )
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
    write(
        kube,
        Method::POST,
        "create",
        &target,
        resource,
        "application/json",
        object,
    )
}

fn write<T: DeserializeOwned>(
    kube: &Client,
    method: Method,
    verb: &'static str,
    target: &Target,
    resource: &'static str,
    content: &'static str,
    body: &Value,
) -> Result<T, kube::Error> {
    let body = body.to_string();
    kube.send(&Call {
        method,
        target,
        verb,
        resource,
        accept: "application/json",
        compressed: false,
        body: Some((content, body.as_bytes())),
        deadlines: Deadlines::OBJECT,
    })
}
