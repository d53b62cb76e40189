//! What owns pods: deployments with their replica sets, stateful sets, daemon sets, jobs.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::super::random::{Random, hash, name_of, timestamp};
use super::super::resources::Resource;
use super::TEAMS;

/// What kind of thing owns the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Through a replica set.
    Deployment,
    /// With stable names.
    StatefulSet,
    /// One for each node.
    DaemonSet,
    /// Until it has run.
    Job,
}

/// A workload of a generated cluster.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// What it is.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How many pods it has.
    pub replicas: usize,
    /// When it was created.
    pub created: OffsetDateTime,
    /// What its pods run.
    pub containers: Vec<Container>,
    /// Whether its pods keep data on their node.
    pub empty_dir: bool,
    /// The name of its configuration, which is in every pod of it.
    pub config: String,
    /// The hash of that configuration.
    pub checksum: String,
    uid: String,
}

/// A container of a workload's pods.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub image: String,
    /// The digest of that, as the node resolved it.
    pub digest: String,
    /// Requested thousandths of a core.
    pub cpu_millis: u64,
    /// Requested MiB.
    pub memory_mib: u64,
    /// Its environment, names and values.
    pub env: Vec<(String, String)>,
}

impl Workload {
    /// One that runs on every node.
    pub(crate) fn node_agent(
        random: &mut Random,
        number: usize,
        nodes: usize,
        now: OffsetDateTime,
    ) -> Workload {
        let name = ["kube-proxy", "node-exporter", "log-shipper"][number % 3];
        let mut workload = Workload::random(random, number, usize::MAX, now);
        workload.containers.truncate(1);
        name.clone_into(&mut workload.containers[0].name);
        workload.containers[0].cpu_millis = 50;
        Workload {
            kind: Kind::DaemonSet,
            namespace: "kube-system".to_owned(),
            name: name.to_owned(),
            replicas: nodes,
            empty_dir: false,
            ..workload
        }
    }

    /// One of any kind, of at most so many pods.
    pub(crate) fn random(
        random: &mut Random,
        number: usize,
        most: usize,
        now: OffsetDateTime,
    ) -> Workload {
        let kind = match random.below(100) {
            0..=79 => Kind::Deployment,
            80..=91 => Kind::StatefulSet,
            _ => Kind::Job,
        };
        let team = *random.pick(TEAMS);
        let stage = *random.pick(&["prod", "prod", "staging"]);
        let role = *random.pick(&["api", "worker", "web", "cache", "consumer", "scheduler"]);
        let name = format!("{team}-{role}-{}", number + 1);
        // Most are small, some are large.
        let most_replicas = *random.pick(&[2, 3, 5, 10, 20]);
        let replicas = usize::try_from(1 + random.below(most_replicas))
            .unwrap_or(1)
            .min(most);
        let sidecar = random.chance(45);
        let mut containers = vec![Container::random(random, &name, role)];
        if sidecar {
            containers.push(Container::random(random, "envoy", "istio-proxy"));
        }
        Workload {
            kind,
            namespace: format!("{team}-{stage}"),
            replicas,
            created: now
                - Duration::minutes(
                    30 + i64::try_from(random.below(60 * 24 * 30)).unwrap_or_default(),
                ),
            containers,
            empty_dir: random.chance(10),
            config: format!("{name}-config-{}", random.suffix(10)),
            checksum: random.hex(64),
            uid: random.uuid(),
            name,
        }
    }

    /// An id of its own for each thing that belongs to it.
    pub(crate) fn uid_of(&self, what: &str) -> String {
        Random::new(hash(&format!("{}{what}", self.uid))).uuid()
    }

    /// Whether a budget protects it: some of those that can spare a pod.
    pub(crate) fn has_budget(&self) -> bool {
        self.kind == Kind::Deployment && self.replicas > 2 && hash(&self.uid) % 100 < 30
    }

    /// The hash in the name of its replica set.
    pub(crate) fn template_hash(&self) -> String {
        name_of(hash(&self.checksum))
    }

    /// The labels that its pods are found by.
    pub(crate) fn selector(&self) -> Value {
        json!({"app.kubernetes.io/name": self.name, "app.kubernetes.io/instance": self.namespace})
    }

    /// The labels of its pods' template.
    pub(crate) fn template_labels(&self) -> Vec<(String, String)> {
        let version = format!(
            "{}.{}.{}",
            hash(&self.uid) % 4,
            hash(&self.checksum) % 30,
            self.replicas
        );
        [
            ("app.kubernetes.io/instance", self.namespace.as_str()),
            ("app.kubernetes.io/managed-by", "Helm"),
            ("app.kubernetes.io/name", &self.name),
            ("app.kubernetes.io/version", &version),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// Kind, name and uid of what owns its pods directly.
    pub(crate) fn owner(&self) -> (&'static str, &'static str, String, String) {
        match self.kind {
            Kind::Deployment => {
                let name = format!("{}-{}", self.name, self.template_hash());
                ("apps/v1", "ReplicaSet", name, self.uid_of("replicaset"))
            }
            Kind::StatefulSet => (
                "apps/v1",
                "StatefulSet",
                self.name.clone(),
                self.uid.clone(),
            ),
            Kind::DaemonSet => ("apps/v1", "DaemonSet", self.name.clone(), self.uid.clone()),
            Kind::Job => ("batch/v1", "Job", self.name.clone(), self.uid.clone()),
        }
    }

    /// The objects that own its pods, so many of which are ready.
    pub(crate) fn objects(&self, ready: usize) -> Vec<(&'static Resource, Value)> {
        let spec: Value =
            serde_json::from_str(&super::spec::template_spec(self)).unwrap_or_default();
        let labels: serde_json::Map<String, Value> = self
            .template_labels()
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect();
        let annotations = json!({"checksum/config": self.checksum});
        let template =
            json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec});
        let object = |name: &str, uid: &str, spec: Value, status: Value| {
            json!({
                "metadata": {
                    "name": name, "namespace": self.namespace, "uid": uid, "generation": 1,
                    "creationTimestamp": timestamp(self.created), "labels": labels,
                },
                "spec": spec, "status": status,
            })
        };
        let count = self.replicas;
        let selector = json!({"matchLabels": self.selector()});
        match self.kind {
            Kind::Deployment => self.deployment(&object, &template, ready),
            Kind::StatefulSet => {
                let spec = json!({
                    "replicas": count, "serviceName": self.name, "selector": selector, "template": template,
                    "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
                    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                });
                let status = json!({
                    "observedGeneration": 1, "replicas": count, "readyReplicas": ready, "currentReplicas": count,
                    "updatedReplicas": count, "availableReplicas": ready,
                });
                vec![(
                    Resource::named("apps", "statefulsets"),
                    object(&self.name, &self.uid, spec, status),
                )]
            }
            Kind::DaemonSet => {
                let spec = json!({
                    "selector": selector, "template": template, "revisionHistoryLimit": 10,
                    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                });
                let status = json!({
                    "observedGeneration": 1, "currentNumberScheduled": count, "desiredNumberScheduled": count,
                    "numberAvailable": ready, "numberMisscheduled": 0, "numberReady": ready,
                    "updatedNumberScheduled": count,
                });
                vec![(
                    Resource::named("apps", "daemonsets"),
                    object(&self.name, &self.uid, spec, status),
                )]
            }
            Kind::Job => {
                let spec = json!({
                    "parallelism": count, "completions": count, "backoffLimit": 6,
                    "selector": {"matchLabels": {"controller-uid": self.uid}}, "template": template,
                });
                let status = json!({"startTime": timestamp(self.created), "active": ready, "succeeded": count - ready});
                vec![(
                    Resource::named("batch", "jobs"),
                    object(&self.name, &self.uid, spec, status),
                )]
            }
        }
    }

    fn deployment(
        &self,
        object: &dyn Fn(&str, &str, Value, Value) -> Value,
        template: &Value,
        ready: usize,
    ) -> Vec<(&'static Resource, Value)> {
        let count = self.replicas;
        let selector = json!({"matchLabels": self.selector()});
        let created = timestamp(self.created);
        let spec = json!({
            "replicas": count, "selector": selector, "template": template, "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        });
        let condition = |kind: &str, reason: &str, message: &str| {
            json!({"type": kind, "status": "True", "lastUpdateTime": created, "lastTransitionTime": created,
                   "reason": reason, "message": message})
        };
        let mut status = json!({
            "observedGeneration": 1, "replicas": count, "updatedReplicas": count, "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": [
                condition("Available", "MinimumReplicasAvailable", "Deployment has minimum availability."),
                condition("Progressing", "NewReplicaSetAvailable", "The replica set has successfully progressed."),
            ],
        });
        if ready < count {
            status["unavailableReplicas"] = (count - ready).into();
        }
        let revision = json!({"deployment.kubernetes.io/revision": "1"});
        let mut deployment = object(&self.name, &self.uid, spec, status);
        deployment["metadata"]["annotations"] = revision.clone();

        let hash = self.template_hash();
        let (_, _, name, uid) = self.owner();
        let mut hashed = template.clone();
        hashed["metadata"]["labels"]["pod-template-hash"] = hash.as_str().into();
        let mut selector = selector;
        selector["matchLabels"]["pod-template-hash"] = hash.as_str().into();
        let spec = json!({"replicas": count, "selector": selector, "template": hashed});
        let status = json!({
            "observedGeneration": 1, "replicas": count, "fullyLabeledReplicas": count, "readyReplicas": ready,
            "availableReplicas": ready,
        });
        let mut set = object(&name, &uid, spec, status);
        set["metadata"]["labels"]["pod-template-hash"] = hash.into();
        set["metadata"]["annotations"] = revision;
        set["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "Deployment", "name": self.name, "uid": self.uid,
            "controller": true, "blockOwnerDeletion": true,
        }]);
        vec![
            (Resource::named("apps", "deployments"), deployment),
            (Resource::named("apps", "replicasets"), set),
        ]
    }
}

impl Container {
    fn random(random: &mut Random, image: &str, name: &str) -> Container {
        let words = [
            "HOST", "PORT", "URL", "TIMEOUT", "LEVEL", "REGION", "TOPIC", "LIMIT", "BUCKET", "MODE",
        ];
        let env = (0..3 + random.below(6))
            .map(|number| {
                let key = format!(
                    "{}_{}_{number}",
                    random.pick(TEAMS).to_uppercase(),
                    random.pick(&words)
                );
                let value = match random.below(3) {
                    0 => format!(
                        "http://{}.{}:{}",
                        random.pick(TEAMS),
                        random.suffix(6),
                        8000 + random.below(1000)
                    ),
                    1 => random.below(100_000).to_string(),
                    _ => format!("{}-{}", random.pick(TEAMS), random.suffix(12)),
                };
                (key, value)
            })
            .collect();
        Container {
            name: name.to_owned(),
            image: format!(
                "registry.example.com/{}/{image}:v{}.{}",
                random.pick(TEAMS),
                random.below(9),
                random.below(60)
            ),
            digest: random.hex(64),
            cpu_millis: *random.pick(&[10, 50, 100, 250, 500, 1000]),
            memory_mib: *random.pick(&[32, 64, 128, 256, 512, 1024, 2048]),
            env,
        }
    }
}
