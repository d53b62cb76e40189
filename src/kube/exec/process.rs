//! A program run within bounds: of time, of what it prints, and of what it leaves behind.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::after;
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::thread::stop::Stop;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a killed program may take to be gone: only one that hangs in the kernel takes longer, and is left behind.
const GONE: Duration = Duration::from_secs(1);

/// What a program may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// From its start to its end.
    pub(super) time: Duration,
    /// Bytes that it may print, and bytes of errors.
    pub(super) output: usize,
}

/// A program that ended by itself.
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) out: Vec<u8>,
    pub(super) errors: Vec<u8>,
}

/// Why one did not.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was never started.
    Start(io::Error),
    /// The system does not say how it is.
    Lost(io::Error),
    /// It took longer than this.
    Late(Duration),
    /// It printed more than this.
    Endless(usize),
    /// The agent stops.
    Stopped,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(err) => write!(f, "failed to start: {err}"),
            Self::Lost(err) => write!(f, "failed to be waited for: {err}"),
            Self::Late(limit) => write!(f, "did not end within {} s", limit.as_secs()),
            Self::Endless(limit) => write!(f, "printed more than {limit} bytes"),
            Self::Stopped => f.write_str("stopping"),
        }
    }
}

/// Runs `command` to its end. What is over a limit is killed, with all that it started.
///
/// Its pipes are looked into and never waited for: a daemon that it leaves behind may hold them for ever.
pub(super) fn run(command: &mut Command, limits: Limits, stop: &Stop) -> Result<Finished, Failure> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that a signal reaches all of it and nobody else.
        .process_group(0)
        .spawn()
        .map_err(Failure::Start)?;
    let finished = follow(&mut child, limits, stop);
    if finished.is_err() {
        kill(&mut child);
    }
    finished
}

fn follow(child: &mut Child, limits: Limits, stop: &Stop) -> Result<Finished, Failure> {
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::Lost(io::ErrorKind::BrokenPipe.into()));
    };
    ioctl_fionbio(&stdout, true).map_err(|err| Failure::Lost(err.into()))?;
    ioctl_fionbio(&stderr, true).map_err(|err| Failure::Lost(err.into()))?;
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let began = Instant::now();
    loop {
        // Before the pipes: what it wrote before it ended is in them then.
        let ended = child.try_wait().map_err(Failure::Lost)?;
        read(&mut stdout, &mut out, limits.output)?;
        read(&mut stderr, &mut errors, limits.output)?;
        if let Some(status) = ended {
            return Ok(Finished {
                status,
                out,
                errors,
            });
        }
        if began.elapsed() >= limits.time {
            return Err(Failure::Late(limits.time));
        }
        if stop.wait(LOOK) {
            return Err(Failure::Stopped);
        }
    }
}

/// Takes what has come.
fn read(pipe: &mut impl Read, text: &mut Vec<u8>, most: usize) -> Result<(), Failure> {
    let mut piece = [0; 4096];
    // A pipe that is empty, at its end or broken has nothing more to say.
    while let Ok(1..) = pipe
        .read(&mut piece)
        .inspect(|it| text.extend(&piece[..*it]))
    {
        if text.len() > most {
            return Err(Failure::Endless(most));
        }
    }
    Ok(())
}

fn kill(child: &mut Child) {
    // It was not waited for yet, so that the number is still its own.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let until = Instant::now() + GONE;
    while let Ok(None) = child.try_wait()
        && Instant::now() < until
    {
        let _ = after(LOOK).recv();
    }
}
