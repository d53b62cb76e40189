//! What holds a pod: worked out here, or said by the API server.

use serde_json::{Value, json};

/// What holds a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The budgets' names: one, or those that overlap.
    pub budgets: Vec<String>,
    /// Healthy pods that it needs, and has; none where they are not known.
    pub numbers: Option<(i64, i64)>,
    /// For a person.
    pub why: String,
}

impl Block {
    /// What the API server said itself: `The disruption budget NAME needs N healthy pods and has M currently`.
    pub fn read(text: &str) -> Self {
        let parse = || {
            let (_, rest) = text.split_once("disruption budget ")?;
            let (name, rest) = rest.split_once(" needs ")?;
            let (needs, rest) = rest.split_once(" healthy pods and has ")?;
            let (has, _) = rest.split_once(" currently")?;
            Some((name.to_owned(), (needs.parse().ok()?, has.parse().ok()?)))
        };
        match parse() {
            Some((name, numbers)) => Self {
                budgets: vec![name],
                numbers: Some(numbers),
                why: "it allows no disruption now".to_owned(),
            },
            None => Self {
                budgets: Vec::new(),
                numbers: None,
                why: text.to_owned(),
            },
        }
    }

    /// For `details`.
    pub fn details(&self) -> Value {
        let mut details = json!({"budgets": self.budgets, "why": self.why});
        if let Some((needs, has)) = self.numbers {
            details["needs"] = needs.into();
            details["has"] = has.into();
        }
        details
    }

    /// For a person: `budget web needs 3 healthy pods and has 3: it allows no disruption now`.
    pub fn text(&self) -> String {
        let name = match &self.budgets[..] {
            [] => return self.why.clone(),
            [name] => format!("budget {name}"),
            names => format!("budgets {}", names.join(", ")),
        };
        match self.numbers {
            Some((needs, has)) => {
                format!(
                    "{name} needs {needs} healthy pods and has {has}: {}",
                    self.why
                )
            }
            None => format!("{name}: {}", self.why),
        }
    }
}
