//! The samples that objects of the Kubernetes API must give, worked out apart from the agent's code: straight from
//! the API's JSON, slowly, and with arithmetic of its own. Only the list of labels is the agent's.

use kubernetes_agent::cluster::node::LABELS;
use serde_json::{Map, Value, json};

/// The sample of a pod, from its object, all replica sets, and its PodMetrics if there are any.
pub fn pod(pod: &Value, replica_sets: &[Value], metrics: Option<&Value>) -> Value {
    let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    let containers: Vec<Value> = items(&spec["containers"])
        .map(|it| container(it, status, metrics))
        .collect();
    let restarts: u64 = containers
        .iter()
        .filter_map(|it| it["restarts"].as_u64())
        .sum();
    json!({
        "kind": "pod",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "node": spec["nodeName"],
        "workload": workload(metadata, replica_sets),
        "phase": status["phase"],
        "ready": items(&status["conditions"]).any(|it| it["type"] == "Ready" && it["status"] == "True"),
        "qos": status["qosClass"],
        "restarts": restarts,
        "timestamp": metrics.map(|it| time(&it["timestamp"])),
        "window_seconds": metrics.map(|it| seconds(&it["window"])),
        "containers": containers,
    })
}

fn container(container: &Value, status: &Value, metrics: Option<&Value>) -> Value {
    let resources = |which: &str, name: &str| &container["resources"][which][name];
    let same = |it: &&Value| it["name"] == container["name"];
    let status = items(&status["containerStatuses"])
        .find(same)
        .unwrap_or(&Value::Null);
    let used = metrics
        .and_then(|it| items(&it["containers"]).find(same))
        .unwrap_or(&Value::Null);
    json!({
        "name": container["name"],
        "cpu_millicores": millicores(&used["usage"]["cpu"]),
        "memory_bytes": bytes(&used["usage"]["memory"]),
        "cpu_request_millicores": millicores(resources("requests", "cpu")),
        "cpu_limit_millicores": millicores(resources("limits", "cpu")),
        "memory_request_bytes": bytes(resources("requests", "memory")),
        "memory_limit_bytes": bytes(resources("limits", "memory")),
        "restarts": status["restartCount"].as_u64().unwrap_or(0),
        "last_termination": status["lastState"]["terminated"]["reason"],
    })
}

/// The controller of an object; of a replica set that has one, that one.
fn workload(metadata: &Value, replica_sets: &[Value]) -> Value {
    let Some(owner) = items(&metadata["ownerReferences"]).find(|it| it["controller"] == true)
    else {
        return Value::Null;
    };
    let set = replica_sets
        .iter()
        .find(|it| it["metadata"]["uid"] == owner["uid"]);
    let above = set
        .map(|it| workload(&it["metadata"], &[]))
        .filter(Value::is_object);
    above.unwrap_or_else(|| json!({"kind": owner["kind"], "name": owner["name"]}))
}

/// The sample of a node, from its object, all pods, and its NodeMetrics if there are any.
pub fn node(node: &Value, pods: &[Value], metrics: Option<&Value>) -> Value {
    let (metadata, spec, status) = (&node["metadata"], &node["spec"], &node["status"]);
    let on_it = |it: &&Value| {
        it["spec"]["nodeName"] == metadata["name"]
            && !matches!(it["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
    };
    let pods: Vec<&Value> = pods.iter().filter(on_it).collect();
    let sum = |name: &str| {
        pods.iter()
            .map(|it| requested(&it["spec"], name))
            .sum::<i128>()
    };
    let conditions =
        items(&status["conditions"]).map(|it| (text(&it["type"]), it["status"].clone()));
    let labels = LABELS
        .iter()
        .filter(|it| metadata["labels"][**it].is_string());
    let usage = metrics.map_or(&Value::Null, |it| &it["usage"]);
    json!({
        "kind": "node",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "timestamp": metrics.map(|it| time(&it["timestamp"])),
        "window_seconds": metrics.map(|it| seconds(&it["window"])),
        "cpu_millicores": millicores(&usage["cpu"]),
        "memory_bytes": bytes(&usage["memory"]),
        "capacity": capacity(&status["capacity"]),
        "allocatable": capacity(&status["allocatable"]),
        "requested": {"cpu_millicores": of_nanos(sum("cpu")), "memory_bytes": up(sum("memory"))},
        "pods": pods.len(),
        "conditions": conditions.collect::<Map<_, _>>(),
        "unschedulable": spec["unschedulable"] == true,
        "taints": items(&spec["taints"]).map(taint).collect::<Vec<_>>(),
        "labels": labels.map(|it| ((*it).to_owned(), metadata["labels"][*it].clone())).collect::<Map<_, _>>(),
    })
}

/// What the scheduler counts for a pod, in billionths: its containers together or its largest init container, and
/// the overhead of its runtime.
fn requested(spec: &Value, name: &str) -> i128 {
    let of = |it: &Value| quantity(&it["resources"]["requests"][name]).unwrap_or(0);
    let together: i128 = items(&spec["containers"]).map(of).sum();
    let largest = items(&spec["initContainers"]).map(of).max().unwrap_or(0);
    together.max(largest) + quantity(&spec["overhead"][name]).unwrap_or(0)
}

fn capacity(resources: &Value) -> Value {
    let named = ["cpu", "memory", "pods", "ephemeral-storage"];
    let others = resources.as_object().into_iter().flatten();
    let others = others.filter(|(name, _)| !named.contains(&name.as_str()));
    json!({
        "cpu_millicores": millicores(&resources["cpu"]),
        "memory_bytes": bytes(&resources["memory"]),
        "pods": bytes(&resources["pods"]),
        "ephemeral_storage_bytes": bytes(&resources["ephemeral-storage"]),
        "extended": others.map(|(name, it)| (name.clone(), bytes(it))).collect::<Map<_, _>>(),
    })
}

/// As `kubectl describe` prints one.
fn taint(taint: &Value) -> String {
    let value = taint["value"].as_str().filter(|it| !it.is_empty());
    let value = value.map(|it| format!("={it}")).unwrap_or_default();
    format!("{}{value}:{}", text(&taint["key"]), text(&taint["effect"]))
}

fn millicores(amount: &Value) -> Value {
    quantity(amount).map_or(Value::Null, of_nanos)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no cluster has nine million cores"
)]
fn of_nanos(nanos: i128) -> Value {
    json!(nanos as f64 / 1e6)
}

fn bytes(amount: &Value) -> Value {
    quantity(amount).map_or(Value::Null, up)
}

/// Whole units, rounded up.
fn up(nanos: i128) -> Value {
    let units = (nanos + 999_999_999).div_euclid(1_000_000_000);
    json!(i64::try_from(units).expect("no memory is that large"))
}

/// A quantity in billionths of its unit.
fn quantity(amount: &Value) -> Option<i128> {
    let text = amount.as_str()?;
    let end = text
        .find(|it: char| it.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let billionths = format!("{whole}{fraction:0<9}")
        .parse::<i128>()
        .expect("a number");
    let (multiplier, divisor) = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        other => panic!("no test needs the suffix {other:?}"),
    };
    Some(billionths * multiplier / divisor)
}

/// A time with seconds, as the wire writes it.
fn time(time: &Value) -> String {
    text(time).replace('Z', ".000Z")
}

/// A window in whole seconds.
fn seconds(window: &Value) -> f64 {
    let window = text(window);
    window.trim_end_matches('s').parse().expect("seconds")
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Where the two differ first, if they do; numbers are equal if they differ by less than a nanocore.
pub fn difference(expected: &Value, actual: &Value) -> Option<String> {
    match (expected, actual) {
        (Value::Number(one), Value::Number(other)) => {
            let far = (one.as_f64()? - other.as_f64()?).abs() > 1e-7;
            far.then(|| format!(": expected {expected}, got {actual}"))
        }
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys());
            let mut differences = names.filter_map(|name| {
                let difference = difference(one.get(name)?, other.get(name)?)?;
                Some(format!(".{name}{difference}"))
            });
            let one_sided = || {
                one.keys()
                    .ne(other.keys())
                    .then(|| format!(": expected {expected}, got {actual}"))
            };
            differences.next().or_else(one_sided)
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(at, (one, other))| Some(format!("[{at}]{}", difference(one, other)?)))
        }
        _ => (expected != actual).then(|| format!(": expected {expected}, got {actual}")),
    }
}
