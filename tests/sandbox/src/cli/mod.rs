//! The sandbox's command line.
//!
//! - [`options`] reads it; [`demo`] is the command that is run when none is named.
//! - [`alone`] is the backend without the rest, [`serve`] the API server.
//! - [`agent`] finds the agent's binary and runs it as a process; [`life`] makes the cluster's events.
//! - [`order`] has a running sandbox, found by [`running`], sign an action or settings of these [`params`].
//! - [`table`] shows what arrives while it does, [`outcome`] sums it up and judges it.
//!
//! Standard output belongs to results; all that is shown meanwhile goes to standard error.

mod agent;
mod alone;
mod demo;
mod life;
mod options;
mod order;
mod outcome;
mod params;
mod running;
mod serve;
mod table;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use options::Command;
use running::Running;

/// `EX_USAGE` of sysexits.h.
const BAD_USAGE: u8 = 64;

/// Does what the arguments ask for.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = match options::parse(arguments) {
        Ok(Command::Help) => {
            print(options::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Demo(options)) => demo::run(&options),
        Ok(Command::Backend { listen }) => alone::run(listen),
        Ok(Command::Serve(options)) => serve::run(&options),
        Ok(Command::Act { action, backend }) => {
            Running::find(backend.as_deref()).and_then(|it| order::act(&action, &it))
        }
        Ok(Command::Set { settings, backend }) => {
            Running::find(backend.as_deref()).and_then(|it| order::set(&settings, &it))
        }
        Err(faults) => {
            for fault in faults {
                say(&format!("error: {fault}"));
            }
            say("Try --help.");
            return ExitCode::from(BAD_USAGE);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("error: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// A line of the result.
fn print(line: &str) {
    // Nobody may be listening any more; that is no reason to fail.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A line for whoever watches.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
