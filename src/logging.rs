//! The log, line for line as the product's documentation shows it, because people grep for it:
//! `2024-01-15 10:25:00 - main - INFO - Agent registered successfully`.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};
use serde::Serialize;
use simplelog::{CombinedLogger, Config, SharedLogger};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::thread::panic_text;

/// Log targets, one for each component that the documentation names. Threads that help a component log under its
/// name.
pub const MAIN: &str = "main";
/// The collector, its watches and its uploads.
pub const COLLECTOR: &str = "collector";
/// The actuator, its poller and its workers.
pub const ACTUATOR: &str = "actuator";
/// The heartbeat, registration and the HTTP endpoints.
pub const HEARTBEAT: &str = "heartbeat";
/// The WebSocket channel.
pub const WEBSOCKET: &str = "websocket_client";

const TARGETS: [&str; 5] = [MAIN, COLLECTOR, ACTUATOR, HEARTBEAT, WEBSOCKET];

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `2024-01-15 10:25:00 - main - INFO - message`
    #[default]
    Text,
    /// One JSON object a line with time, level, target and message.
    Json,
}

/// Starts logging to standard error. The level can be changed later by `log::set_max_level`.
///
/// Does nothing if a logger is installed already.
pub fn init(level: LevelFilter, format: Format) {
    // simplelog fixes its level when it starts; ours must follow remote settings, so it lets all pass and the log
    // crate's own maximum decides.
    if CombinedLogger::init(vec![Box::new(Lines { format })]).is_ok() {
        log::set_max_level(level);
        // One line like all others, instead of several in a form of their own; the supervisor says what follows.
        std::panic::set_hook(Box::new(|panic| {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("unnamed").to_owned();
            let place = panic
                .location()
                .map(ToString::to_string)
                .unwrap_or_default();
            log::error!(target: MAIN, "Thread {name} panicked at {place}: {}", panic_text(panic.payload()));
        }));
    }
}

/// The adapter: simplelog's own line puts level and target in brackets.
struct Lines {
    format: Format,
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries log their own plumbing at info and below.
        metadata.level() <= LevelFilter::Warn || TARGETS.contains(&metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = line(self.format, OffsetDateTime::now_utc(), record);
        // A log that cannot be written must not take the agent down.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

impl SharedLogger for Lines {
    fn level(&self) -> LevelFilter {
        LevelFilter::Trace
    }

    fn config(&self) -> Option<&Config> {
        None
    }

    fn as_log(self: Box<Self>) -> Box<dyn Log> {
        self
    }
}

fn line(format: Format, now: OffsetDateTime, record: &Record<'_>) -> String {
    let (level, target) = (record.level(), record.target());
    match format {
        Format::Text => {
            let time = now
                .format(format_description!(
                    "[year]-[month]-[day] [hour]:[minute]:[second]"
                ))
                .unwrap_or_default();
            format!(
                "{time} - {target} - {level} - {}\n",
                one_line(&record.args().to_string())
            )
        }
        Format::Json => {
            #[derive(Serialize)]
            struct Line<'a> {
                time: String,
                level: &'a str,
                target: &'a str,
                message: String,
            }
            let line = Line {
                time: crate::timestamp::rfc3339_millis(now),
                level: level.as_str(),
                target,
                message: record.args().to_string(),
            };
            let mut text = serde_json::to_string(&line).unwrap_or_default();
            text.push('\n');
            text
        }
    }
}

/// Text from outside must not be able to forge a second log line.
fn one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|it| {
            if it.is_control() {
                it.escape_default().collect()
            } else {
                vec![it]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;
    use time::macros::datetime;

    fn written(format: Format, message: &str) -> String {
        line(
            format,
            datetime!(2024-01-15 10:25:00.123 UTC),
            &Record::builder()
                .target(MAIN)
                .level(Level::Info)
                .args(format_args!("{message}"))
                .build(),
        )
    }

    #[test]
    fn text_is_as_documented() {
        assert_eq!(
            written(Format::Text, "Agent registered successfully"),
            "2024-01-15 10:25:00 - main - INFO - Agent registered successfully\n"
        );
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        let text = written(
            Format::Text,
            "bad\n2024-01-15 10:25:00 - main - INFO - forged",
        );
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn json_is_one_object_a_line() {
        assert_eq!(
            written(Format::Json, "a \"quoted\"\nword"),
            "{\"time\":\"2024-01-15T10:25:00.123Z\",\"level\":\"INFO\",\"target\":\"main\",\"message\":\"a \\\"quoted\\\"\\nword\"}\n"
        );
    }

    #[test]
    fn libraries_are_heard_only_when_something_is_wrong() {
        let lines = Lines {
            format: Format::Text,
        };
        assert!(
            !lines.enabled(
                &Metadata::builder()
                    .target("ureq")
                    .level(Level::Info)
                    .build()
            )
        );
        assert!(
            lines.enabled(
                &Metadata::builder()
                    .target("ureq")
                    .level(Level::Warn)
                    .build()
            )
        );
        assert!(lines.enabled(&Metadata::builder().target(MAIN).level(Level::Debug).build()));
    }
}
