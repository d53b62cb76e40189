//! What servers write into a pod: who owns its fields, and its status.

use std::fmt::Write as _;

use time::Duration;

use super::super::random::{Random, timestamp};
use super::pod::{Condition, Pod};

impl Pod<'_> {
    pub(super) fn write_managed_fields(
        &self,
        out: &mut String,
        owner_uid: &str,
    ) -> std::fmt::Result {
        let time = timestamp(self.created);
        write!(
            out,
            r#","managedFields":[{{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"{time}","fieldsType":"FieldsV1","fieldsV1":{{"f:metadata":{{"f:annotations":{{".":{{}},"f:checksum/config":{{}},"f:prometheus.io/port":{{}},"f:prometheus.io/scrape":{{}}}},"f:generateName":{{}},"f:labels":{{".":{{}}"#
        )?;
        for (key, _) in &self.labels {
            write!(out, r#","f:{key}":{{}}"#)?;
        }
        write!(
            out,
            r#"}},"f:ownerReferences":{{".":{{}},"k:{{\"uid\":\"{owner_uid}\"}}":{{".":{{}},"f:apiVersion":{{}},"f:blockOwnerDeletion":{{}},"f:controller":{{}},"f:kind":{{}},"f:name":{{}},"f:uid":{{}}}}}}}},"f:spec":{{"f:containers":{{"#
        )?;
        for (number, container) in self.workload.containers.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(
                out,
                r#"{comma}"k:{{\"name\":\"{}\"}}":{{".":{{}},"f:env":{{".":{{}}"#,
                container.name
            )?;
            for (key, _) in &container.env {
                write!(
                    out,
                    r#","k:{{\"name\":\"{key}\"}}":{{".":{{}},"f:name":{{}},"f:value":{{}}}}"#
                )?;
            }
            out.push_str(r#"},"f:image":{},"f:imagePullPolicy":{},"f:livenessProbe":{".":{},"f:failureThreshold":{},"f:httpGet":{".":{},"f:path":{},"f:port":{},"f:scheme":{}},"f:periodSeconds":{},"f:successThreshold":{},"f:timeoutSeconds":{}},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:name":{},"f:protocol":{}}},"f:resources":{".":{},"f:limits":{".":{},"f:memory":{}},"f:requests":{".":{},"f:cpu":{},"f:memory":{}}},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{},"f:volumeMounts":{".":{},"k:{\"mountPath\":\"/etc/config\"}":{".":{},"f:mountPath":{},"f:name":{}}}}"#);
        }
        out.push_str(r#"},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{},"f:volumes":{".":{},"k:{\"name\":\"config\"}":{".":{},"f:configMap":{".":{},"f:defaultMode":{},"f:name":{}},"f:name":{}}}}}},"#);
        let time = timestamp(self.created + Duration::seconds(4));
        write!(
            out,
            r#"{{"manager":"kubelet","operation":"Update","apiVersion":"v1","time":"{time}","fieldsType":"FieldsV1","fieldsV1":{{"f:status":{{"f:conditions":{{"k:{{\"type\":\"ContainersReady\"}}":{{".":{{}},"f:lastProbeTime":{{}},"f:lastTransitionTime":{{}},"f:status":{{}},"f:type":{{}}}},"k:{{\"type\":\"Initialized\"}}":{{".":{{}},"f:lastProbeTime":{{}},"f:lastTransitionTime":{{}},"f:status":{{}},"f:type":{{}}}},"k:{{\"type\":\"Ready\"}}":{{".":{{}},"f:lastProbeTime":{{}},"f:lastTransitionTime":{{}},"f:status":{{}},"f:type":{{}}}}}},"f:containerStatuses":{{}},"f:hostIP":{{}},"f:phase":{{}},"f:podIP":{{}},"f:podIPs":{{".":{{}},"k:{{\"ip\":\"{}\"}}":{{".":{{}},"f:ip":{{}}}}}},"f:startTime":{{}}}}}}}}]"#,
            self.ip
        )
    }

    pub(super) fn write_status(&self, out: &mut String, random: &mut Random) -> std::fmt::Result {
        let created = timestamp(self.created);
        let qos = "Burstable";
        let Some(node) = self.node else {
            return write!(
                out,
                r#"{{"phase":"Pending","conditions":[{{"type":"PodScheduled","status":"False","lastProbeTime":null,"lastTransitionTime":"{created}","reason":"Unschedulable","message":"0/3 nodes are available: 3 Insufficient cpu."}}],"qosClass":"{qos}"}}"#
            );
        };
        let ready = if self.condition.is_ready() {
            "True"
        } else {
            "False"
        };
        let reason = match self.condition {
            Condition::Succeeded => r#","reason":"PodCompleted""#,
            Condition::Crashing => {
                r#","reason":"ContainersNotReady","message":"containers with unready status""#
            }
            _ => "",
        };
        let started = timestamp(self.created + Duration::seconds(1));
        let ready_at = timestamp(self.created + Duration::seconds(4));
        write!(out, r#"{{"phase":"{}","conditions":["#, self.phase())?;
        for (kind, status, reason, time) in [
            ("Initialized", "True", "", &started),
            ("Ready", ready, reason, &ready_at),
            ("ContainersReady", ready, reason, &ready_at),
            ("PodScheduled", "True", "", &created),
        ] {
            let comma = if kind == "Initialized" { "" } else { "," };
            write!(
                out,
                r#"{comma}{{"type":"{kind}","status":"{status}","lastProbeTime":null,"lastTransitionTime":"{time}"{reason}}}"#
            )?;
        }
        write!(
            out,
            r#"],"hostIP":"{}","podIP":"{ip}","podIPs":[{{"ip":"{ip}"}}],"startTime":"{started}","containerStatuses":["#,
            node.ip,
            ip = self.ip
        )?;
        for (number, container) in self.workload.containers.iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            write!(out, r#"{{"name":"{}","#, container.name)?;
            let id = random.hex(64);
            self.write_container_state(out, number, &id, &started)?;
            write!(
                out,
                r#""image":"{image}","imageID":"{repository}@sha256:{digest}","containerID":"containerd://{id}","started":{ready}}}"#,
                image = container.image,
                repository = container.image.split(':').next().unwrap_or_default(),
                digest = container.digest,
                ready = self.condition.is_ready(),
            )?;
        }
        write!(out, r#"],"qosClass":"{qos}"}}"#)
    }

    fn write_container_state(
        &self,
        out: &mut String,
        number: usize,
        id: &str,
        started: &str,
    ) -> std::fmt::Result {
        let running = format!(r#""state":{{"running":{{"startedAt":"{started}"}}}},"#);
        let terminated = |reason: &str, code: u64| {
            format!(
                r#"{{"terminated":{{"exitCode":{code},"reason":"{reason}","startedAt":"{started}","finishedAt":"{started}","containerID":"containerd://{id}"}}}}"#
            )
        };
        match self.condition {
            Condition::Running { restarts } if restarts > 0 && number == 0 => {
                let reason = terminated("OOMKilled", 137);
                write!(
                    out,
                    r#"{running}"lastState":{reason},"ready":true,"restartCount":{restarts},"#
                )
            }
            Condition::Crashing if number == 0 => {
                let reason = terminated("Error", 1);
                write!(
                    out,
                    r#""state":{{"waiting":{{"reason":"CrashLoopBackOff","message":"back-off 5m0s restarting failed container"}}}},"lastState":{reason},"ready":false,"restartCount":217,"#
                )
            }
            Condition::Succeeded => {
                write!(
                    out,
                    r#""state":{},"lastState":{{}},"ready":false,"restartCount":0,"#,
                    terminated("Completed", 0)
                )
            }
            _ => write!(
                out,
                r#"{running}"lastState":{{}},"ready":true,"restartCount":0,"#
            ),
        }
    }
}
