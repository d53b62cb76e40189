//! Which pods a label selector selects.
//!
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>

use serde::Deserialize;

use super::pods::Labels;
use crate::cluster::text::null_is_default;

/// A `LabelSelector`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    #[serde(deserialize_with = "null_is_default")]
    match_labels: Labels,
    #[serde(deserialize_with = "null_is_default")]
    match_expressions: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Requirement {
    key: String,
    operator: String,
    #[serde(default, deserialize_with = "null_is_default")]
    values: Vec<String>,
}

impl Selector {
    /// True if it demands nothing.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// The same as the API server takes it in `labelSelector`.
    pub fn query(&self) -> String {
        let equal = self.match_labels.iter();
        let equal = equal.map(|(key, value)| format!("{key}={value}"));
        let demands = self.match_expressions.iter().map(Requirement::query);
        equal.chain(demands).collect::<Vec<_>>().join(",")
    }

    /// Whether an object with these labels meets every demand.
    pub fn matches(&self, labels: &Labels) -> bool {
        let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.match_labels.iter().all(has)
            && self.match_expressions.iter().all(|it| it.met_by(labels))
    }
}

impl Requirement {
    fn query(&self) -> String {
        let Self { key, values, .. } = self;
        match &*self.operator {
            "Exists" => key.clone(),
            "DoesNotExist" => format!("!{key}"),
            operator => format!(
                "{key} {} ({})",
                operator.to_ascii_lowercase(),
                values.join(",")
            ),
        }
    }

    fn met_by(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let is_one_of = value.is_some_and(|it| self.values.contains(it));
        match &*self.operator {
            "In" => is_one_of,
            // Also met where there is no such label at all.
            "NotIn" => !is_one_of,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table() {
        let labels: Labels = [("app", "web"), ("tier", "front")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let with = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let cases = [
            (json!({}), true),
            (json!({"matchLabels": null, "matchExpressions": null}), true),
            (json!({"matchLabels": {"app": "web"}}), true),
            (
                json!({"matchLabels": {"app": "web", "tier": "front"}}),
                true,
            ),
            (
                json!({"matchLabels": {"app": "web", "tier": "back"}}),
                false,
            ),
            (json!({"matchLabels": {"zone": "a"}}), false),
            (with("app", "In", &["api", "web"]), true),
            (with("app", "In", &["api"]), false),
            (with("zone", "In", &["a"]), false),
            (with("app", "NotIn", &["api"]), true),
            (with("app", "NotIn", &["web"]), false),
            (with("zone", "NotIn", &["a"]), true),
            (with("app", "Exists", &[]), true),
            (with("zone", "Exists", &[]), false),
            (with("app", "DoesNotExist", &[]), false),
            (with("zone", "DoesNotExist", &[]), true),
            (with("app", "Later", &[]), false),
            (
                json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
                false,
            ),
        ];
        for (selector, expected) in cases {
            let read: Selector = serde_json::from_value(selector.clone()).unwrap();
            assert_eq!(read.matches(&labels), expected, "{selector}");
        }
    }

    #[test]
    fn as_a_query() {
        let selector = json!({
            "matchLabels": {"app": "web", "example.com/tier": "front"},
            "matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["a", "b"]},
                {"key": "pool", "operator": "NotIn", "values": ["spot"]},
                {"key": "team", "operator": "Exists"},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        });
        let read: Selector = serde_json::from_value(selector).unwrap();
        assert_eq!(
            read.query(),
            "app=web,example.com/tier=front,zone in (a,b),pool notin (spot),team,!old"
        );
    }

    #[test]
    fn empty() {
        let read = |value| {
            serde_json::from_value::<Selector>(value)
                .unwrap()
                .is_empty()
        };
        assert!(read(json!({"matchLabels": {}})));
        assert!(!read(json!({"matchLabels": {"a": "b"}})));
        assert!(!read(
            json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]})
        ));
    }
}
