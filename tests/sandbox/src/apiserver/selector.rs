//! Label and field selectors.

use serde_json::Value;

use super::object::Object;
use super::resources::Resource;
use super::status::{Result, Status};

/// What an object must be like to be selected.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    /// Path, value, and whether it must be equal.
    fields: Vec<(String, String, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    /// Reads the `labelSelector` and `fieldSelector` of a request.
    pub(super) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Selector> {
        let labels = parse_labels(labels).ok_or_else(|| {
            Status::bad_request(format!("unable to parse requirement: {labels:?}"))
        })?;
        let fields = fields
            .split(',')
            .filter(|term| !term.is_empty())
            .map(|term| parse_field(resource, term))
            .collect::<Result<_>>()?;
        Ok(Selector { labels, fields })
    }

    /// Reads a `LabelSelector` object. None for a null one, which selects nothing.
    pub(super) fn from_object(selector: &Value) -> Option<Selector> {
        let selector = selector.as_object()?;
        let mut labels = Vec::new();
        for (key, value) in selector
            .get("matchLabels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            labels.push(Requirement::new(key, Test::In(vec![text(value)])));
        }
        for expression in selector
            .get("matchExpressions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let values = || {
                expression["values"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(text)
                    .collect()
            };
            let test = match expression["operator"].as_str()? {
                "In" => Test::In(values()),
                "NotIn" => Test::NotIn(values()),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::Absent,
                _ => return None,
            };
            labels.push(Requirement::new(expression["key"].as_str()?, test));
        }
        Some(Selector {
            labels,
            fields: Vec::new(),
        })
    }

    /// Whether it selects everything.
    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether it selects this object.
    pub(super) fn matches(&self, object: &Object) -> bool {
        self.matches_labels(|key| object.label(key))
            && self
                .fields
                .iter()
                .all(|(path, value, equal)| (object.field(path) == value) == *equal)
    }

    /// Whether it selects an object with these labels, whatever its fields.
    pub(super) fn matches_label_map(&self, labels: &Value) -> bool {
        self.matches_labels(|key| labels.get(key).and_then(Value::as_str))
    }

    fn matches_labels<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.labels.iter().all(|requirement| {
            let value = label(&requirement.key);
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => {
                    value.is_some_and(|value| values.iter().any(|this| this == value))
                }
                Test::NotIn(values) => {
                    value.is_none_or(|value| values.iter().all(|this| this != value))
                }
            }
        })
    }

    /// As `status.selector` of a scale has it.
    pub(super) fn to_query(&self) -> String {
        let terms = self
            .labels
            .iter()
            .map(|Requirement { key, test }| match test {
                Test::Exists => key.clone(),
                Test::Absent => format!("!{key}"),
                Test::In(values) if values.len() == 1 => format!("{key}={}", values[0]),
                Test::In(values) => format!("{key} in ({})", values.join(",")),
                Test::NotIn(values) => format!("{key} notin ({})", values.join(",")),
            });
        terms.collect::<Vec<_>>().join(",")
    }
}

impl Requirement {
    fn new(key: &str, test: Test) -> Requirement {
        Requirement {
            key: key.to_owned(),
            test,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn parse_field(resource: &Resource, term: &str) -> Result<(String, String, bool)> {
    let (path, value, equal) = if let Some((path, value)) = term.split_once("!=") {
        (path, value, false)
    } else if let Some((path, value)) = term.split_once('=') {
        (path, value.strip_prefix('=').unwrap_or(value), true)
    } else {
        return Err(Status::bad_request(format!(
            "invalid selector: '{term}'; can't understand '{term}'"
        )));
    };
    let known =
        matches!(path, "metadata.name" | "metadata.namespace") || resource.fields.contains(&path);
    if !known {
        return Err(Status::bad_request(format!(
            "field label not supported: {path}"
        )));
    }
    Ok((path.to_owned(), value.to_owned(), equal))
}

/// `a=b,c!=d,e in (f,g),h notin (i),j,!k`: commas within parentheses part values, others part terms.
fn parse_labels(text: &str) -> Option<Vec<Requirement>> {
    let mut terms = vec![String::new()];
    let mut depth = 0_i32;
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(term) = terms.last_mut() {
            term.push(letter);
        }
    }
    if depth != 0 {
        return None;
    }
    terms
        .iter()
        .map(|term| term.trim())
        .filter(|term| !term.is_empty())
        .map(parse_label)
        .collect()
}

fn parse_label(term: &str) -> Option<Requirement> {
    let values = |list: &str| -> Option<Vec<String>> {
        let list = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(
            list.split(',')
                .map(|value| value.trim().to_owned())
                .collect(),
        )
    };
    if let Some((key, list)) = term.split_once(" notin ") {
        return Some(Requirement::new(key.trim(), Test::NotIn(values(list)?)));
    }
    if let Some((key, list)) = term.split_once(" in ") {
        return Some(Requirement::new(key.trim(), Test::In(values(list)?)));
    }
    if let Some((key, value)) = term.split_once("!=") {
        return Some(Requirement::new(
            key.trim(),
            Test::NotIn(vec![value.trim().to_owned()]),
        ));
    }
    if let Some((key, value)) = term.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(Requirement::new(
            key.trim(),
            Test::In(vec![value.trim().to_owned()]),
        ));
    }
    let (key, test) = term
        .strip_prefix('!')
        .map_or((term, Test::Exists), |key| (key, Test::Absent));
    (!key.contains([' ', '(', ')'])).then(|| Requirement::new(key.trim(), test))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selects(selector: &str, labels: &Value) -> bool {
        let pods = Resource::named("", "pods");
        Selector::parse(pods, selector, "")
            .unwrap()
            .matches_label_map(labels)
    }

    #[test]
    fn selects_by_every_form() {
        let labels = json!({"app": "web", "tier": "front"});
        let matching = [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "app in (db, web),tier",
            "app notin (db)",
            "!gone",
            "x notin (y)",
        ];
        for selector in matching {
            assert!(selects(selector, &labels), "{selector}");
        }
        for selector in [
            "app=db",
            "app!=web",
            "app in (db)",
            "tier notin (front)",
            "gone",
            "!app",
            "x in (y)",
        ] {
            assert!(!selects(selector, &labels), "{selector}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        let pods = Resource::named("", "pods");
        for (labels, fields) in [
            ("a in (b", ""),
            ("a in b", ""),
            ("", "spec.image=x"),
            ("", "metadata.name"),
        ] {
            assert_eq!(
                Selector::parse(pods, labels, fields).unwrap_err().code,
                400,
                "{labels} {fields}"
            );
        }
    }

    #[test]
    fn reads_selector_objects() {
        let object = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]});
        let selector = Selector::from_object(&object).unwrap();
        assert!(selector.matches_label_map(&json!({"app": "web", "x": "1"})));
        assert!(!selector.matches_label_map(&json!({"app": "web"})));
        assert_eq!(selector.to_query(), "app=web,x");
        assert!(Selector::from_object(&Value::Null).is_none());
    }
}
