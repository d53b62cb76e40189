//! A pod's JSON, with its members in the order in which the real server writes them.

use std::fmt::Write as _;

use time::{Duration, OffsetDateTime};

use super::super::object::{Index, Object, Usage};
use super::super::random::{NAME_LETTERS, Random, timestamp};
use super::super::resources::Resource;
use super::{Kind, Node, Workload, index};

/// How a pod fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Ready, perhaps after some restarts.
    Running {
        /// Of its first container.
        restarts: u64,
    },
    /// Running, but its first container fails again and again.
    Crashing,
    /// Without a node.
    Pending,
    /// Run to its end.
    Succeeded,
}

impl Condition {
    /// One that a pod of a kind may be in.
    pub fn random(random: &mut Random, kind: Kind, healthy: bool) -> Condition {
        match (random.below(100), kind) {
            _ if healthy => Condition::Running { restarts: 0 },
            (0..=69, Kind::Job) => Condition::Succeeded,
            (0, _) => Condition::Pending,
            (1, _) => Condition::Crashing,
            (2..=9, _) => Condition::Running {
                restarts: 1 + random.below(5),
            },
            _ => Condition::Running { restarts: 0 },
        }
    }

    /// Whether it serves.
    pub fn is_ready(self) -> bool {
        matches!(self, Condition::Running { .. })
    }
}

/// A pod that is to be written.
pub struct Pod<'a> {
    workload: &'a Workload,
    node: Option<&'a Node>,
    condition: Condition,
    name: String,
    uid: String,
    labels: Vec<(String, String)>,
    created: OffsetDateTime,
    ip: String,
}

impl<'a> Pod<'a> {
    /// The pod of a workload with this number.
    pub fn new(
        random: &mut Random,
        workload: &'a Workload,
        ordinal: usize,
        node: Option<&'a Node>,
        condition: Condition,
    ) -> Pod<'a> {
        let (_, _, owner, _) = workload.owner();
        let name = match workload.kind {
            Kind::StatefulSet => format!("{owner}-{ordinal}"),
            _ => format!("{owner}-{}", unique_suffix(ordinal)),
        };
        let mut labels = workload.template_labels();
        match workload.kind {
            Kind::Deployment => labels.push(("pod-template-hash".into(), workload.template_hash())),
            Kind::StatefulSet => {
                labels.push(("statefulset.kubernetes.io/pod-name".into(), name.clone()))
            }
            Kind::DaemonSet => {
                labels.push(("controller-revision-hash".into(), workload.template_hash()))
            }
            Kind::Job => labels.push(("job-name".into(), owner)),
        }
        let since = workload
            .created
            .max(node.map_or(workload.created, Node::created));
        let age = (OffsetDateTime::now_utc() - since)
            .whole_seconds()
            .max(60)
            .unsigned_abs();
        let created = since
            + Duration::seconds(i64::try_from(random.below(age * 9 / 10)).unwrap_or_default());
        let ip = format!(
            "100.{}.{}.{}",
            64 + random.below(63),
            random.below(256),
            1 + random.below(254)
        );
        let node = node.filter(|_| condition != Condition::Pending);
        Pod {
            workload,
            node,
            condition,
            name,
            uid: random.uuid(),
            labels,
            created,
            ip,
        }
    }

    /// The stored form.
    pub fn to_object(&self, random: &mut Random, revision: u64, small: bool) -> Object {
        let mut json = String::with_capacity(if small { 3 << 10 } else { 9 << 10 });
        // Writing to a string does not fail.
        let _ = self.write(&mut json, random, revision, small);
        let pods = Resource::named("", "pods");
        let fields = pods
            .fields
            .iter()
            .map(|path| (*path, self.field(path).into()))
            .collect();
        let usage = self.workload.containers.iter().map(|container| Usage {
            name: container.name.as_str().into(),
            cpu_millis: container.cpu_millis,
            memory: container.memory_mib << 20,
        });
        let runs = matches!(
            self.condition,
            Condition::Running { .. } | Condition::Crashing
        );
        let started = if runs {
            self.created.unix_timestamp()
        } else {
            0
        };
        let index = Index {
            fields,
            usage: usage.collect(),
            started,
            ..index(&self.uid, &self.labels)
        };
        let key = pods.key(&self.workload.namespace, &self.name);
        Object {
            revision,
            key: key.into(),
            json: json.into_bytes().into(),
            index,
        }
    }

    fn field(&self, path: &str) -> &str {
        match path {
            "spec.nodeName" => self.node.map_or("", |node| &node.name),
            "spec.restartPolicy" => self.restart_policy(),
            "spec.schedulerName" => "default-scheduler",
            "spec.serviceAccountName" => "default",
            "status.phase" => self.phase(),
            "status.podIP" if self.node.is_some() => &self.ip,
            _ => "",
        }
    }

    fn phase(&self) -> &'static str {
        match self.condition {
            Condition::Running { .. } | Condition::Crashing => "Running",
            Condition::Pending => "Pending",
            Condition::Succeeded => "Succeeded",
        }
    }

    fn restart_policy(&self) -> &'static str {
        restart_policy(self.workload)
    }

    fn write(
        &self,
        out: &mut String,
        random: &mut Random,
        revision: u64,
        small: bool,
    ) -> std::fmt::Result {
        let created = timestamp(self.created);
        let (version, kind, owner, owner_uid) = self.workload.owner();
        let (namespace, name, uid) = (&self.workload.namespace, &self.name, &self.uid);
        write!(out, r#"{{"metadata":{{"name":"{name}","#)?;
        if self.workload.kind != Kind::StatefulSet {
            write!(out, r#""generateName":"{owner}-","#)?;
        }
        write!(
            out,
            r#""namespace":"{namespace}","uid":"{uid}","resourceVersion":"{revision}","creationTimestamp":"{created}","labels":{{"#
        )?;
        for (number, (key, value)) in self.labels.iter().enumerate() {
            write!(
                out,
                r#"{}"{key}":"{value}""#,
                if number > 0 { "," } else { "" }
            )?;
        }
        write!(
            out,
            r#"}},"annotations":{{"checksum/config":"{}""#,
            self.workload.checksum
        )?;
        if !small {
            write!(
                out,
                r#","cni.projectcalico.org/containerID":"{}","cni.projectcalico.org/podIP":"{ip}/32","cni.projectcalico.org/podIPs":"{ip}/32","prometheus.io/port":"8080","prometheus.io/scrape":"true""#,
                random.hex(64),
                ip = self.ip
            )?;
        }
        write!(
            out,
            r#"}},"ownerReferences":[{{"apiVersion":"{version}","kind":"{kind}","name":"{owner}","uid":"{owner_uid}","controller":true,"blockOwnerDeletion":true}}]"#
        )?;
        if !small {
            self.write_managed_fields(out, &owner_uid)?;
        }
        out.push_str(r#"},"spec":"#);
        let token = format!("kube-api-access-{}", random.suffix(5));
        write_spec(out, self.workload, Some((&token, self.node)), small)?;
        out.push_str(r#","status":"#);
        self.write_status(out, random)?;
        out.push('}');
        Ok(())
    }

    fn write_managed_fields(&self, out: &mut String, owner_uid: &str) -> std::fmt::Result {
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

    fn write_status(&self, out: &mut String, random: &mut Random) -> std::fmt::Result {
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

/// Five letters that look random and differ for every pod of a workload.
fn unique_suffix(ordinal: usize) -> String {
    // A step that shares no factor with 27, so that all of the 27^5 names come before one comes again.
    let mut number = (ordinal as u64 * 5_308_417 + 1_234_567) % 27_u64.pow(5);
    (0..5)
        .map(|_| {
            let letter = NAME_LETTERS[(number % 27) as usize];
            number /= 27;
            char::from(letter)
        })
        .collect()
}

fn restart_policy(workload: &Workload) -> &'static str {
    if workload.kind == Kind::Job {
        "Never"
    } else {
        "Always"
    }
}

/// The spec in a workload's template.
pub fn template_spec(workload: &Workload) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_spec(&mut out, workload, None, false);
    out
}

/// The spec of a template, or of a pod with what admission and the scheduler add to it: the token's volume, default
/// tolerations, a node.
fn write_spec(
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
