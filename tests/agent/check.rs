//! `kubernetes-agent check`: all well on a healthy installation, and the line that names the fault and its remedy on
//! each of those that people meet (issue 5, must show 6).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::thread;

use crate::common::agent::Setup;
use crate::common::cluster::Cluster;
use crate::common::disk::Disk;
use crate::common::eventually;
use sandbox::apiserver::{Availability, MetricsMode};
use sandbox::backend::{Backend, NewAction, Options};
use sandbox::tls::Authority;
use serde_json::{Value, json};

/// A cluster, a backend that speaks TLS, and the settings for both.
struct World {
    cluster: Cluster,
    backend: Backend,
    authority: Authority,
    setup: Setup,
}

impl World {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let cluster = Cluster::with(2, 4);
        let authority = Authority::new();
        let backend = Backend::start(Options {
            tls: Some(authority.acceptor(&["127.0.0.1", "localhost"])),
            ..options
        })
        .unwrap();
        let setup = Setup::new(cluster.kubeconfig(), &backend)
            .with("POD_NAMESPACE", "kube-system")
            .with("LEADER_ELECTION", "true");
        let setup = trusting(setup, &authority);
        Self {
            cluster,
            backend,
            authority,
            setup,
        }
    }

    /// With other settings.
    fn set(mut self, change: impl FnOnce(Setup) -> Setup) -> Self {
        self.setup = change(self.setup);
        self
    }
}

fn trusting(setup: Setup, authority: &Authority) -> Setup {
    let ca = setup.folder().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    setup.with("BACKEND_CA_FILE", &ca.display().to_string())
}

/// What a check has found, by name: outcome, found, remedy.
struct Checked {
    code: i32,
    lines: BTreeMap<String, [String; 3]>,
}

fn check(setup: &Setup) -> Checked {
    let (code, out, err) = setup.run(&["check", "--json"]);
    assert_eq!(err, "");
    for secret in [Options::default().api_key, Options::default().secret_key] {
        assert!(!out.contains(&secret), "{out}");
    }
    let document: Value = serde_json::from_str(&out).unwrap_or_else(|err| panic!("{err}: {out}"));
    let lines = document["checks"].as_array().unwrap().iter().map(|line| {
        let text = |member: &str| line[member].as_str().unwrap_or_default().to_owned();
        (text("name"), ["outcome", "found", "remedy"].map(text))
    });
    let lines: BTreeMap<_, _> = lines.collect();
    let worst = match code {
        0 => "ok",
        1 => "warning",
        _ => "failed",
    };
    assert_eq!(document["outcome"], worst, "{out}");
    Checked { code, lines }
}

impl Checked {
    fn of(&self, outcome: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|(_, line)| line[0] == outcome);
        lines.map(|(name, _)| name.as_str()).collect()
    }

    /// These fail, those are not looked at because of it, and all others are well. The first one's line and remedy
    /// hold these texts.
    #[track_caller]
    fn fails(&self, failed: &[&str], skipped: &[&str], found: &str, remedy: &str) {
        assert_eq!(self.code, 2, "{:#?}", self.lines);
        assert_eq!(self.of("failed"), failed, "{:#?}", self.lines);
        assert_eq!(self.of("skipped"), skipped, "{:#?}", self.lines);
        assert_eq!(self.of("warning"), [""; 0], "{:#?}", self.lines);
        let line = &self.lines[failed[0]];
        assert!(line[1].contains(found), "{found:?} in {line:?}");
        assert!(line[2].contains(remedy), "{remedy:?} in {line:?}");
    }
}

#[test]
fn a_healthy_installation_is_all_well() {
    let world = World::new();
    let checked = check(&world.setup);
    assert_eq!(checked.code, 0, "{:#?}", checked.lines);
    assert_eq!(checked.of("ok").len(), checked.lines.len());
    for name in [
        "settings",
        "secrets",
        "state_dir",
        "api_server",
        "clock_api_server",
        "metrics_api",
        "backend",
        "backend_certificate",
        "api_key",
        "cluster_id",
        "clock_backend",
        "websocket",
        "permission list pods",
        "permission create pods/eviction",
        "permission patch deployments.apps/scale",
        "permission list nodes.metrics.k8s.io",
        "permission update leases.coordination.k8s.io",
    ] {
        assert!(checked.lines.contains_key(name), "{name}");
    }
    let (code, text, _) = world.setup.run(&["check"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("ok       api_server: v1."), "{text}");
    assert!(text.ends_with(" 0 skipped\n"), "{text}");
    world.backend.assert_no_violations();
}

#[test]
fn a_running_agent_is_not_disturbed() {
    let world = World::new();
    let mut agent = world.setup.start();
    eventually("connected", || world.backend.connected() == 1);
    eventually("ready", || agent.get("/readyz").0 == 200);
    let node = json!({"node": "node-1"});
    let action = world
        .backend
        .create_action(&NewAction::new("cordon_node", node));
    let id = action.unwrap().id;
    eventually("an action is done", || world.backend.result(&id).is_some());
    let state = world.setup.folder().join("state");
    // The cordon left an event: the agent writes down that it is delivered.
    eventually("all files of the agent are there", || {
        state.join("events").exists()
    });
    let listed = || {
        let mut names: Vec<_> = std::fs::read_dir(&state)
            .unwrap()
            .map(|it| it.unwrap().path())
            // What the agent is writing at that moment.
            .filter(|it| it.extension().is_none_or(|it| it != "new"))
            .collect();
        names.sort();
        names
    };
    let before = listed();
    let checked = check(&world.setup);
    assert_eq!(checked.code, 0, "{:#?}", checked.lines);
    assert_eq!(listed(), before);
    assert_eq!(world.backend.registrations().len(), 1);
    assert_eq!(world.backend.connected(), 1);
    let ends = world.backend.connections();
    let open = ends.iter().filter(|it| it.closed.is_none()).count();
    assert_eq!((ends.len(), open), (2, 1), "{ends:?}");
    assert_eq!(agent.get("/readyz").0, 200);
    assert!(!agent.log().contains("WebSocket connection lost"));
    agent.stop();
    world.backend.assert_no_violations();
}

#[test]
fn a_missing_permission() {
    let world = World::new();
    world.cluster.server.deny("create", "pods/eviction");
    check(&world.setup).fails(
        &["permission create pods/eviction"],
        &[],
        "switched off without it: evict_pod, drain_node",
        "grant create on pods/eviction",
    );
}

#[test]
fn actions_that_are_not_allowed_need_no_permission() {
    let world = World::new().set(|it| it.with("ALLOWED_ACTIONS", "scale_deployment"));
    world.cluster.server.deny("create", "pods/eviction");
    assert_eq!(check(&world.setup).code, 0);
}

#[test]
fn no_metrics_api() {
    let world = World::new();
    world.cluster.server.set_metrics(MetricsMode {
        availability: Availability::Missing,
        ..MetricsMode::default()
    });
    check(&world.setup).fails(
        &["metrics_api"],
        &[],
        "not installed",
        "install metrics-server",
    );
}

#[test]
fn a_wrong_api_key() {
    let world = World::new().set(|it| it.with("API_KEY", "quite-another-key"));
    check(&world.setup).fails(
        &["api_key", "websocket"],
        &["cluster_id"],
        "401: the backend does not accept it",
        "into the agent's secret (by default agent-credentials",
    );
}

#[test]
fn a_wrong_ca() {
    let world = World::new().set(|it| trusting(it, &Authority::new()));
    check(&world.setup).fails(
        &["backend_certificate", "websocket"],
        &["api_key", "clock_backend", "cluster_id"],
        "invalid peer certificate",
        "the CA in BACKEND_CA_FILE did not sign",
    );
    assert!(world.backend.requests().is_empty(), "no key was shown");
}

#[test]
fn a_clock_that_is_off_by_an_hour() {
    let world = World::with(Options {
        clock_offset_ms: 3_600_000,
        ..Options::default()
    });
    check(&world.setup).fails(&["clock_backend"], &[], "s ahead of this one", "NTP");
}

#[test]
fn a_full_disk() {
    let world = World::new();
    let state = world.setup.folder().join("state");
    // The file of the check is one that has no room: nothing else on this disk must be filled for that.
    symlink("/dev/full", state.join("check.probe")).unwrap();
    let full = |checked: Checked| {
        checked.fails(&["state_dir"], &[], "No space left", "the disk is full");
    };
    full(check(&world.setup));
    // A disk that is full indeed, where one may be mounted.
    std::fs::remove_file(state.join("check.probe")).expect_err("the check removed it");
    if let Some(disk) = Disk::mount(&state) {
        disk.fill();
        let setup = world.setup.within(disk.enter());
        full(check(&setup));
        disk.free();
        assert_eq!(check(&setup).of("failed"), [""; 0]);
    }
}

#[test]
fn a_backend_that_is_down() {
    let world = World::new();
    world.backend.down();
    check(&world.setup).fails(
        &["backend", "websocket"],
        &[
            "api_key",
            "backend_certificate",
            "clock_backend",
            "cluster_id",
        ],
        "refused",
        "look whether the backend runs",
    );
}

#[test]
fn a_backend_that_answers_nothing_good() {
    let world = World::new();
    let fault = sandbox::backend::Fault::status(503);
    let endpoint = sandbox::backend::Endpoint::Actions;
    world.backend.set_fault(endpoint, fault);
    check(&world.setup).fails(
        &["backend"],
        &["api_key", "cluster_id"],
        "503",
        "what stands before it",
    );
}

#[test]
fn a_websocket_that_a_proxy_blocks() {
    // It tunnels to one name and not to the other.
    let proxy = proxy("127.0.0.1:");
    let url = |it: &str| it.replace("127.0.0.1", "localhost");
    let world = World::new();
    let ws = url(&world.backend.ws_url());
    let world = world.set(|it| {
        it.with("HTTPS_PROXY", &format!("http://{proxy}"))
            .with("BACKEND_WS_URL", &ws)
    });
    check(&world.setup).fails(
        &["websocket"],
        &[],
        "the proxy gives no tunnel: HTTP/1.1 403 Forbidden",
        "the proxy of HTTPS_PROXY blocks the way",
    );
}

/// A proxy that allows CONNECT to targets that begin so, and forbids it to others.
fn proxy(allowed: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || tunnel(client, allowed));
        }
    });
    address
}

fn tunnel(mut client: TcpStream, allowed: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.split(' ').nth(1).unwrap_or_default();
    if !target.starts_with(allowed) {
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    }
    let server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut from_server, &mut to_client));
    io::copy(&mut client, &mut &server).map(drop)
}

#[test]
fn a_websocket_that_something_in_between_does_not_upgrade() {
    let world = World::new();
    let fault = sandbox::backend::Fault::status(403);
    let endpoint = sandbox::backend::Endpoint::WebSocket;
    world.backend.set_fault(endpoint, fault);
    check(&world.setup).fails(&["websocket"], &[], "403", "let WebSockets through");
}

#[test]
fn a_wrong_cluster_id() {
    let world = World::with(Options {
        cluster_id: Some("another".to_owned()),
        ..Options::default()
    });
    check(&world.setup).fails(
        &["cluster_id"],
        &[],
        "does not cover the cluster \"test-cluster\"",
        "set CLUSTER_ID",
    );
}

#[test]
fn a_secret_that_is_too_short() {
    let world = World::new().set(|it| it.with("SECRET_KEY", "hunter22"));
    let checked = check(&world.setup);
    checked.fails(
        &["secrets"],
        &[],
        "SECRET_KEY: expected at least 16 bytes, got 8",
        "at least 16 bytes",
    );
    let (_, text, _) = world.setup.run(&["check"]);
    assert!(!text.contains("hunter22"), "{text}");
}

#[test]
fn settings_that_cannot_be_used_leave_the_rest_to_be_looked_at() {
    let world = World::new().set(|it| it.with("BACKEND_URL", "backend.example"));
    check(&world.setup).fails(
        &["settings"],
        &[
            "api_key",
            "backend",
            "backend_certificate",
            "clock_backend",
            "cluster_id",
        ],
        "BACKEND_URL: expected https://",
        "set BACKEND_URL",
    );
}

#[test]
fn what_swallows_everything_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let world = World::new().set(|it| {
        it.with("BACKEND_URL", &format!("https://{address}"))
            .with("BACKEND_WS_URL", &format!("wss://{address}/ws"))
    });
    check(&world.setup).fails(
        &["backend_certificate", "websocket"],
        &["api_key", "clock_backend", "cluster_id"],
        "no answer in time",
        "something in between breaks the connection",
    );
    assert!(world.backend.requests().is_empty());
}

#[test]
fn an_expired_certificate_is_named() {
    let world = World::new();
    let expired = Backend::start(Options {
        tls: Some(world.authority.expired_acceptor(&["127.0.0.1"])),
        ..Options::default()
    });
    let expired = expired.unwrap();
    let (url, ws) = (expired.url(), expired.ws_url());
    let world = world.set(|it| it.with("BACKEND_URL", &url).with("BACKEND_WS_URL", &ws));
    check(&world.setup).fails(
        &["backend_certificate", "websocket"],
        &["api_key", "clock_backend", "cluster_id"],
        "expired",
        "have it renewed",
    );
}

#[test]
fn the_command_line_says_how_it_is_used() {
    let world = World::new();
    let run = |arguments: &[&str]| world.setup.run(arguments);
    let (code, out, _) = run(&["--help"]);
    assert!(
        code == 0 && out.starts_with("Usage: kubernetes-agent"),
        "{out}"
    );
    let version = format!("kubernetes-agent {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]), (0, version, String::new()));
    let (code, out, err) = run(&["chekc"]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.starts_with("Not understood: chekc\n"), "{err}");
    assert!(world.backend.requests().is_empty());
}
