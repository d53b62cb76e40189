//! The real agent as a process of its own.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::say;

/// The agent promises to end within 5 s; what takes so long has failed.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// How often a new agent is asked whether it is ready, and how long it may take to say so.
const READY_LOOK: Duration = Duration::from_millis(5);
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Finds the agent's binary: under cargo one of the same profile, built now if need be, else the one beside us.
pub(crate) fn binary() -> Result<PathBuf, String> {
    let ours =
        env::current_exe().map_err(|err| format!("failed to find this executable: {err}"))?;
    let folder = ours.parent().unwrap_or(Path::new("."));
    if let Some(cargo) = env::var_os("CARGO") {
        return build(Path::new(&cargo), folder);
    }
    let beside = folder.join("kubernetes-agent");
    if beside.is_file() {
        return Ok(beside);
    }
    Err(format!(
        "{}: no such file; build it with cargo build -p kubernetes-agent",
        beside.display()
    ))
}

/// Builds the agent in the profile whose folder we lie in, and returns where cargo put it.
fn build(cargo: &Path, folder: &Path) -> Result<PathBuf, String> {
    let profile = match folder.file_name().and_then(|it| it.to_str()) {
        None | Some("debug") => "dev",
        Some(profile) => profile,
    };
    let output = Command::new(cargo)
        .args([
            "build",
            "--package",
            "kubernetes-agent",
            "--bin",
            "kubernetes-agent",
            "--profile",
            profile,
        ])
        .args([
            "--message-format",
            "json-render-diagnostics",
            "--manifest-path",
        ])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|err| format!("failed to run {}: {err}", cargo.display()))?;
    if !output.status.success() {
        return Err("cargo failed to build the agent".to_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executables
        .next_back()
        .ok_or_else(|| "cargo built the agent but does not say where".to_owned())
}

/// A running agent; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    ready_after: Arc<OnceLock<Duration>>,
}

/// What the agent has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Resident memory now.
    pub(crate) rss_kib: u64,
    /// The most resident memory there ever was.
    pub(crate) peak_rss_kib: u64,
    /// Processor seconds, user and system.
    pub(crate) cpu_seconds: f64,
}

impl Agent {
    /// Starts it with these variables and no others.
    pub(crate) fn start(binary: &Path, variables: &[(&str, String)]) -> Result<Self, String> {
        let began = Instant::now();
        let mut child = Command::new(binary)
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            // Ctrl-C is for us alone: we end the agent ourselves, after a last look at it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|err| format!("failed to start {}: {err}", binary.display()))?;
        let ready_after = Arc::new(OnceLock::new());
        if let Some(log) = child.stderr.take() {
            let ready_after = Arc::clone(&ready_after);
            thread::spawn(move || relay(log, began, &ready_after));
        }
        Ok(Self { child, ready_after })
    }

    /// How long after its start `/readyz` said so first; nothing if it has not yet.
    pub(crate) fn ready_after(&self) -> Option<Duration> {
        self.ready_after.get().copied()
    }

    /// Says how it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What it uses; nothing once it has ended.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).ok();
        usage(
            &read("status")?,
            &read("stat")?,
            rustix::param::clock_ticks_per_second(),
        )
    }

    /// Asks it to stop, and says how it ended. One that does not end is killed.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + ENDS_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes on what a person should see of the log: where it listens, and everything that went wrong.
fn relay(log: ChildStderr, began: Instant, ready_after: &Arc<OnceLock<Duration>>) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if let Some((_, port)) = line.split_once("Listening on port ")
            && let Ok(port) = port.trim().parse()
        {
            let ready_after = Arc::clone(ready_after);
            thread::spawn(move || await_ready(port, began, &ready_after));
        }
        if [" - WARN - ", " - ERROR - ", "Listening on"]
            .iter()
            .any(|it| line.contains(it))
        {
            say(&format!("agent: {line}"));
        }
    }
}

/// Asks `/readyz` until it agrees.
fn await_ready(port: u16, began: Instant, ready_after: &OnceLock<Duration>) {
    while began.elapsed() < READY_WITHIN {
        if is_ready(port).unwrap_or(false) {
            let _ = ready_after.set(began.elapsed());
            return;
        }
        thread::sleep(READY_LOOK);
    }
}

fn is_ready(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; b"HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 200"))
}

/// Reads /proc/PID/status and /proc/PID/stat (proc(5)).
fn usage(status: &str, stat: &str, ticks_per_second: u64) -> Option<Usage> {
    let kib = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    // The name stands in parentheses and may hold anything, so the fields are counted from behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let used = ticks()? + ticks()?;
    #[expect(clippy::cast_precision_loss, reason = "100 on every Linux")]
    let cpu_seconds = used / ticks_per_second as f64;
    Some(Usage {
        rss_kib: kib("VmRSS")?,
        peak_rss_kib: kib("VmHWM")?,
        cpu_seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_a_process_uses() {
        let status = "Name:\ta) b\nVmPeak:\t  99999 kB\nVmHWM:\t   12345 kB\nVmRSS:\t   12000 kB\n";
        let stat = "42 (a) b) S 1 42 42 0 -1 4194304 900 0 0 0 150 50 0 0 20 0 12 0 100 1 2";
        let expected = Usage {
            rss_kib: 12_000,
            peak_rss_kib: 12_345,
            cpu_seconds: 2.0,
        };
        assert_eq!(usage(status, stat, 100), Some(expected));
        assert_eq!(usage("", stat, 100), None);
    }
}
