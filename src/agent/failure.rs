//! Why the agent ends by itself.

use std::{fmt, io};

/// Why the agent ended by itself.
#[derive(Debug)]
pub enum Failure {
    /// Something that it cannot start without.
    Start(String),
    /// A component that failed too often.
    Hopeless(&'static str),
    /// Components that went on after this replica had ceased to lead.
    Stuck(Vec<&'static str>),
    /// STATE_DIR can be used now, which takes a new start.
    StateDirMended,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(why) => write!(f, "failed to start: {why}"),
            Self::Hopeless(name) => write!(f, "component {name} failed again and again"),
            Self::Stuck(names) => {
                let names = names.join(", ");
                write!(
                    f,
                    "must start again: {names} did not end with the leadership"
                )
            }
            Self::StateDirMended => f.write_str("must start again: STATE_DIR can be used now"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(err: io::Error) -> Self {
        Self::Start(err.to_string())
    }
}
