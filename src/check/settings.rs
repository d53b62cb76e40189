//! The settings, all faults together as at the start; and stand-ins for what is wrong, so that one bad setting does
//! not hide the state of everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::report::Line;
use crate::config::Config;
use crate::config::key_file;
use crate::config::reader::{Environment, Fault};

/// The settings as far as they can be used.
pub(super) struct Settings {
    /// With stand-ins for what is wrong; none where even that is of no use.
    pub(super) config: Option<Config>,
    faults: Vec<Fault>,
}

impl Settings {
    pub(super) fn read(environment: &dyn Environment) -> Self {
        match Config::read(environment) {
            Ok(config) => Self {
                config: Some(config),
                faults: Vec::new(),
            },
            Err(faults) => Self {
                config: Config::read(&Mended::new(environment, &faults)).ok(),
                faults,
            },
        }
    }

    /// The names of the settings that a stand-in stands for.
    pub(super) fn faulty(&self) -> BTreeSet<String> {
        self.faults.iter().map(|it| name(it).to_owned()).collect()
    }

    /// A line for the settings and one for the secrets, or one for each fault.
    pub(super) fn lines(&self) -> Vec<Line> {
        let (secrets, settings): (Vec<_>, Vec<_>) =
            self.faults.iter().partition(|it| is_secret(name(it)));
        let mut lines: Vec<_> = settings
            .into_iter()
            .map(|it| {
                let remedy = format!(
                    "set {} as the table \"Settings\" of the README says; the agent does not start before",
                    name(it)
                );
                Line::failed("settings", it.to_string(), remedy)
            })
            .collect();
        if lines.is_empty() {
            lines.push(match &self.config {
                Some(config) => Line::ok(
                    "settings",
                    format!(
                        "all can be used; cluster {}, agent {}",
                        config.cluster_id, config.agent_id
                    ),
                ),
                None => Line::ok("settings", "all others can be used"),
            });
        }
        if secrets.is_empty() {
            lines.extend(self.config.as_ref().map(strength));
        } else {
            lines.extend(
                secrets
                    .into_iter()
                    .map(|it| Line::failed("secrets", it.to_string(), secret_remedy(name(it)))),
            );
        }
        lines
    }
}

/// The variable that a fault is about; of several the first.
fn name(fault: &Fault) -> &str {
    let end = fault.0.find([':', ',']).unwrap_or(fault.0.len());
    &fault.0[..end]
}

fn is_secret(name: &str) -> bool {
    name.starts_with("API_KEY") || name.starts_with("SECRET_KEY")
}

fn secret_remedy(name: &str) -> String {
    let entry = if name.starts_with("API_KEY") {
        "api-key"
    } else {
        "secret-key"
    };
    format!(
        "put the {entry} that the backend gave out into the agent's secret (by default agent-credentials), whole and \
         without spaces; a signing key has at least 16 bytes, and the backend must sign with the same"
    )
}

/// What is known of the signing keys, without a word of what they are.
fn strength(config: &Config) -> Line {
    let keys = [
        ("SECRET_KEY", Some(&config.secret_key)),
        ("SECRET_KEY_PREVIOUS", config.previous_secret_key.as_ref()),
    ];
    let short = keys.into_iter().find_map(|(name, key)| {
        let length = key_file::signing_bytes(&key?.current().0).ok()?;
        (length < key_file::ADVISED_BYTES).then_some((name, length))
    });
    match short {
        None => Line::ok(
            "secrets",
            "API_KEY and SECRET_KEY are there and long enough",
        ),
        Some((name, length)) => Line::warning(
            "secrets",
            format!(
                "{name} has {length} bytes, {} or more are advised",
                key_file::ADVISED_BYTES
            ),
            "have the backend make a longer one; SECRET_KEY_PREVIOUS bridges the change",
        ),
    }
}

/// The environment with stand-ins for what is wrong in it.
struct Mended<'a> {
    environment: &'a dyn Environment,
    instead: BTreeMap<String, Option<&'static str>>,
}

impl<'a> Mended<'a> {
    fn new(environment: &'a dyn Environment, faults: &[Fault]) -> Self {
        let pairs = faults.iter().flat_map(|it| stand_ins(name(it)));
        Self {
            environment,
            instead: pairs.collect(),
        }
    }
}

impl Environment for Mended<'_> {
    fn get(&self, name: &str) -> Option<String> {
        match self.instead.get(name) {
            Some(value) => value.map(str::to_owned),
            None => self.environment.get(name),
        }
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        self.environment.read(path)
    }
}

/// What takes the place of a setting that is wrong. Nothing is ever connected or signed with these.
fn stand_ins(name: &str) -> Vec<(String, Option<&'static str>)> {
    let pairs: &[(&str, Option<&'static str>)] = match name {
        "BACKEND_URL" => &[("BACKEND_URL", Some("https://backend.invalid"))],
        "BACKEND_WS_URL" => &[("BACKEND_WS_URL", Some("wss://backend.invalid"))],
        "API_KEY" | "API_KEY_FILE" => &[("API_KEY_FILE", None), ("API_KEY", Some("none"))],
        "SECRET_KEY" | "SECRET_KEY_FILE" => &[
            ("SECRET_KEY_FILE", None),
            ("SECRET_KEY", Some("a stand-in of enough bytes")),
        ],
        "SECRET_KEY_PREVIOUS" | "SECRET_KEY_PREVIOUS_FILE" => &[
            ("SECRET_KEY_PREVIOUS_FILE", None),
            ("SECRET_KEY_PREVIOUS", None),
        ],
        "CLUSTER_ID" => &[("CLUSTER_ID", Some("unknown"))],
        "KUBECONFIG" | "KUBERNETES_SERVICE_HOST" => &[
            ("KUBECONFIG", None),
            ("KUBERNETES_SERVICE_HOST", Some("127.0.0.1")),
            ("KUBERNETES_SERVICE_PORT", Some("1")),
        ],
        // It has a default.
        other => return vec![(other.to_owned(), None)],
    };
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Outcome;
    use crate::config::reader::testing::Fake;

    /// Outcome and name of each line, and the names of what is faulty.
    fn read(changes: &[(&str, &str)]) -> (Settings, Vec<(Outcome, String)>) {
        let changes = changes.iter();
        let all = changes.fold(Fake::complete(), |all, (name, value)| all.with(name, value));
        let settings = Settings::read(&all);
        let lines = settings.lines();
        let short = lines.into_iter().map(|it| (it.outcome, it.name));
        let short = short.collect();
        (settings, short)
    }

    #[test]
    fn good_ones_are_two_lines() {
        let (settings, lines) = read(&[]);
        assert!(settings.faulty().is_empty() && settings.config.is_some());
        let ok = |name: &str| (Outcome::Ok, name.to_owned());
        assert_eq!(lines, [ok("settings"), ok("secrets")]);
    }

    #[test]
    fn every_fault_is_a_line_and_the_rest_can_be_used() {
        let (settings, lines) = read(&[
            ("SECRET_KEY", "hunter22"),
            ("BACKEND_URL", "backend.example"),
            ("COLLECTION_INTERVAL", "5m"),
            ("KUBERNETES_SERVICE_PORT", "x"),
        ]);
        let config = settings.config.as_ref().unwrap();
        assert_eq!(config.cluster_id, "prod-eu-1");
        let failed = |name: &str| (Outcome::Failed, name.to_owned());
        let expected = [
            failed("settings"),
            failed("settings"),
            failed("settings"),
            failed("secrets"),
        ];
        assert_eq!(lines, expected);
        let faulty: Vec<_> = settings.faulty().into_iter().collect();
        assert_eq!(
            faulty,
            [
                "BACKEND_URL",
                "COLLECTION_INTERVAL",
                "KUBERNETES_SERVICE_HOST",
                "SECRET_KEY"
            ]
        );
        let text = format!("{:?}", settings.lines());
        assert!(!text.contains("hunter22"), "{text}");
    }

    #[test]
    fn nothing_at_all_can_be_mended() {
        let settings = Settings::read(&Fake::new(&[]));
        assert!(settings.config.is_some());
        assert!(settings.lines().len() >= 6, "{:?}", settings.lines());
    }

    #[test]
    fn a_signing_key_may_be_long_enough_and_no_longer() {
        let (_, lines) = read(&[("SECRET_KEY", "0123456789abcdef")]);
        assert_eq!(lines[1], (Outcome::Warning, "secrets".to_owned()));
    }
}
