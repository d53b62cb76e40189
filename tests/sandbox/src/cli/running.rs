//! How one command finds the sandbox that another one runs: a file in the temporary folder names its backend.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// The file; it says nothing secret, and the last sandbox that was started stands in it.
fn file() -> PathBuf {
    std::env::temp_dir().join("kubernetes-agent-sandbox.url")
}

/// Names the backend for as long as it lives.
pub(crate) struct Announced {
    url: String,
}

impl Announced {
    /// Writes the file. Without it other commands need `--backend`, and that is all.
    pub(crate) fn new(url: String) -> Self {
        let _ = fs::write(file(), &url);
        Self { url }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if fs::read_to_string(file()).is_ok_and(|it| it == self.url) {
            let _ = fs::remove_file(file());
        }
    }
}

/// A running sandbox's backend.
pub(crate) struct Running {
    url: String,
    agent: ureq::Agent,
}

impl Running {
    /// The one at this URL, or the one started last.
    pub(crate) fn find(url: Option<&str>) -> Result<Self, String> {
        let url = match url {
            Some(url) => url.to_owned(),
            None => fs::read_to_string(file())
                .map_err(|_| "no sandbox is running: start one with `cargo run --release -p sandbox`, or name its backend with --backend URL")?,
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .proxy(None)
            .build()
            .new_agent();
        Ok(Self {
            url: url.trim().trim_end_matches('/').to_owned(),
            agent,
        })
    }

    /// Reads something under `/admin`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, String> {
        let url = format!("{}/admin/{path}", self.url);
        read(&url, self.agent.get(&url).call())
    }

    /// Makes something under `/admin`.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}/admin/{path}", self.url);
        read(&url, self.agent.post(&url).send(body.to_string()))
    }
}

fn read(
    url: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Value, String> {
    let mut answer = answer.map_err(|err| format!("{url}: {err}"))?;
    let body = answer
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_string();
    let body = body.map_err(|err| format!("{url}: {err}"))?;
    if !answer.status().is_success() {
        return Err(format!("{url}: {} {body}", answer.status()));
    }
    serde_json::from_str(&body).map_err(|err| format!("{url}: {err}"))
}
