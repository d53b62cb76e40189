//! The labels of a pod that its controller lives by: changing one orphans the pod from its controller, which makes
//! another in its place, and takes it out of the services that select the controller's pods.
//!
//! These are the labels that the controller's selector names, and those of its pod template.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

use crate::actions::names::LabelKey;
use crate::actions::object::Object;
use crate::actions::outcome::{Reason, Status};
use crate::actions::params::Labels;
use crate::actions::policy::selected_by;
use crate::actuator::context::Context;
use crate::actuator::ended::Ended;

/// Labels that controllers write on their pods beside those of the template.
const OF_CONTROLLERS: [&str; 5] = [
    "pod-template-hash",
    "pod-template-generation",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
];

/// The controllers whose selectors are known: API version, kind, plural.
const CONTROLLERS: [(&str, &str, &str); 5] = [
    ("apps/v1", "ReplicaSet", "replicasets"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("apps/v1", "DaemonSet", "daemonsets"),
    ("batch/v1", "Job", "jobs"),
    ("v1", "ReplicationController", "replicationcontrollers"),
];

/// Refuses `changes` of the labels that the controller of the pod `object` lives by.
pub fn check(
    pod: &ObjectMeta,
    object: &Object,
    changes: &Labels,
    context: &Context<'_>,
) -> Result<(), Ended> {
    let owners = pod.owner_references.iter().flatten();
    let Some(owner) = owners.into_iter().find(|it| it.controller == Some(true)) else {
        return Ok(());
    };
    let controller = format!("{} {}", owner.kind, owner.name);
    if let Some(key) = selected_by(changes, OF_CONTROLLERS.into_iter()) {
        return Err(refused(
            object,
            key,
            &format!("{controller} has written it"),
        ));
    }
    let (keys, why) = match read(owner, object, context)? {
        Read::Found(found) => (
            of(&found),
            format!("{controller} selects or makes its pods by it"),
        ),
        // It is being deleted, and the pod with it.
        Read::Gone => return Ok(()),
        Read::Unknown(why) => {
            let present = pod.labels.iter().flatten().map(|(key, _)| key.clone());
            let why = format!(
                "the pod has it, {why}, and so it may be one of those that {controller} selects by"
            );
            (present.collect(), why)
        }
    };
    match selected_by(changes, keys.iter().map(String::as_str)) {
        Some(key) => Err(refused(object, key, &why)),
        None => Ok(()),
    }
}

fn refused(object: &Object, key: &LabelKey, why: &str) -> Ended {
    let message = format!("{object}: the label {key} is protected: {why}");
    Ended::new(Status::Rejected, Some(Reason::PolicyDenied), message)
}

enum Read {
    Found(Value),
    Gone,
    /// Its selector cannot be known; why.
    Unknown(String),
}

fn read(owner: &OwnerReference, object: &Object, context: &Context<'_>) -> Result<Read, Ended> {
    let known = |(version, kind, _): &&(&str, &str, &str)| {
        owner.kind == *kind && owner.api_version == *version
    };
    let (Some((version, _, plural)), Some(namespace)) =
        (CONTROLLERS.iter().find(known), object.namespace())
    else {
        return Ok(Read::Unknown(format!(
            "the selector of a {} is not known",
            owner.kind
        )));
    };
    let root = if *version == "v1" {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{version}")
    };
    let path = format!("{root}/namespaces/{namespace}/{plural}/{}", owner.name);
    match context.get::<Value>(&path, plural) {
        Ok(Some(found)) => Ok(Read::Found(found)),
        Ok(None) => Ok(Read::Gone),
        Err(ended) if ended.reason == Some(Reason::Forbidden) => {
            Ok(Read::Unknown(format!("the agent may not get {plural}")))
        }
        Err(ended) => Err(ended),
    }
}

/// The keys of the labels that a controller selects its pods by, or makes them with.
fn of(controller: &Value) -> BTreeSet<String> {
    let spec = &controller["spec"];
    // A ReplicationController's selector is the labels themselves.
    let plain = spec["selector"].as_object().into_iter().flatten();
    let plain = plain.filter(|(_, value)| value.is_string());
    let matched = spec["selector"]["matchLabels"]
        .as_object()
        .into_iter()
        .flatten();
    let made = spec["template"]["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten();
    let keys = plain.chain(matched).chain(made).map(|(key, _)| key.clone());
    let expressions = spec["selector"]["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten();
    let expressions = expressions.filter_map(|it| it["key"].as_str().map(str::to_owned));
    keys.chain(expressions).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selector_and_template_alike() {
        let cases = [
            (json!({}), vec![]),
            (
                json!({"spec": {"selector": {"matchLabels": {"app": "web"}}}}),
                vec!["app"],
            ),
            (
                json!({"spec": {
                    "selector": {
                        "matchLabels": {"app": "web"},
                        "matchExpressions": [{"key": "tier", "operator": "Exists"}],
                    },
                    "template": {"metadata": {"labels": {"app": "web", "tier": "x", "team": "a"}}},
                }}),
                vec!["app", "team", "tier"],
            ),
            (
                json!({"spec": {"selector": {"app": "web"}, "template": {}}}),
                vec!["app"],
            ),
        ];
        for (controller, keys) in cases {
            let found: Vec<_> = of(&controller).into_iter().collect();
            assert_eq!(found, keys, "{controller}");
        }
    }
}
