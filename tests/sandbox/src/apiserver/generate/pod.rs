//! A pod's JSON, with its members in the order in which the real server writes them.

use std::fmt::Write as _;

use time::{Duration, OffsetDateTime};

use super::super::object::{Index, Object, Usage};
use super::super::random::{NAME_LETTERS, Random, timestamp};
use super::super::resources::Resource;
use super::{Kind, Node, Workload, index, spec};

/// How a pod fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
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
    pub(super) fn random(random: &mut Random, kind: Kind, healthy: bool) -> Condition {
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
    pub(super) fn is_ready(self) -> bool {
        matches!(self, Condition::Running { .. })
    }
}

/// A pod that is to be written.
pub(super) struct Pod<'a> {
    pub(super) workload: &'a Workload,
    pub(super) node: Option<&'a Node>,
    pub(super) condition: Condition,
    name: String,
    uid: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) created: OffsetDateTime,
    pub(super) ip: String,
}

impl<'a> Pod<'a> {
    /// The pod of a workload with this number.
    pub(super) fn new(
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
                labels.push(("statefulset.kubernetes.io/pod-name".into(), name.clone()));
            }
            Kind::DaemonSet => {
                labels.push(("controller-revision-hash".into(), workload.template_hash()));
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
    pub(super) fn to_object(&self, random: &mut Random, revision: u64, small: bool) -> Object {
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

    pub(super) fn phase(&self) -> &'static str {
        match self.condition {
            Condition::Running { .. } | Condition::Crashing => "Running",
            Condition::Pending => "Pending",
            Condition::Succeeded => "Succeeded",
        }
    }

    fn restart_policy(&self) -> &'static str {
        spec::restart_policy(self.workload)
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
        spec::write_spec(out, self.workload, Some((&token, self.node)), small)?;
        out.push_str(r#","status":"#);
        self.write_status(out, random)?;
        out.push('}');
        Ok(())
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
