//! The agent as its own process.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbox::backend::{self, Backend};
use tempfile::TempDir;

use super::stalls::Stalls;
use super::{SOON, eventually};

/// What an agent is started with; a test changes what it is about.
pub struct Setup {
    variables: BTreeMap<String, String>,
    /// A command that runs the agent, with its arguments; nothing runs it directly.
    enter: Vec<String>,
    folder: Arc<TempDir>,
}

impl Setup {
    /// Settings for this cluster and backend, quick enough for a test.
    pub fn new(kubeconfig: &Path, backend: &Backend) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = backend::Options::default();
        let setup = Self {
            variables: BTreeMap::new(),
            enter: Vec::new(),
            folder: Arc::new(folder),
        };
        let state = setup.folder.path().join("state");
        std::fs::create_dir(&state).expect("a folder for the state");
        setup
            .with("KUBECONFIG", &kubeconfig.display().to_string())
            .with("BACKEND_URL", &backend.url())
            .with("BACKEND_WS_URL", &backend.ws_url())
            .with("API_KEY", &options.api_key)
            .with("SECRET_KEY", &options.secret_key)
            .with("CLUSTER_ID", "test-cluster")
            .with("AGENT_ID", "test-agent")
            .with("COLLECTION_INTERVAL", "1")
            .with("HEARTBEAT_INTERVAL", "1")
            .with("ACTION_POLL_INTERVAL", "1")
            .with("HTTP_PORT", "0")
            .with("LOG_LEVEL", "debug")
            .with("STATE_DIR", &state.display().to_string())
    }

    /// With one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Without a variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Run by a command that becomes the agent, such as one that enters a namespace.
    #[must_use]
    pub fn within(mut self, enter: &[String]) -> Self {
        self.enter = enter.to_vec();
        self
    }

    /// A folder that lasts as long as the setup and the agents that were started of it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts an agent. Several may be started of one setup, one after the other or at once.
    pub fn start(&self) -> Agent {
        let log = tempfile::Builder::new()
            .suffix(".log")
            .tempfile_in(self.folder.path());
        let (log, path) = log
            .and_then(|it| it.keep().map_err(Into::into))
            .expect("a log file");
        Agent {
            child: self.spawn(log),
            log: path,
            _folder: Arc::clone(&self.folder),
        }
    }

    /// Runs the program with these arguments to its end: exit code, standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command().args(arguments).output();
        let output = output.expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            output.status.code().expect("an exit code"),
            text(output.stdout),
            text(output.stderr),
        )
    }

    fn command(&self) -> Command {
        let agent = env!("CARGO_BIN_EXE_kubernetes-agent").to_owned();
        let words: Vec<_> = self.enter.iter().chain([&agent]).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null());
        command
    }

    fn spawn(&self, log: File) -> Child {
        self.command()
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the agent starts")
    }
}

/// A running agent; killed when dropped.
pub struct Agent {
    child: Child,
    log: PathBuf,
    _folder: Arc<TempDir>,
}

impl Agent {
    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log is readable")
    }

    /// Waits until the log holds `text`.
    pub fn logged(&self, text: &str) {
        eventually(&format!("{text:?} in the log:\n{}", self.log()), || {
            self.log().contains(text)
        });
    }

    /// The process' id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status();
        assert!(sent.is_ok_and(|it| it.success()), "kill -{name}");
    }

    /// Kills it, as a node does that runs out of memory.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait();
    }

    /// Waits for its end and returns how it went and how long that took, without the time in which nobody ran.
    pub fn wait(&mut self) -> (ExitStatus, Duration) {
        let stalls = Stalls::watch();
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the agent can be waited for") {
                return (status, stalls.since(began));
            }
            assert!(
                began.elapsed() < SOON,
                "the agent did not end:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to stop, and insists on exit code 0.
    pub fn stop(&mut self) -> Duration {
        self.signal("TERM");
        let (status, took) = self.wait();
        assert!(status.success(), "{status}:\n{}", self.log());
        took
    }

    /// The port of its endpoints.
    pub fn port(&self) -> u16 {
        self.logged("Listening on port ");
        let log = self.log();
        let (_, rest) = log.split_once("Listening on port ").expect("logged");
        rest.lines()
            .next()
            .and_then(|it| it.parse().ok())
            .expect("a port")
    }

    /// GETs one of its endpoints: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.port());
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .new_agent();
        let mut answer = agent.get(&url).call().expect("the endpoint answers");
        (
            answer.status().as_u16(),
            answer.body_mut().read_to_string().expect("text"),
        )
    }

    /// Resident memory of the process.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the process' status");
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
        let kib = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("its memory in KiB") << 10
    }

    /// Processor seconds that the process has used.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.expect("the process' times");
        let (_, fields) = stat.rsplit_once(") ").expect("its name in brackets");
        let times = fields.split(' ').skip(11).take(2);
        // USER_HZ is 100 on every architecture that Linux has with us.
        times
            .map(|it| it.parse::<f64>().expect("ticks"))
            .sum::<f64>()
            / 100.0
    }

    /// One value of `/metrics`, with the labels as they stand in the text.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics");
        let line = text
            .lines()
            .find(|it| it.strip_prefix(name).is_some_and(|it| it.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // A second panic would end all other tests.
            let log = std::fs::read_to_string(&self.log).unwrap_or_else(|err| err.to_string());
            eprintln!("--- the agent's log ---\n{log}");
        }
    }
}
