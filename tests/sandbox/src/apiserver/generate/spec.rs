//! The spec of a pod, and of the template that it was made of.

use std::fmt::Write as _;

use super::{Kind, Node, Workload};

/// What happens when a container of it ends.
pub(super) fn restart_policy(workload: &Workload) -> &'static str {
    if workload.kind == Kind::Job {
        "Never"
    } else {
        "Always"
    }
}

/// The spec in a workload's template.
pub(super) fn template_spec(workload: &Workload) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_spec(&mut out, workload, None, false);
    out
}

/// The spec of a template, or of a pod with what admission and the scheduler add to it: the token's volume, default
/// tolerations, a node.
pub(super) fn write_spec(
    out: &mut String,
    workload: &Workload,
    pod: Option<(&str, Option<&Node>)>,
    small: bool,
) -> std::fmt::Result {
    write!(
        out,
        r#"{{"volumes":[{{"name":"config","configMap":{{"name":"{}","defaultMode":420}}}}"#,
        workload.config
    )?;
    if workload.empty_dir {
        out.push_str(r#",{"name":"scratch","emptyDir":{}}"#);
    }
    if let Some((token, _)) = pod {
        write!(
            out,
            r#",{{"name":"{token}","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt","items":[{{"key":"ca.crt","path":"ca.crt"}}]}}}},{{"downwardAPI":{{"items":[{{"path":"namespace","fieldRef":{{"apiVersion":"v1","fieldPath":"metadata.namespace"}}}}]}}}}],"defaultMode":420}}}}"#
        )?;
    }
    out.push_str(r#"],"containers":["#);
    for (number, container) in workload.containers.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        write!(
            out,
            r#"{comma}{{"name":"{}","image":"{}","ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}]"#,
            container.name, container.image
        )?;
        if !small {
            out.push_str(r#","env":["#);
            for (number, (key, value)) in container.env.iter().enumerate() {
                let comma = if number > 0 { "," } else { "" };
                write!(out, r#"{comma}{{"name":"{key}","value":"{value}"}}"#)?;
            }
            out.push(']');
        }
        write!(
            out,
            r#","resources":{{"limits":{{"memory":"{}Mi"}},"requests":{{"cpu":"{}m","memory":"{}Mi"}}}},"volumeMounts":[{{"name":"config","mountPath":"/etc/config"}}"#,
            container.memory_mib * 2,
            container.cpu_millis,
            container.memory_mib
        )?;
        if let Some((token, _)) = pod {
            write!(
                out,
                r#",{{"name":"{token}","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}"#
            )?;
        }
        out.push(']');
        if !small {
            out.push_str(r#","livenessProbe":{"httpGet":{"path":"/healthz","port":"http","scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3}"#);
        }
        out.push_str(r#","terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}"#);
    }
    write!(
        out,
        r#"],"restartPolicy":"{}","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst""#,
        restart_policy(workload)
    )?;
    let mut tolerations = Vec::new();
    if workload.kind == Kind::DaemonSet {
        for key in [
            "disk-pressure",
            "memory-pressure",
            "pid-pressure",
            "unschedulable",
        ] {
            tolerations.push(format!(
                r#"{{"key":"node.kubernetes.io/{key}","operator":"Exists","effect":"NoSchedule"}}"#
            ));
        }
    }
    if let Some((_, node)) = pod {
        out.push_str(r#","serviceAccountName":"default","serviceAccount":"default""#);
        if let Some(node) = node {
            write!(out, r#","nodeName":"{}""#, node.name)?;
        }
        for key in ["not-ready", "unreachable"] {
            let seconds = if workload.kind == Kind::DaemonSet {
                ""
            } else {
                r#","tolerationSeconds":300"#
            };
            tolerations.push(format!(r#"{{"key":"node.kubernetes.io/{key}","operator":"Exists","effect":"NoExecute"{seconds}}}"#));
        }
    }
    out.push_str(r#","securityContext":{},"schedulerName":"default-scheduler""#);
    if !tolerations.is_empty() {
        write!(out, r#","tolerations":[{}]"#, tolerations.join(","))?;
    }
    if pod.is_some() {
        out.push_str(
            r#","priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority""#,
        );
    }
    out.push('}');
    Ok(())
}
