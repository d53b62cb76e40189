//! The agent's process: does what the command line says, and tells by its exit code how it went.

use std::io::{self, Write};
use std::process::ExitCode;

use kubernetes_agent::command::{Command, USAGE};
use kubernetes_agent::config::{Config, ProcessEnvironment};
use kubernetes_agent::{VERSION, agent, check, logging};
use log::{LevelFilter, error, info};

/// `EX_CONFIG` of sysexits.h: a restart will not help.
const BAD_CONFIG: u8 = 78;
/// `EX_SOFTWARE`.
const FAILED: u8 = 70;
/// `EX_USAGE`.
const BAD_USAGE: u8 = 64;

fn main() -> ExitCode {
    match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Run) => run(),
        Ok(Command::Check { json }) => {
            let report = check::run(&ProcessEnvironment);
            say(&if json {
                format!("{:#}\n", report.json())
            } else {
                report.text()
            });
            ExitCode::from(report.exit_code())
        }
        Ok(Command::Help) => {
            say(USAGE);
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            say(&format!("kubernetes-agent {VERSION}\n"));
            ExitCode::SUCCESS
        }
        Err(argument) => {
            let text = format!("Not understood: {argument}\n\n{USAGE}");
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::from(BAD_USAGE)
        }
    }
}

/// Whoever does not want to read the rest has closed the pipe.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn run() -> ExitCode {
    let config = match Config::read(&ProcessEnvironment) {
        Ok(config) => config,
        Err(faults) => {
            logging::init(LevelFilter::Info, logging::Format::Text);
            // One message: whoever sees any of it sees all of it.
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            error!(target: logging::MAIN, "Bad configuration: {}", faults.join("; "));
            return ExitCode::from(BAD_CONFIG);
        }
    };
    logging::init(config.log_level, config.log_format);
    info!(target: logging::MAIN, "Starting kubernetes-agent {VERSION}");
    match agent::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!(target: logging::MAIN, "Agent {failure}");
            ExitCode::from(FAILED)
        }
    }
}
