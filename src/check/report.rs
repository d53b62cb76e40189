//! What was found: a line each, for a person or as JSON, and the exit code.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::VERSION;

/// How a thing is; the worst comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Not looked at: it is not in use, or something before it failed.
    Skipped,
    /// As it should be.
    Ok,
    /// The agent works, but less well than it could, or not for long.
    Warning,
    /// Something that the agent is there for does not work.
    Failed,
}

impl Outcome {
    /// The word in both forms of the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What: a stable name, lower case.
    pub name: String,
    /// How it is.
    pub outcome: Outcome,
    /// What was found, for a person.
    pub found: String,
    /// What to do about it, where there is something.
    pub remedy: Option<String>,
}

impl Line {
    fn new(name: impl Into<String>, outcome: Outcome, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            outcome,
            found: found.into(),
            remedy: None,
        }
    }

    /// As it should be.
    pub fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, found)
    }

    /// Not looked at, and why.
    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(name, Outcome::Skipped, why)
    }

    /// Not as good as it could be, and what to do about it.
    pub fn warning(
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..Self::new(name, Outcome::Warning, found)
        }
    }

    /// Wrong, and what to do about it.
    pub fn failed(
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..Self::new(name, Outcome::Failed, found)
        }
    }
}

/// Everything that was looked at, in the order in which it is shown.
#[derive(Debug, Default)]
pub struct Report {
    /// The lines.
    pub lines: Vec<Line>,
}

impl Report {
    /// The worst of its lines.
    pub fn outcome(&self) -> Outcome {
        let each = self.lines.iter().map(|it| it.outcome);
        each.max().unwrap_or(Outcome::Ok).max(Outcome::Ok)
    }

    /// As plugins of monitoring systems have it: 0 for all well, 1 for a warning, 2 for a failure.
    pub fn exit_code(&self) -> u8 {
        match self.outcome() {
            Outcome::Ok | Outcome::Skipped => 0,
            Outcome::Warning => 1,
            Outcome::Failed => 2,
        }
    }

    /// For a person: a line each, and below it what to do.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let outcome = line.outcome.as_str();
            let _ = writeln!(text, "{outcome:<8} {}: {}", line.name, line.found);
            if let Some(remedy) = &line.remedy {
                let _ = writeln!(text, "         what to do: {remedy}");
            }
        }
        let count = |outcome| self.lines.iter().filter(|it| it.outcome == outcome).count();
        let (failed, warnings) = (count(Outcome::Failed), count(Outcome::Warning));
        let _ = writeln!(
            text,
            "{}: {failed} failed, {warnings} with a warning, {} ok, {} skipped",
            self.outcome().as_str(),
            count(Outcome::Ok),
            count(Outcome::Skipped)
        );
        text
    }

    /// One document: `version`, `outcome`, and `checks` with `name`, `outcome`, `found` and `remedy` (null where there
    /// is nothing to do).
    pub fn json(&self) -> Value {
        let lines = self.lines.iter().map(|it| {
            json!({
                "name": it.name, "outcome": it.outcome.as_str(), "found": it.found, "remedy": it.remedy,
            })
        });
        json!({
            "version": VERSION, "outcome": self.outcome().as_str(), "checks": lines.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: impl IntoIterator<Item = Line>) -> Report {
        Report {
            lines: lines.into_iter().collect(),
        }
    }

    #[test]
    fn the_worst_line_decides() {
        let [skipped, ok, warning, failed] = [
            Line::skipped("a", ""),
            Line::ok("b", ""),
            Line::warning("c", "", ""),
            Line::failed("d", "", ""),
        ];
        assert_eq!(report([]).exit_code(), 0);
        assert_eq!(report([skipped.clone()]).exit_code(), 0);
        assert_eq!(report([skipped, ok.clone()]).exit_code(), 0);
        assert_eq!(report([warning.clone(), ok]).exit_code(), 1);
        assert_eq!(report([failed, warning]).exit_code(), 2);
    }

    #[test]
    fn both_forms_say_the_same() {
        let report = report([
            Line::ok("state_dir", "/state can be written"),
            Line::failed("api_key", "401", "make a new one"),
        ]);
        assert_eq!(
            report.text(),
            "ok       state_dir: /state can be written\n\
             failed   api_key: 401\n         what to do: make a new one\n\
             failed: 1 failed, 0 with a warning, 1 ok, 0 skipped\n"
        );
        assert_eq!(
            report.json(),
            json!({"version": VERSION, "outcome": "failed", "checks": [
                {"name": "state_dir", "outcome": "ok", "found": "/state can be written", "remedy": null},
                {"name": "api_key", "outcome": "failed", "found": "401", "remedy": "make a new one"},
            ]})
        );
    }
}
