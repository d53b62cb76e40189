//! The command line: what the process is to do.

use std::ffi::OsString;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Be the agent.
    Run,
    /// Look at everything that the agent needs, and end.
    Check {
        /// One JSON document in place of lines.
        json: bool,
    },
    /// Say how it is used.
    Help,
    /// Say which version it is.
    Version,
}

/// How the program is used.
pub const USAGE: &str = "\
Usage: kubernetes-agent [check [--json]] | --help | --version

Without a command it is the agent: it observes the cluster and carries out the
backend's signed actions until it is told to stop (SIGTERM, SIGINT).

  check          looks at settings, secrets, STATE_DIR, API server, permissions,
                 Metrics API, backend, clocks and WebSocket; disturbs no agent that
                 runs. Ends with 0 (all well), 1 (warnings) or 2 (failures)
  check --json   the same as one JSON document
  -h, --help     this text
  -V, --version  the version

Settings come from the environment; the README lists them.
";

impl Command {
    /// Reads the arguments after the program's name. An error holds the one that is not understood.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut command = Self::Run;
        for argument in arguments {
            command = match (command, argument.to_str()) {
                (_, Some("-h" | "--help")) => return Ok(Self::Help),
                (Self::Run, Some("-V" | "--version")) => return Ok(Self::Version),
                (Self::Run, Some("check")) => Self::Check { json: false },
                (Self::Check { json: false }, Some("--json")) => Self::Check { json: true },
                _ => return Err(argument.to_string_lossy().into_owned()),
            };
        }
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_named() {
        let parse = |line: &str| Command::parse(line.split_whitespace().map(OsString::from));
        let check = |json| Ok(Command::Check { json });
        for (line, expected) in [
            ("", Ok(Command::Run)),
            ("check", check(false)),
            ("check --json", check(true)),
            ("--help", Ok(Command::Help)),
            ("check -h", Ok(Command::Help)),
            ("-V", Ok(Command::Version)),
            ("--version", Ok(Command::Version)),
            ("chekc", Err("chekc".to_owned())),
            ("--json", Err("--json".to_owned())),
            ("check --yaml", Err("--yaml".to_owned())),
            ("check check", Err("check".to_owned())),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}
