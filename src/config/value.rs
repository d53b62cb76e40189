//! What the text of a setting may be. Each returns what was expected where it is something else.

use std::time::Duration;

use log::LevelFilter;

use crate::logging::Format;

/// So many.
pub(super) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// On or off, as people write it.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// The pause between two turns of what is done again and again.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(n @ 1..=86_400) => Ok(seconds(n)),
        _ => Err("whole seconds from 1 to 86400".to_owned()),
    }
}

/// BATCH_SIZE.
pub(super) fn batch_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=1000) => Ok(n),
        _ => Err("a whole number from 1 to 1000".to_owned()),
    }
}

/// LOG_LEVEL.
pub(super) fn log_level(text: &str) -> Result<LevelFilter, String> {
    match text.to_ascii_lowercase().as_str() {
        "error" => Ok(LevelFilter::Error),
        "warn" | "warning" => Ok(LevelFilter::Warn),
        "info" => Ok(LevelFilter::Info),
        "debug" => Ok(LevelFilter::Debug),
        "trace" => Ok(LevelFilter::Trace),
        _ => Err("error, warn, info, debug or trace".to_owned()),
    }
}

/// LOG_FORMAT.
pub(super) fn log_format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("text or json".to_owned()),
    }
}

/// HTTP_PORT.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| "a port from 0 (any free one) to 65535".to_owned())
}

/// The text of BACKEND_CA_FILE.
pub(super) fn certificates(text: String) -> Result<String, String> {
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(text)
    } else {
        Err("a file with at least one certificate in PEM".to_owned())
    }
}
