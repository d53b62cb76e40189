//! Must show 3: the peer falls silent, and only its silence tells. The WebSocket's backend is a process of its own,
//! which can be stopped or hidden; the one for REST is here and goes on, so that nothing else may notice.
//!
//! Minutes long, for the real limits hold. `tests/cluster/silence` runs these.

#![allow(clippy::print_stdout, reason = "figures for people")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::backend::Kind;
use serde_json::Value;

use crate::common::agent::Agent;
use crate::common::world::World;

/// 60 s without a frame, counted from the last answer to a ping: one ping before, with its tenth.
const NOTICED: Duration = Duration::from_secs(60 + 22);
/// The longest pause before the connection is tried again, and time to make it.
const BACK: Duration = Duration::from_secs(60 + 10);
/// A network namespace and the address of its end of a pair, as `tests/cluster/silence` made them: `NAME ADDRESS`.
const NAMESPACE: &str = "KUBERNETES_AGENT_TEST_NAMESPACE";

/// The backend as a process.
struct Peer {
    child: Child,
    variables: Value,
}

impl Peer {
    /// Started by what stands before the command, listening at this address.
    fn start(enter: &[&str], address: &str, world: &World) -> Self {
        let binary = binary().display().to_string();
        let listen = format!("--listen={address}:0");
        let words: Vec<&str> = enter
            .iter()
            .copied()
            .chain([&*binary, "backend", &listen])
            .collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            // Where it says that it is there; another sandbox of this machine is none of its business.
            .env("TMPDIR", world.setup.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let variables = serde_json::from_str(&line).unwrap();
        Self { child, variables }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(pid)
            .status();
        assert!(sent.unwrap().success());
    }

    /// What it says under `/admin`.
    fn get(&self, path: &str) -> Value {
        let url = format!(
            "{}/admin/{path}",
            self.variables["BACKEND_URL"].as_str().unwrap()
        );
        let mut answer = ureq::get(&url).call().unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sandbox's binary beside the agent's: `cargo test --workspace` builds it, and so does `tests/cluster/silence`.
fn binary() -> PathBuf {
    let agent = PathBuf::from(env!("CARGO_BIN_EXE_kubernetes-agent"));
    let binary = agent.with_file_name("sandbox");
    assert!(
        binary.is_file(),
        "{}: cargo build -p sandbox",
        binary.display()
    );
    binary
}

/// Waits until it holds, and says how long that took since `began`.
fn within(
    what: &str,
    limit: Duration,
    began: Instant,
    mut holds: impl FnMut() -> bool,
) -> Duration {
    while !holds() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    began.elapsed()
}

fn ws_connected(world: &World) -> Option<bool> {
    world.backend.last_heartbeat()?.body["ws_connected"].as_bool()
}

/// The peer falls silent by `cut`, and comes back by `heal`.
fn falls_silent(name: &str, peer: &Peer, world: World, cut: impl Fn(), heal: impl Fn()) {
    let url = peer.variables["BACKEND_WS_URL"]
        .as_str()
        .unwrap()
        .to_owned();
    let world = world.with("BACKEND_WS_URL", &url);
    let mut agent = world.setup.start();
    let began = Instant::now();
    within("connected", Duration::from_secs(30), began, || {
        ws_connected(&world) == Some(true)
    });
    // Each node is labelled once, which takes the polls and the actions; each has a frame that is to get through.
    let mut nodes = 0..;
    let mut act = || {
        let ids = world.label_nodes(1, nodes.next().unwrap());
        assert_eq!(world.result(&ids[0])["status"], "succeeded");
    };
    act();
    let before = (
        world.backend.summary().heartbeats,
        world.backend.sample_count(Kind::Node),
        collections(&world),
    );

    let cut_at = Instant::now();
    cut();
    let noticed = within("noticed", NOTICED + Duration::from_secs(3), cut_at, || {
        act();
        agent.log().contains("nothing was heard for 60 s")
    });
    assert!(
        noticed >= Duration::from_secs(35),
        "{noticed:?}: by its silence and by nothing else"
    );
    let told = within("told", NOTICED + Duration::from_secs(6), cut_at, || {
        ws_connected(&world) == Some(false)
    });
    undisturbed(&world, &agent, before, told);

    let healed_at = Instant::now();
    heal();
    let back = within("connected again", BACK, healed_at, || {
        agent
            .log()
            .matches("WebSocket connection established")
            .count()
            == 2
    });
    act();
    let results = nodes.next().unwrap();
    within("all news", BACK, Instant::now(), || {
        frames(peer, "result") == results
    });
    assert_eq!(peer.get("violations"), serde_json::json!([]));
    println!(
        "{name}: noticed after {:.1} s, connected again {:.1} s after its end, {results} actions meanwhile",
        noticed.as_secs_f64(),
        back.as_secs_f64()
    );
    agent.stop();
    world.backend.assert_no_violations();
}

fn collections(world: &World) -> u64 {
    world
        .cluster
        .server
        .audit()
        .count("list", "nodes.metrics.k8s.io")
}

fn frames(peer: &Peer, kind: &str) -> usize {
    let frames = peer.get("frames");
    let frames = frames.as_array().unwrap().iter();
    frames.filter(|it| it["body"]["type"] == kind).count()
}

/// Each second had its heartbeat and its collection, as before.
fn undisturbed(world: &World, agent: &Agent, before: (u64, usize, u64), passed: Duration) {
    let (heartbeats, samples, lists) = before;
    let seconds = passed.as_secs();
    let half = seconds / 2;
    assert!(
        world.backend.summary().heartbeats >= heartbeats + half,
        "heartbeats in {seconds} s"
    );
    assert!(world.backend.sample_count(Kind::Node) >= samples + usize::try_from(half).unwrap());
    assert!(
        collections(world) >= lists + half,
        "collections in {seconds} s"
    );
    assert_eq!(
        (agent.get("/healthz").0, agent.get("/readyz").0),
        (200, 200)
    );
}

#[test]
#[ignore = "takes minutes"]
fn a_stopped_peer_is_noticed_and_returned_to() {
    let world = World::new(2, 2);
    let peer = Peer::start(&[], "127.0.0.1", &world);
    falls_silent(
        "SIGSTOP",
        &peer,
        world,
        || peer.signal("STOP"),
        || peer.signal("CONT"),
    );
}

/// Every packet is dropped, both ways, and nobody is told.
#[test]
#[ignore = "takes minutes, and a network namespace"]
fn a_black_hole_is_noticed_and_returned_from() {
    let Ok(namespace) = std::env::var(NAMESPACE) else {
        println!("skipped: tests/cluster/silence makes the namespace");
        return;
    };
    let (name, address) = namespace.split_once(' ').unwrap();
    let world = World::new(2, 2);
    let enter = ["ip", "netns", "exec", name];
    let peer = Peer::start(&enter, address, &world);
    let filter = |change: &str| {
        for chain in ["INPUT", "OUTPUT"] {
            let words = [&enter[1..], &["iptables", change, chain, "-j", "DROP"]].concat();
            assert!(Command::new("ip").args(words).status().unwrap().success());
        }
    };
    falls_silent("black hole", &peer, world, || filter("-I"), || filter("-D"));
}
