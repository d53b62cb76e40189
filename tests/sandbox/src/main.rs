//! `cargo run --release -p sandbox`: the real agent at work on a simulated cluster, and what arrives of it.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os().skip(1))
}
