//! The arguments, read by hand: a few options and three commands do not need a library.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use super::order::Action;
use super::params;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Runs the agent on a simulated cluster, with a reference backend, and shows what arrives.

Usage: sandbox [OPTION]...
       sandbox backend [--listen ADDRESS:PORT]
       sandbox action NAME [--PARAM VALUE]... [--dry-run] [--backend URL]
       sandbox settings [--NAME VALUE]... [--backend URL]
       sandbox serve [--nodes N] [--pods N] [--interval S]

`backend` is the reference backend alone, for an agent elsewhere: it prints what that one is to
be started with, as JSON, and serves on a free port of 127.0.0.1 unless told otherwise.
`action` has the running sandbox sign an action, prints its progress and then its result, such as
  sandbox action drain_node --node node-1
  sandbox action scale_deployment --namespace default --name web --replicas 3
  sandbox action label_resource --kind node --name node-1 --label pool=spot --label old-
`settings` does so with remote settings, such as
  sandbox settings --collection-interval 30 --log-level debug
Both take the sandbox or backend that was started last, or the one whose backend has this URL.
`serve` starts the simulated API server alone, over TLS, says in a line of JSON where it is, and
ends with its standard input; the usage of its pods moves each interval.

Options:
  --nodes N      nodes of the cluster, 1 to 5000 (3)
  --pods N       pods of the cluster, 0 to 150000 (50)
  --interval S   seconds between two collections, 1 to 3600 (5)
  --seconds S    ends after so many seconds with one line of JSON on standard output;
                 exit code 0 only if every pod and node arrived and the agent stopped cleanly
  --help         prints this

Without --seconds it runs until Ctrl-C, and then ends in the same way. Under cargo it builds
the agent first; otherwise it takes the kubernetes-agent beside its own executable. Nothing
is written outside the system's temporary folder, and all of it is removed at the end.";

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    /// `--help`
    Help,
    /// The agent at work.
    Demo(Options),
    /// `backend`
    Backend {
        /// `--listen`
        listen: SocketAddr,
    },
    /// `serve`
    Serve(Options),
    /// `action`
    Act {
        /// What is to be done.
        action: Action,
        /// `--backend`
        backend: Option<String>,
    },
    /// `settings`
    Set {
        /// What is to hold.
        settings: Map<String, Value>,
        /// `--backend`
        backend: Option<String>,
    },
}

/// How the demonstration is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// `--nodes`
    pub(crate) nodes: usize,
    /// `--pods`
    pub(crate) pods: usize,
    /// `--interval`
    pub(crate) interval: Duration,
    /// `--seconds`
    pub(crate) seconds: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 3,
            pods: 50,
            interval: Duration::from_secs(5),
            seconds: None,
        }
    }
}

/// Reads the arguments, or says everything that is wrong with them.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, Vec<String>> {
    let mut arguments = arguments
        .map(|it| it.to_string_lossy().into_owned())
        .peekable();
    if let Some(command) = arguments.next_if(|it| it == "action" || it == "settings") {
        return params::parse(&command, arguments);
    }
    if arguments.next_if(|it| it == "backend").is_some() {
        return backend(arguments);
    }
    let serve = arguments.next_if(|it| it == "serve").is_some();
    let mut options = Options::default();
    let mut faults = Vec::new();
    while let Some(argument) = arguments.next() {
        if matches!(argument.as_str(), "--help" | "-h") {
            return Ok(Command::Help);
        }
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let mut number = |range: RangeInclusive<u32>| {
            let value = inline.clone().or_else(|| arguments.next());
            read(name, value.as_deref(), range)
                .map_err(|fault| faults.push(fault))
                .ok()
        };
        let seconds = |it: u32| Duration::from_secs(it.into());
        match name {
            "--nodes" => options.nodes = number(1..=5_000).map_or(0, |it| it as usize),
            "--pods" => options.pods = number(0..=150_000).map_or(0, |it| it as usize),
            "--interval" => options.interval = number(1..=3_600).map(seconds).unwrap_or_default(),
            "--seconds" if !serve => options.seconds = number(1..=86_400).map(seconds),
            _ => faults.push(format!(
                "{argument:?}: expected one of --nodes, --pods, --interval, --seconds and --help"
            )),
        }
    }
    match (faults.is_empty(), serve) {
        (true, false) => Ok(Command::Demo(options)),
        (true, true) => Ok(Command::Serve(options)),
        (false, _) => Err(faults),
    }
}

fn backend(mut arguments: impl Iterator<Item = String>) -> Result<Command, Vec<String>> {
    let mut listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    while let Some(argument) = arguments.next() {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        if name != "--listen" {
            return Err(vec![format!("{argument:?}: expected --listen")]);
        }
        let value = inline.or_else(|| arguments.next()).unwrap_or_default();
        let expected = "expected an address and a port, such as 127.0.0.1:8000";
        listen = value
            .parse()
            .map_err(|_| vec![format!("--listen: {expected}, got {value:?}")])?;
    }
    Ok(Command::Backend { listen })
}

fn read(name: &str, value: Option<&str>, range: RangeInclusive<u32>) -> Result<u32, String> {
    let expected = format!(
        "expected a whole number from {} to {}",
        range.start(),
        range.end()
    );
    let value = value.ok_or_else(|| format!("{name}: {expected}, got nothing"))?;
    let number = value.parse().ok().filter(|it| range.contains(it));
    number.ok_or_else(|| format!("{name}: {expected}, got {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Vec<String>> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn every_option_has_a_default_and_both_spellings() {
        assert_eq!(parsed(""), Ok(Command::Demo(Options::default())));
        let options = Options {
            nodes: 10,
            pods: 400,
            interval: Duration::from_secs(2),
            seconds: Some(Duration::from_secs(20)),
        };
        let line = "--nodes 10 --pods=400 --interval 2 --seconds=20";
        assert_eq!(parsed(line), Ok(Command::Demo(options.clone())));
        let options = Options {
            seconds: None,
            ..options
        };
        let line = "serve --nodes 10 --pods 400 --interval=2";
        assert_eq!(parsed(line), Ok(Command::Serve(options)));
        assert!(parsed("serve --seconds 5").is_err());
        assert_eq!(parsed("--nodes 10 --help"), Ok(Command::Help));
    }

    #[test]
    fn the_backend_listens_where_it_is_told_to() {
        let listen = |address: &str| {
            let listen = address.parse().unwrap();
            Ok(Command::Backend { listen })
        };
        assert_eq!(parsed("backend"), listen("127.0.0.1:0"));
        assert_eq!(
            parsed("backend --listen 10.0.0.1:80"),
            listen("10.0.0.1:80")
        );
        assert_eq!(parsed("backend --listen=[::]:80"), listen("[::]:80"));
        let bad = "--listen: expected an address and a port, such as 127.0.0.1:8000, got \"80\"";
        assert_eq!(parsed("backend --listen 80"), Err(vec![bad.to_owned()]));
    }

    #[test]
    fn every_fault_names_option_value_and_what_was_expected() {
        assert_eq!(
            parsed("--nodes 0 --pods many --interval=1.5 --verbose drain --seconds"),
            Err(vec![
                "--nodes: expected a whole number from 1 to 5000, got \"0\"".to_owned(),
                "--pods: expected a whole number from 0 to 150000, got \"many\"".to_owned(),
                "--interval: expected a whole number from 1 to 3600, got \"1.5\"".to_owned(),
                "\"--verbose\": expected one of --nodes, --pods, --interval, --seconds and --help"
                    .to_owned(),
                "\"drain\": expected one of --nodes, --pods, --interval, --seconds and --help"
                    .to_owned(),
                "--seconds: expected a whole number from 1 to 86400, got nothing".to_owned(),
            ])
        );
    }
}
