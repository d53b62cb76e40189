//! What the server says about itself: version, groups, resources, health.

use serde_json::{Value, json};

use super::Api;
use super::metrics::Availability;
use super::resources::{RESOURCES, Resource};
use crate::http::{Request, Response};

/// Answers what is no resource.
pub(super) fn other(api: &Api, request: &Request) -> Response {
    match request.path.trim_end_matches('/') {
        "/version" => Response::json(200, version(&api.options.version).to_string()),
        "/healthz" | "/livez" | "/readyz" => Response::text(200, "ok"),
        "/api" => {
            let api = json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []});
            Response::json(200, api.to_string())
        }
        "/apis" => Response::json(200, groups(api).to_string()),
        path if path.starts_with("/apis/") && path.matches('/').count() == 2 => {
            match groups(api)["groups"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|it| it["name"] == path[6..])
            {
                Some(group) => {
                    let mut group = group.clone();
                    group["kind"] = "APIGroup".into();
                    group["apiVersion"] = "v1".into();
                    Response::json(200, group.to_string())
                }
                None => unknown(),
            }
        }
        _ => unknown(),
    }
}

/// What no handler knows is answered as text, as Go's own multiplexer does it.
pub(super) fn unknown() -> Response {
    Response::text(404, "404 page not found\n").with_header("x-content-type-options", "nosniff")
}

/// The resources of a group and version.
pub(super) fn resources(minor: u32, group: &str, version: &str) -> Response {
    let served = RESOURCES
        .iter()
        .filter(|it| (it.group, it.version) == (group, version) && it.served_by(minor));
    let resources: Vec<Value> = served
        .flat_map(|resource| {
            let parts = resource
                .subresources
                .iter()
                .filter(|part| **part != "finalize");
            std::iter::once(entry(resource))
                .chain(parts.map(|part| subresource(resource, part, minor)))
        })
        .collect();
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
    });
    Response::json(200, list.to_string())
}

fn entry(resource: &Resource) -> Value {
    let verbs: &[&str] = if resource.is_metrics() {
        &["get", "list"]
    } else if resource.plural == "selfsubjectaccessreviews" {
        &["create"]
    } else {
        &[
            "create", "delete", "get", "list", "patch", "update", "watch",
        ]
    };
    json!({
        "name": resource.plural, "singularName": "", "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": verbs,
    })
}

fn subresource(resource: &Resource, part: &str, minor: u32) -> Value {
    let mut entry = entry(resource);
    entry["name"] = format!("{}/{part}", resource.plural).into();
    let (group, version, kind) = match part {
        // The kind that a client should send; since 1.22 that of policy/v1.
        "eviction" => (
            "policy",
            if minor < 22 { "v1beta1" } else { "v1" },
            "Eviction",
        ),
        "scale" => ("autoscaling", "v1", "Scale"),
        _ => ("", "", resource.kind),
    };
    entry["kind"] = kind.into();
    if !group.is_empty() {
        entry["group"] = group.into();
        entry["version"] = version.into();
    }
    entry["verbs"] = if part == "eviction" {
        json!(["create"])
    } else {
        json!(["get", "patch", "update"])
    };
    entry
}

fn groups(api: &Api) -> Value {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for resource in RESOURCES
        .iter()
        .filter(|it| !it.group.is_empty() && it.served_by(api.minor))
    {
        if resource.is_metrics() && api.metrics.mode().availability == Availability::Missing {
            continue;
        }
        match groups
            .iter_mut()
            .find(|(group, _)| *group == resource.group)
        {
            Some((_, versions)) if versions.contains(&resource.version) => {}
            Some((_, versions)) => versions.push(resource.version),
            None => groups.push((resource.group, vec![resource.version])),
        }
    }
    let groups: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
                .collect();
            json!({"name": group, "versions": versions, "preferredVersion": versions[0]})
        })
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn version(version: &str) -> Value {
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("20"));
    json!({
        "major": major, "minor": minor, "gitVersion": version, "gitCommit": "sandbox", "gitTreeState": "clean",
        "buildDate": "2021-01-13T13:20:00Z", "goVersion": "go1.15.5", "compiler": "gc", "platform": "linux/amd64",
    })
}
