//! Nodes of several types, zones and prices.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::super::random::{Random, timestamp};

/// Instance type, architecture, cores, GiB of memory.
const TYPES: &[(&str, &str, u64, u64)] = &[
    ("m5.xlarge", "amd64", 4, 16),
    ("m5.2xlarge", "amd64", 8, 32),
    ("c5.4xlarge", "amd64", 16, 32),
    ("r5.2xlarge", "amd64", 8, 64),
    ("m6g.2xlarge", "arm64", 8, 32),
    ("c7g.4xlarge", "arm64", 16, 32),
];

/// A node, as far as its pods need to know it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
    uid: String,
    created: OffsetDateTime,
    kind: &'static (&'static str, &'static str, u64, u64),
    zone: char,
    spot: bool,
    tainted: bool,
}

/// Decides on nodes: `node-1` and so on.
pub(super) fn make(random: &mut Random, count: usize, now: OffsetDateTime) -> Vec<Node> {
    (1..=count)
        .map(|number| Node {
            name: format!("node-{number}"),
            ip: format!(
                "10.{}.{}.{}",
                number >> 16 & 0xff,
                number >> 8 & 0xff,
                number & 0xff
            ),
            uid: random.uuid(),
            created: now
                - Duration::minutes(
                    60 + i64::try_from(random.below(60 * 24 * 40)).unwrap_or_default(),
                ),
            kind: random.pick(TYPES),
            zone: *random.pick(&['a', 'b', 'c']),
            spot: random.chance(40),
            tainted: number > 3 && random.chance(5),
        })
        .collect()
}

impl Node {
    /// When it joined.
    pub(crate) fn created(&self) -> OffsetDateTime {
        self.created
    }

    /// The whole object, but for its version.
    pub(crate) fn to_json(&self, random: &mut Random, small: bool) -> Value {
        let (instance, arch, cores, memory) = *self.kind;
        let capacity_type = if self.spot { "spot" } else { "on-demand" };
        let created = timestamp(self.created);
        let region = "eu-central-1";
        let zone = format!("{region}{}", self.zone);
        let now = timestamp(OffsetDateTime::now_utc());
        let condition = |kind: &str, status: &str, reason: &str, message: &str| {
            json!({"type": kind, "status": status, "lastHeartbeatTime": now, "lastTransitionTime": created,
                   "reason": reason, "message": message})
        };
        let memory_kib = memory << 20;
        let mut node = json!({
            "metadata": {
                "name": self.name, "uid": self.uid, "creationTimestamp": created,
                "labels": {
                    "kubernetes.io/hostname": self.name, "kubernetes.io/arch": arch, "kubernetes.io/os": "linux",
                    "beta.kubernetes.io/arch": arch, "beta.kubernetes.io/os": "linux",
                    "node.kubernetes.io/instance-type": instance, "beta.kubernetes.io/instance-type": instance,
                    "topology.kubernetes.io/zone": zone, "topology.kubernetes.io/region": region,
                    "failure-domain.beta.kubernetes.io/zone": zone,
                    "failure-domain.beta.kubernetes.io/region": region,
                    "karpenter.sh/capacity-type": capacity_type,
                    "node.kubernetes.io/lifecycle": if self.spot { "spot" } else { "normal" },
                },
                "annotations": {
                    "node.alpha.kubernetes.io/ttl": "0",
                    "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                    "csi.volume.kubernetes.io/nodeid": format!("{{\"ebs.csi.aws.com\":\"i-{}\"}}", random.hex(17)),
                },
            },
            "spec": {
                "podCIDR": format!("{}/24", self.ip), "podCIDRs": [format!("{}/24", self.ip)],
                "providerID": format!("aws:///{zone}/i-{}", random.hex(17)),
            },
            "status": {
                "capacity": {
                    "cpu": cores.to_string(), "memory": format!("{}Ki", memory_kib - random.below(100_000)),
                    "pods": "110", "ephemeral-storage": "83873772Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
                },
                "allocatable": {
                    "cpu": format!("{}m", cores * 1000 - 80),
                    "memory": format!("{}Ki", memory_kib - 1_200_000 - random.below(100_000)),
                    "pods": "110", "ephemeral-storage": "76224326324", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
                },
                "conditions": [
                    condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                    condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                    condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                    condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
                ],
                "addresses": [
                    {"type": "InternalIP", "address": self.ip}, {"type": "Hostname", "address": self.name},
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                "nodeInfo": {
                    "machineID": random.hex(32), "systemUUID": random.uuid(), "bootID": random.uuid(),
                    "kernelVersion": "5.10.205-195.807.amzn2", "osImage": "Amazon Linux 2",
                    "containerRuntimeVersion": "containerd://1.6.6", "kubeletVersion": "v1.20.2",
                    "kubeProxyVersion": "v1.20.2", "operatingSystem": "linux", "architecture": arch,
                },
            },
        });
        if self.tainted {
            node["spec"]["taints"] =
                json!([{"key": "dedicated", "value": "batch", "effect": "NoSchedule"}]);
        }
        if !small {
            // What a node has downloaded is most of a real node's size.
            let images: Vec<Value> = (0..20)
                .map(|_| {
                    let name = format!("registry.example.com/apps/{}", random.suffix(8));
                    let digest = format!("{name}@sha256:{}", random.hex(64));
                    let size = random.below(400_000_000);
                    json!({"names": [digest, format!("{name}:v{}", random.below(90))], "sizeBytes": size})
                })
                .collect();
            node["status"]["images"] = images.into();
        }
        node
    }
}
