//! Usage in JSON of any shape, read by serde_json.

use serde::{Deserialize, Deserializer};

use super::{ContainerUsage, Measurement, Usage};
use crate::cluster::amounts::Amounts;
use crate::cluster::text::{Text, null_is_default};

/// Reads PodMetrics or NodeMetrics.
pub(super) fn read<'a, D: Deserializer<'a>>(source: D) -> Result<Measurement<'a>, D::Error> {
    let object = Object::deserialize(source)?;
    let containers = object.containers.into_iter();
    let containers = containers.map(|it| ContainerUsage::of(it.name, it.usage));
    let usage = object.timestamp.and_then(|it| {
        let window = object.window.as_deref();
        Usage::of(&it, window, containers.collect(), object.usage)
    });
    Ok(Measurement {
        namespace: object.metadata.namespace,
        name: object.metadata.name,
        usage,
    })
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow, default)]
    window: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    containers: Vec<Container<'a>>,
    #[serde(default, deserialize_with = "null_is_default")]
    usage: Amounts,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    namespace: Text<'a>,
}

#[derive(Deserialize)]
struct Container<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(default, deserialize_with = "null_is_default")]
    usage: Amounts,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Measurement<'_> {
        read(&mut serde_json::Deserializer::from_str(text)).unwrap()
    }

    #[test]
    fn a_pods_metrics_are_read_exactly() {
        let pod = of(
            r#"{"metadata":{"name":"p","namespace":"a"},"timestamp":"2024-01-15T10:25:00Z","window":"30s",
            "containers":[{"name":"c","usage":{"cpu":"2386041n","memory":"20Mi"}},{"name":"d","usage":{}}]}"#,
        );
        assert_eq!((&*pod.namespace, &*pod.name), ("a", "p"));
        let usage = pod.usage.unwrap();
        assert_eq!(usage.timestamp.as_str(), "2024-01-15T10:25:00.000Z");
        assert_eq!(usage.window, Some(30_000_000_000));
        let containers = usage.containers.iter().map(|it| (it.cpu, it.memory));
        assert_eq!(
            containers.collect::<Vec<_>>(),
            [(Some(2_386_041), Some(20 << 20)), (None, None)]
        );
    }

    #[test]
    fn an_object_never_measured_has_no_usage() {
        let node = of(r#"{"metadata":{"name":"n"},"timestamp":null,"usage":null}"#);
        assert_eq!((&*node.name, node.usage), ("n", None));
    }
}
