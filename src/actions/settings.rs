//! Remote settings: the few that may be changed from outside (protocol, section 3, `config.v1`).

use std::time::Duration;

use log::Level;
use serde_json::{Map, Value, json};

use super::members::{Fault, Members};
use super::strict_json;

/// The settings of one version, each within its range. What is `None` keeps its local value.
///
/// URLs, keys, the cluster id and the local policy are not here: they are never set from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Between two collections; 10 to 3600 s.
    pub collection_interval: Option<Duration>,
    /// Between two polls for actions; 2 to 300 s.
    pub action_poll_interval: Option<Duration>,
    /// Samples in one batch; 1 to 1000.
    pub batch_size: Option<u32>,
    /// What is logged.
    pub log_level: Option<Level>,
    /// True if nothing may be written any more. It can be switched on from outside, never off.
    pub dry_run: bool,
}

impl Settings {
    /// Reads the `settings` of a `config.v1` payload. One that is unknown or out of range refuses them all.
    pub fn parse(settings: Map<String, Value>) -> Result<Self, Fault> {
        let known = [
            "collection_interval",
            "action_poll_interval",
            "batch_size",
            "log_level",
            "dry_run",
        ];
        let mut settings = Members::new("settings", settings, &known)?;
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let level = |value: &Value| match value.as_str()? {
            "error" => Some(Level::Error),
            "warn" => Some(Level::Warn),
            "info" => Some(Level::Info),
            "debug" => Some(Level::Debug),
            "trace" => Some(Level::Trace),
            _ => None,
        };
        let only_true = |value: &Value| value.as_bool().filter(|value| *value);
        Ok(Self {
            collection_interval: settings
                .optional_whole("collection_interval", 10..=3600)?
                .map(seconds),
            action_poll_interval: settings
                .optional_whole("action_poll_interval", 2..=300)?
                .map(seconds),
            batch_size: settings.optional_whole("batch_size", 1..=1000)?,
            log_level: settings.optional(
                "log_level",
                "error, warn, info, debug or trace",
                level,
            )?,
            dry_run: settings
                .optional(
                    "dry_run",
                    "true (it cannot be switched off from outside)",
                    only_true,
                )?
                .unwrap_or(false),
        })
    }

    /// These settings, with what an older version of them has made final.
    ///
    /// Each version is whole: what it leaves out has its local value again, so that an agent that has seen only
    /// the newest version ends up like one that has seen all. Only `dry_run` stays: leaving it out would
    /// otherwise switch it off from outside.
    #[must_use]
    pub fn after(self, older: &Self) -> Self {
        Self {
            dry_run: self.dry_run || older.dry_run,
            ..self
        }
    }

    /// The settings as the journal keeps them.
    pub fn to_json(&self) -> String {
        let mut settings = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            settings.extend(value.map(|value| (name.to_owned(), value)));
        };
        set(
            "collection_interval",
            self.collection_interval.map(|it| json!(it.as_secs())),
        );
        set(
            "action_poll_interval",
            self.action_poll_interval.map(|it| json!(it.as_secs())),
        );
        set("batch_size", self.batch_size.map(Value::from));
        set(
            "log_level",
            self.log_level
                .map(|it| it.as_str().to_ascii_lowercase().into()),
        );
        set("dry_run", self.dry_run.then_some(Value::Bool(true)));
        Value::Object(settings).to_string()
    }

    /// Reads what [`Settings::to_json`] wrote, with the same checks as if it came from outside.
    pub fn from_json(text: &str) -> Option<Self> {
        Self::parse(strict_json::parse_object(text)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: Value) -> Result<Settings, String> {
        let Value::Object(settings) = value else {
            panic!("an object")
        };
        Settings::parse(settings).map_err(|fault| fault.to_string())
    }

    fn all() -> Settings {
        Settings {
            collection_interval: Some(Duration::from_mins(1)),
            action_poll_interval: Some(Duration::from_secs(10)),
            batch_size: Some(100),
            log_level: Some(Level::Debug),
            dry_run: true,
        }
    }

    #[test]
    fn all_and_none() {
        let value = json!({"collection_interval": 60, "action_poll_interval": 10,
            "batch_size": 100, "log_level": "debug", "dry_run": true});
        assert_eq!(parse(value), Ok(all()));
        assert_eq!(parse(json!({})), Ok(Settings::default()));
    }

    #[test]
    fn ranges() {
        let cases = [
            ("collection_interval", json!(10), true),
            ("collection_interval", json!(3600), true),
            ("collection_interval", json!(9), false),
            ("collection_interval", json!(3601), false),
            ("collection_interval", json!("60"), false),
            ("collection_interval", json!(60.0), false),
            ("collection_interval", json!(null), false),
            ("action_poll_interval", json!(2), true),
            ("action_poll_interval", json!(300), true),
            ("action_poll_interval", json!(1), false),
            ("action_poll_interval", json!(301), false),
            ("batch_size", json!(1), true),
            ("batch_size", json!(1000), true),
            ("batch_size", json!(0), false),
            ("batch_size", json!(1001), false),
            ("log_level", json!("error"), true),
            ("log_level", json!("warn"), true),
            ("log_level", json!("info"), true),
            ("log_level", json!("trace"), true),
            ("log_level", json!("INFO"), false),
            ("log_level", json!("off"), false),
            ("log_level", json!(3), false),
            ("dry_run", json!(true), true),
            ("dry_run", json!(false), false),
            ("dry_run", json!("true"), false),
        ];
        for (name, value, is_legal) in cases {
            let result = parse(json!({name: value}));
            assert_eq!(result.is_ok(), is_legal, "{name} {value}");
            if let Err(fault) = result {
                assert!(
                    fault.starts_with(&format!("settings.{name}: expected ")),
                    "{fault}"
                );
                assert!(fault.ends_with(&format!(", got {value}")), "{fault}");
            }
        }
    }

    #[test]
    fn what_is_never_set_from_outside() {
        for name in [
            "backend_url",
            "api_key",
            "secret_key",
            "cluster_id",
            "allowed_actions",
            "DRY_RUN",
        ] {
            let fault = parse(json!({"batch_size": 5, name: "x"})).expect_err(name);
            assert!(
                fault.starts_with("settings: expected no members but "),
                "{fault}"
            );
        }
    }

    #[test]
    fn dry_run_outlives_a_newer_version() {
        let newer = Settings {
            batch_size: Some(7),
            ..Settings::default()
        };
        assert_eq!(
            newer.clone().after(&all()),
            Settings {
                dry_run: true,
                ..newer.clone()
            }
        );
        assert_eq!(newer.clone().after(&Settings::default()), newer);
        assert!(all().after(&Settings::default()).dry_run);
    }

    #[test]
    fn the_journal_gives_back_what_it_got() {
        for settings in [all(), Settings::default()] {
            assert_eq!(Settings::from_json(&settings.to_json()), Some(settings));
        }
        assert_eq!(Settings::from_json(r#"{"batch_size":0}"#), None);
        assert_eq!(Settings::from_json("nonsense"), None);
    }
}
