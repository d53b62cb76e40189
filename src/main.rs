//! The agent's process: reads the settings, starts the log, runs, and says by its exit code how it went.

use std::process::ExitCode;

use kubernetes_agent::config::{Config, ProcessEnvironment};
use kubernetes_agent::{agent, logging};
use log::{LevelFilter, error, info};

/// `EX_CONFIG` of sysexits.h: a restart will not help.
const BAD_CONFIG: u8 = 78;
/// `EX_SOFTWARE`.
const FAILED: u8 = 70;

fn main() -> ExitCode {
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
    info!(target: logging::MAIN, "Starting kubernetes-agent {}", kubernetes_agent::VERSION);
    match agent::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!(target: logging::MAIN, "Agent {failure}");
            ExitCode::from(FAILED)
        }
    }
}
