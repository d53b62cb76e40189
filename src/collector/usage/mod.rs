//! What the Metrics API says: PodMetrics and NodeMetrics of metrics.k8s.io/v1beta1.

mod scanned;

use serde::Deserialize;

use crate::cluster::amounts::Amounts;
use crate::cluster::text::{Text, null_is_default};
use crate::kube::stream::parse;
use crate::timestamp;

/// PodMetrics or NodeMetrics as the API writes them.
#[derive(Deserialize, Debug, PartialEq)]
pub struct MetricsObject<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(borrow, default)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow, default)]
    window: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    containers: Vec<ContainerMetrics<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    usage: Amounts<'a>,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
struct Meta<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    namespace: Text<'a>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct ContainerMetrics<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    usage: Amounts<'a>,
}

/// Usage in numbers.
pub struct Usage<'a> {
    /// When it was measured, as the wire writes times.
    pub timestamp: Option<String>,
    /// Over how long.
    pub window_seconds: Option<f64>,
    /// A pod's containers.
    pub containers: Vec<ContainerUsage<'a>>,
    /// A node's nanocores.
    pub cpu: Option<i64>,
    /// A node's bytes.
    pub memory: Option<i64>,
}

/// Usage of one container.
pub struct ContainerUsage<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Nanocores.
    pub cpu: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
}

impl<'a> MetricsObject<'a> {
    /// Hands the object at the start of `window` to `each`; returns how many bytes it takes.
    pub fn read(window: &[u8], each: impl FnOnce(&MetricsObject<'_>)) -> serde_json::Result<usize> {
        if let Some((object, taken)) = scanned::object(window) {
            each(&object);
            return Ok(taken);
        }
        parse(window, |source| {
            each(&MetricsObject::deserialize(source)?);
            Ok(())
        })
    }

    /// The object's namespace, empty for a node, and name.
    pub fn key(&self) -> (&str, &str) {
        (&self.metadata.namespace, &self.metadata.name)
    }

    /// Its numbers. One without timestamp was never measured: `None`.
    pub fn usage(&self) -> Option<Usage<'a>> {
        let timestamp = timestamp::normalised(self.timestamp.as_ref()?)?;
        Some(Usage {
            timestamp: Some(timestamp),
            window_seconds: self.window.as_ref().and_then(|it| duration_seconds(it)),
            containers: self
                .containers
                .iter()
                .map(|it| ContainerUsage {
                    name: it.name.clone(),
                    cpu: it.usage.nanocores(),
                    memory: it.usage.bytes(),
                })
                .collect(),
            cpu: self.usage.nanocores(),
            memory: self.usage.bytes(),
        })
    }
}

/// Seconds of a Go duration such as `30s`, `1m0s` or `15.03s` (time.ParseDuration).
fn duration_seconds(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let (amount, tail) = rest.split_at(number);
        let unit = tail
            .find(|it: char| it.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += amount.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    (!text.is_empty()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        for (text, seconds) in [
            ("30s", Some(30.0)),
            ("1m0s", Some(60.0)),
            ("1h2m3.5s", Some(3723.5)),
            ("15.03s", Some(15.03)),
            ("250ms", Some(0.25)),
            ("", None),
            ("30", None),
            ("s", None),
            ("-1s", None),
        ] {
            assert_eq!(duration_seconds(text), seconds, "{text}");
        }
    }

    #[test]
    fn a_pods_metrics_are_read_exactly() {
        let text = r#"{"metadata":{"name":"p","namespace":"a"},"timestamp":"2024-01-15T10:25:00Z","window":"30s",
            "containers":[{"name":"c","usage":{"cpu":"2386041n","memory":"20Mi"}},{"name":"d","usage":{}}]}"#;
        let object: MetricsObject<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(object.key(), ("a", "p"));
        let usage = object.usage().unwrap();
        assert_eq!(usage.timestamp.as_deref(), Some("2024-01-15T10:25:00.000Z"));
        assert_eq!(usage.window_seconds, Some(30.0));
        assert_eq!(
            (usage.containers[0].cpu, usage.containers[0].memory),
            (Some(2_386_041), Some(20 << 20))
        );
        assert_eq!(
            (usage.containers[1].cpu, usage.containers[1].memory),
            (None, None)
        );
    }

    #[test]
    fn an_object_never_measured_has_no_usage() {
        let object: MetricsObject<'_> =
            serde_json::from_str(r#"{"metadata":{"name":"n"},"timestamp":null,"usage":null}"#)
                .unwrap();
        assert!(object.usage().is_none());
    }
}
