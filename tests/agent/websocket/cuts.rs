//! The connection is cut again and again while actions and news pass: nothing is lost, nothing comes twice.

#![allow(clippy::print_stdout, reason = "figures for people")]

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kubernetes_agent::backend::{self, protocol::Identity};
use kubernetes_agent::config::key_file::{self, Key};
use kubernetes_agent::config::url::{BackendUrl, WebSocketUrl};
use kubernetes_agent::health::Health;
use kubernetes_agent::metrics::Metrics;
use kubernetes_agent::net::proxy::ProxySettings;
use kubernetes_agent::secret::Secret;
use kubernetes_agent::thread::{Threads, stop};
use kubernetes_agent::websocket::channel::Channel;
use kubernetes_agent::websocket::frames::Outgoing;
use kubernetes_agent::websocket::{self, Target};
use sandbox::backend::{Backend, ChannelMode, Cut, Options};
use serde_json::json;

use crate::common::dice::Dice;
use crate::common::world::World;
use crate::common::{SOON, eventually, settles};

/// One cut, of a kind that the dice choose. A silence is noticed after a minute: the reset that follows it a little
/// later is that notice.
fn cut(backend: &Backend, dice: &mut Dice) {
    let close = |code| Cut::Close {
        code,
        reason: "cut".to_owned(),
    };
    let kind = match dice.below(8) {
        0 => Cut::Reset,
        1 => Cut::HangUp,
        2 => close(1000),
        3 => close(1001),
        4 => close(1011),
        5 => Cut::Goaway {
            reconnect_after_ms: 10,
            reason: "cut".to_owned(),
        },
        6 => {
            backend.down();
            eventually("the backend is up again", || backend.up().is_ok());
            return;
        }
        _ => {
            backend.cut_websockets(&Cut::Silence);
            thread::sleep(Duration::from_millis(dice.below(50)));
            Cut::Reset
        }
    };
    backend.cut_websockets(&kind);
}

/// Pods on each node that is drained: each makes a progress frame when it is settled.
const PODS: usize = 4;

/// Drains, one for each node and pod after pod, while the connection is cut at random moments, so many times. Each
/// cut has its share of the drains, so that they pass all the while; a share begins when the agent is connected.
fn drains_survive(drains: usize, cuts: usize) {
    let world = World::new(0, 0).hasty().with("MAX_CONCURRENT_DRAINS", "4");
    for node in 0..drains {
        world.node_with_pods(&format!("n-{node}"), PODS);
    }
    let mut agent = world.start();
    let mut dice = Dice(7);
    let mut nodes = world.nodes().into_iter();
    // A cut that the last connection has not noticed yet leaves it counted as connected for a moment.
    let connected_after = |cuts, connections: usize| {
        let connected = world.backend.wait_for(SOON, |it| {
            it.connected() == 1 && it.connections().len() > connections
        });
        assert!(connected, "connected again after {cuts} cuts");
    };
    let mut connections = 0;
    for n in 1..=cuts {
        connected_after(n - 1, connections);
        for node in nodes
            .by_ref()
            .take(drains * n / cuts - drains * (n - 1) / cuts)
        {
            world.issue(
                "drain_node",
                json!({"node": node, "max_parallel": 1, "force": true}),
            );
        }
        thread::sleep(Duration::from_millis(dice.below(60)));
        // Each cuts a connection of its own.
        connections = world.backend.connections().len();
        cut(&world.backend, &mut dice);
    }
    settles("all results", || match world.backend.results().len() {
        done if done == drains => Ok(()),
        done => Err(format!("{done} of {drains}")),
    });
    for action in world.backend.actions() {
        let result = action.result.as_ref().unwrap();
        assert_eq!(result["status"], "succeeded", "{result}");
        assert_eq!((action.claims_refused, action.results_refused), (0, 0));
    }
    world.assert_none_twice();
    let writes = world.cluster.server.audit().writes();
    let of = |resource| {
        let these = writes.iter().filter(|it| it.has_written());
        these.filter(|it| it.resource == resource).count()
    };
    assert_eq!((of("nodes"), of("pods/eviction")), (drains, drains * PODS));
    connected_after(cuts, connections);
    settles("all news", || {
        let of = |kind: &str| world.backend.frames_of(kind).len();
        match (of("result"), of("progress")) {
            it if it == (drains, drains * PODS) => Ok(()),
            it => Err(format!("results and progress {it:?}")),
        }
    });
    in_order(&world.backend);
    println!(
        "{cuts} cuts, {} connections, {} frames, of them {} progress and {} results",
        world.backend.connections().len(),
        world.backend.frames().len(),
        drains * PODS,
        drains
    );
    assert!(world.backend.connections().len() > cuts);
    agent.stop();
    world.backend.assert_no_violations();
}

/// Every number once and in order, no gap: what the backend stored was never sent as new again. So is what the
/// frames say of each drain.
fn in_order(backend: &Backend) {
    let frames = backend.frames();
    let numbers: Vec<u64> = frames.iter().map(|it| it.seq).collect();
    assert_eq!(numbers, (1..=frames.len() as u64).collect::<Vec<_>>());
    assert_eq!(backend.frames_of("gap"), []);
    let mut settled: HashMap<String, Vec<u64>> = HashMap::new();
    for frame in backend.frames_of("progress") {
        let id = frame.body["id"].as_str().unwrap().to_owned();
        let done = frame.body["done"].as_u64().unwrap();
        settled.entry(id).or_default().push(done);
    }
    for (id, settled) in settled {
        let all: Vec<u64> = (1..=PODS as u64).collect();
        assert_eq!(settled, all, "{id}");
    }
}

/// The component alone, in this process, so that a test can queue what it likes.
struct Alone {
    backend: Backend,
    channel: Arc<Channel>,
    threads: Threads,
    guard: stop::Guard,
}

impl Alone {
    fn start() -> Self {
        let options = Options::default();
        let key = Arc::new(Key::new(
            Secret::new(&*options.api_key),
            None,
            key_file::api_key,
        ));
        let backend = Backend::start(options).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let health = Health::new(metrics.clone());
        let channel = Channel::new(metrics.clone()).unwrap();
        let (guard, stop) = stop::pair();
        let url = BackendUrl::parse(&backend.url()).unwrap();
        let proxy = ProxySettings::default();
        let rest = backend::Client::new(url, key.clone(), None, &proxy, metrics.clone());
        let url = WebSocketUrl::parse(&backend.ws_url()).unwrap();
        let name = |it: &str| it.to_owned();
        let client = websocket::Client {
            channel: channel.clone(),
            target: Target::new(url, None, None).unwrap(),
            key,
            backend: Arc::new(rest.unwrap()),
            identity: Identity {
                cluster_id: name("c"),
                agent_id: name("a"),
                instance_id: name("i"),
                run_id: name("r"),
            },
            inbox: None,
            metrics,
            gathering: stop.clone(),
        };
        let component = health.component("websocket_client", websocket::PERIOD);
        let mut threads = Threads::new(stop.clone(), health);
        threads
            .spawn("websocket_client", move || client.run(&component, &stop))
            .unwrap();
        eventually("connected", || channel.is_connected());
        Self {
            backend,
            channel,
            threads,
            guard,
        }
    }

    fn progress(&self, from: u64, count: u64) {
        for done in from..from + count {
            self.channel.send(&Outgoing::Progress {
                id: "act",
                message: "on its way",
                done,
                total: 2000,
            });
        }
    }

    fn stop(mut self) {
        drop(self.guard);
        self.channel.wake();
        let late = self.threads.join_within(Duration::from_secs(5), |_| true);
        assert_eq!(late, Vec::<&str>::new());
    }
}

#[test]
fn nothing_is_lost_by_cuts() {
    drains_survive(60, 15);
}

/// Must show 2 in full; the pauses are kept to a hundredth.
#[test]
#[ignore = "takes minutes"]
fn nothing_is_lost_by_200_cuts() {
    drains_survive(500, 200);
}

#[test]
fn what_does_not_fit_the_ring_is_a_gap() {
    kubernetes_agent::test_hooks::hasten(100);
    let alone = Alone::start();
    alone.backend.set_channel_mode(ChannelMode {
        welcomes: false,
        ..ChannelMode::default()
    });
    alone.backend.cut_websockets(&Cut::HangUp);
    eventually("cut off", || !alone.channel.is_connected());
    alone.progress(0, 2000);
    alone.channel.send(&Outgoing::Result {
        id: "act",
        status: "succeeded",
        reason: None,
        message: "done",
    });
    alone.backend.set_channel_mode(ChannelMode::default());
    eventually("all that is left", || {
        alone.backend.frames_of("result").len() == 1
    });
    let frames = alone.backend.frames();
    assert_eq!(frames[0].body["type"], "gap");
    assert_eq!(frames[0].body["dropped"], 1002);
    assert_eq!(frames.len(), 1000);
    alone.backend.assert_no_violations();
    alone.stop();
}

#[test]
fn a_frame_leaves_at_once() {
    let alone = Alone::start();
    let mut took = Vec::new();
    for n in 0..50 {
        let began = std::time::Instant::now();
        alone.progress(n, 1);
        assert!(
            alone
                .backend
                .wait_for(SOON, |it| it.frames().len() as u64 == n + 1)
        );
        took.push(began.elapsed());
    }
    took.sort();
    println!(
        "from queue to backend: a quarter within {:?}, half within {:?}, all within {:?}",
        took[12], took[25], took[49]
    );
    // The quicker quarter counts: a machine that is busy with other things slows most of them down.
    assert!(took[12] < Duration::from_millis(50), "{took:?}");
    alone.stop();
}
