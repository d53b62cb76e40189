//! What the server fills in when an object is created.

use serde_json::{Value, json};

use super::object::elements_mut;
use super::resources::Resource;

/// Completes an object as its kind demands. What a client may not set is set here, whatever it says.
pub(super) fn complete(resource: &Resource, object: &mut Value) {
    if counts_generations(resource) {
        object["metadata"]["generation"] = 1.into();
    }
    show_empty(resource, object);
    if object.get("spec").is_none() {
        return;
    }
    let spec = &mut object["spec"];
    match (resource.group, resource.plural) {
        ("", "pods") => {
            pod_spec(spec);
            for (member, value) in [
                ("enableServiceLinks", json!(true)),
                ("preemptionPolicy", json!("PreemptLowerPriority")),
                ("serviceAccountName", json!("default")),
                ("priority", json!(0)),
            ] {
                default(spec, member, value);
            }
            tolerate(spec);
            let qos = qos_class(spec);
            object["status"] = json!({"phase": "Pending", "qosClass": qos});
        }
        ("", "namespaces") => {
            *spec = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        ("apps", plural) => {
            if plural != "daemonsets" {
                default(spec, "replicas", 1.into());
            }
            if plural != "replicasets" {
                default(spec, "revisionHistoryLimit", 10.into());
            }
            match plural {
                "deployments" => {
                    default(spec, "progressDeadlineSeconds", 600.into());
                    let rolling = json!({"maxSurge": "25%", "maxUnavailable": "25%"});
                    default(
                        spec,
                        "strategy",
                        json!({"type": "RollingUpdate", "rollingUpdate": rolling}),
                    );
                }
                "statefulsets" => {
                    default(spec, "podManagementPolicy", "OrderedReady".into());
                    default(
                        spec,
                        "updateStrategy",
                        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
                    );
                }
                _ => {}
            }
            pod_spec(&mut spec["template"]["spec"]);
            object["status"] = if plural == "replicasets" || plural == "statefulsets" {
                json!({"replicas": 0})
            } else {
                json!({})
            };
        }
        ("policy", _) => {
            object["status"] = json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0});
        }
        ("autoscaling", _) => {
            object["status"] = json!({"currentReplicas": 0, "desiredReplicas": 0});
        }
        ("batch", _) => object["status"] = json!({}),
        _ => {}
    }
}

/// Whether a change of its spec makes a new generation.
pub(super) fn counts_generations(resource: &Resource) -> bool {
    matches!(resource.group, "apps" | "policy" | "batch")
}

/// What a Go struct shows though nobody set it: what is no pointer is there, and a required list is null.
pub(super) fn show_empty(resource: &Resource, object: &mut Value) {
    let empty: &[(&str, Value)] = match resource.plural {
        "pods" => &[("spec", json!({"containers": null})), ("status", json!({}))],
        "nodes" => {
            let information = json!({
                "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "",
                "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "",
                "operatingSystem": "", "architecture": "",
            });
            let endpoints = json!({"kubeletEndpoint": {"Port": 0}});
            &[
                ("spec", json!({})),
                (
                    "status",
                    json!({"daemonEndpoints": endpoints, "nodeInfo": information}),
                ),
            ]
        }
        "events" => &[
            ("involvedObject", json!({})),
            ("source", json!({})),
            ("firstTimestamp", Value::Null),
            ("lastTimestamp", Value::Null),
            ("eventTime", Value::Null),
            ("reportingComponent", json!("")),
            ("reportingInstance", json!("")),
        ],
        "configmaps" => &[],
        _ => &[("spec", json!({}))],
    };
    for (member, value) in empty {
        default(object, member, value.clone());
    }
}

fn default(object: &mut Value, member: &str, value: Value) {
    if object[member].is_null() {
        object[member] = value;
    }
}

fn pod_spec(spec: &mut Value) {
    for (member, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
    ] {
        default(spec, member, value);
    }
    for container in elements_mut(spec, "/containers") {
        for (member, value) in [
            ("resources", json!({})),
            ("terminationMessagePath", json!("/dev/termination-log")),
            ("terminationMessagePolicy", json!("File")),
            ("imagePullPolicy", json!("IfNotPresent")),
        ] {
            default(container, member, value);
        }
    }
}

/// Admission lets every pod stay for five minutes on a node that fails.
fn tolerate(spec: &mut Value) {
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        if !tolerations
            .iter()
            .any(|it| it["key"] == key || it["key"].is_null())
        {
            tolerations
                .push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
    spec["tolerations"] = tolerations.into();
}

/// The quality of service that follows from requests and limits.
pub(super) fn qos_class(spec: &Value) -> &'static str {
    let containers = || spec["containers"].as_array().into_iter().flatten();
    let amount = |container: &Value, kind: &str, resource: &str| {
        container["resources"][kind][resource].clone()
    };
    let none = containers().all(|it| {
        ["cpu", "memory"].iter().all(|what| {
            amount(it, "requests", what).is_null() && amount(it, "limits", what).is_null()
        })
    });
    let all = containers().all(|it| {
        ["cpu", "memory"].iter().all(|what| {
            let limit = amount(it, "limits", what);
            let request = amount(it, "requests", what);
            !limit.is_null() && (request.is_null() || request == limit)
        })
    });
    match (none, all) {
        (true, _) => "BestEffort",
        (_, true) => "Guaranteed",
        _ => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_quality_of_service() {
        let spec =
            |resources: Value| json!({"containers": [{"name": "a", "resources": resources}]});
        assert_eq!(qos_class(&spec(json!({}))), "BestEffort");
        assert_eq!(
            qos_class(&spec(json!({"requests": {"cpu": "1"}}))),
            "Burstable"
        );
        assert_eq!(
            qos_class(&spec(json!({"limits": {"cpu": "1", "memory": "1Gi"}}))),
            "Guaranteed"
        );
    }
}
