//! Keys: read again when their files change, never shown to anybody.

use std::fs;

use crate::common::agent::{Agent, Setup};
use crate::common::cluster::Cluster;
use crate::common::eventually;
use sandbox::apiserver::{Effect, Fault as ApiFault};
use sandbox::backend::{Backend, Endpoint, FaultKind, Kind, Options};
use serde_json::json;

const FIRST: &str = "first-key-that-nobody-may-ever-see";
const SECOND: &str = "second-key-that-nobody-may-ever-see";
const SECRET: &str = "whsec_bm9ib2R5LW1heS1ldmVyLXNlZS10aGlzLW9uZQ==";
const PROXY_PASSWORD: &str = "proxy-password-that-nobody-may-see";

#[test]
fn a_new_api_key_in_its_file_is_tried_at_once() {
    let cluster = Cluster::with(3, 50);
    let backend = Backend::start(Options::default()).unwrap();
    backend.set_api_keys(&[FIRST]);
    let setup = Setup::new(cluster.kubeconfig(), &backend).without("API_KEY");
    let file = setup.folder().join("api-key");
    fs::write(&file, format!("{FIRST}\n")).unwrap();
    let setup = setup.with("API_KEY_FILE", &file.display().to_string());
    let mut agent = setup.start();
    eventually("the first cycle", || backend.sample_count(Kind::Pod) >= 50);
    backend.set_api_keys(&[SECOND]);
    agent.logged("401");
    eventually("not ready, for the key", || {
        let (code, body) = agent.get("/readyz");
        assert!(!body.contains(FIRST), "{body}");
        code == 503 && body.contains("\"api_key\"") && body.contains("401")
    });
    let before = backend.sample_count(Kind::Pod);
    // As a mounted secret changes: the new file takes the old one's place.
    let draft = setup.folder().join("api-key.new");
    fs::write(&draft, SECOND).unwrap();
    fs::rename(&draft, &file).unwrap();
    // Long before the minute's pause that a 401 asks for.
    eventually("samples under the new key", || {
        backend.sample_count(Kind::Pod) >= before + 100
    });
    eventually("ready again", || agent.get("/readyz").0 == 200);
    agent.stop();
}

#[test]
fn no_key_stands_in_a_log_a_metric_or_an_answer() {
    let cluster = Cluster::with(1, 5);
    let token = cluster
        .server
        .token()
        .expect("the simulated server asks for a token");
    let backend = Backend::start(Options::default()).unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend)
        .with("API_KEY", FIRST)
        .with("SECRET_KEY", SECRET)
        .with("LOG_LEVEL", "trace");
    // All kinds of refusals, so that every error text is written once.
    let mut agent = setup.start();
    agent.logged("401");
    let mut seen = seen_of(&mut agent);
    backend.set_api_keys(&[FIRST]);
    let mut agent = setup.start();
    eventually("samples", || backend.sample_count(Kind::Pod) >= 5);
    agent.logged("WebSocket connection established");
    let goaway =
        json!({"type": "goaway", "reconnect_after_ms": 1, "reason": format!("not with {FIRST}")});
    backend.push_frame(&goaway);
    agent.logged("asked to come back later: not with ");
    for fault in [
        FaultKind::Garbage,
        FaultKind::NotHttp,
        FaultKind::Truncated,
        FaultKind::Redirect {
            status: 302,
            location: "http://127.0.0.1:1/".to_owned(),
        },
        FaultKind::Status {
            status: 403,
            retry_after: None,
        },
        FaultKind::Says {
            status: 400,
            detail: format!("what is {FIRST}?"),
        },
    ] {
        let asked = backend.requests().len();
        backend.set_fault(Endpoint::All, fault);
        eventually("more requests", || backend.requests().len() > asked + 1);
    }
    for effect in [
        Effect::Garbage,
        Effect::NotJson,
        Effect::Status {
            code: 401,
            retry_after: None,
        },
    ] {
        cluster.server.set_fault(ApiFault::on("", "", effect));
        cluster.server.drop_watches();
        let asked = cluster.server.audit().entries().len();
        eventually("more reads", || {
            cluster.server.audit().entries().len() > asked
        });
    }
    seen += &seen_of(&mut agent);
    // Through a proxy that is not there, with a password.
    let proxy = format!("http://user:{PROXY_PASSWORD}@127.0.0.1:1");
    let setup = setup
        .with("HTTPS_PROXY", &proxy)
        .with("BACKEND_URL", "https://backend.invalid");
    let mut agent = setup.start();
    agent.logged("Failed to register with backend");
    seen += &seen_of(&mut agent);
    for heartbeat in backend.heartbeats() {
        seen += &heartbeat.body.to_string();
    }
    for secret in [FIRST, SECRET, &SECRET[6..], PROXY_PASSWORD, &token] {
        assert!(!seen.contains(secret), "{}", line_with(&seen, secret));
    }
    assert!(seen.contains("Starting kubernetes-agent"));
}

/// All that anybody can see of it; ends it.
fn seen_of(agent: &mut Agent) -> String {
    let pages = ["/healthz", "/readyz", "/metrics"].map(|it| agent.get(it).1);
    let command_line =
        fs::read_to_string(format!("/proc/{}/cmdline", agent.pid())).unwrap_or_default();
    agent.signal("KILL");
    agent.wait();
    pages.concat() + &command_line + &agent.log()
}

fn line_with<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines()
        .find(|it| it.contains(part))
        .unwrap_or_default()
}
