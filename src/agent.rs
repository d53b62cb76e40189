//! The agent put together: every queue and every thread on one screen.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crossbeam_channel::{bounded, select};
use log::{error, info, warn};

use crate::backend::batch::{Batcher, Sequence};
use crate::backend::protocol::Identity;
use crate::backend::uplink::{IN_FLIGHT, Uplink};
use crate::cluster::Store;
use crate::cluster::mirror::{NodeMirror, PodMirror, ReplicaSetMirror};
use crate::collector::Collector;
use crate::collector::events::{EventMirror, QUEUE};
use crate::collector::ledger::Ledger;
use crate::config::Config;
use crate::health::Health;
use crate::heartbeat::Heartbeat;
use crate::heartbeat::registration::Registration;
use crate::http::Endpoints;
use crate::kube::{Resource, reflector};
use crate::logging::MAIN;
use crate::metrics::Metrics;
use crate::resources::Resources;
use crate::signals::Signals;
use crate::thread::{Threads, stop};
use crate::{backend, ids, kube};

/// How long the components may take to end before the agent goes on without them.
const COMPONENTS: Duration = Duration::from_millis(1500);
/// How long what is gathered may take to be delivered.
const DELIVERY: Duration = Duration::from_millis(2200);
/// How long threads may take to notice that their connections were broken.
const STRAGGLERS: Duration = Duration::from_millis(300);

/// Why the agent ended by itself.
#[derive(Debug)]
pub enum Failure {
    /// Something that it cannot start without.
    Start(String),
    /// A component that failed too often.
    Hopeless(&'static str),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(why) => write!(f, "failed to start: {why}"),
            Self::Hopeless(name) => write!(f, "component {name} failed again and again"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(err: io::Error) -> Self {
        Self::Start(err.to_string())
    }
}

/// Runs the agent until a signal asks it to stop.
pub fn run(config: Config) -> Result<(), Failure> {
    let signals = Signals::listen()?;
    let metrics = Arc::new(Metrics::new().map_err(|err| Failure::Start(err.to_string()))?);
    let health = Health::new(Arc::clone(&metrics));
    // Two stops: what gathers ends first, then what delivers.
    let (guard, stop) = stop::pair();
    let (late_guard, late_stop) = stop::pair();
    let mut gatherers = Threads::new(stop.clone(), health.clone());
    let mut deliverers = Threads::new(late_stop.clone(), health.clone());

    let identity = Identity {
        cluster_id: config.cluster_id.clone(),
        agent_id: config.agent_id.clone(),
        instance_id: ids::uuid(),
        run_id: ids::uuid(),
    };
    let kube = Arc::new(kube::Client::new(
        config.kubernetes.clone(),
        stop.clone(),
        Arc::clone(&metrics),
    ));
    let backend = backend::Client::new(
        config.backend_url.clone(),
        Arc::clone(&config.api_key),
        config.backend_ca.as_deref(),
        &config.proxy,
        Arc::clone(&metrics),
    );
    let backend = Arc::new(backend.map_err(Failure::Start)?);
    let sequence = Arc::new(Sequence::default());
    let uplink = Uplink::new(
        Arc::clone(&backend),
        Arc::clone(&sequence),
        Arc::clone(&metrics),
    );
    let resources = Arc::new(Resources::new(&config.state_dir, Arc::clone(&metrics)));
    let registration = Registration::new(
        backend.clone(),
        kube.clone(),
        identity.clone(),
        health.clone(),
    );
    let registration = Arc::new(registration);
    let store = Store::new();
    let ledger = Arc::new(Ledger::open(&config.state_dir));
    let (event_out, events) = bounded(QUEUE);
    // One wish to poll is as good as many.
    let (poll_now, _polls) = bounded(1);

    let endpoints = Endpoints {
        port: config.http_port,
        health: health.clone(),
        metrics: metrics.clone(),
        resources: resources.clone(),
    };
    let component = health.component("http", Duration::from_secs(10));
    let its_stop = stop.clone();
    gatherers.spawn("http", move || endpoints.run(&component, &its_stop))?;

    watch(
        &mut gatherers,
        &health,
        &kube,
        "watch_pods",
        Resource::PODS,
        {
            let store = store.clone();
            move || PodMirror(store.clone())
        },
    )?;
    watch(
        &mut gatherers,
        &health,
        &kube,
        "watch_nodes",
        Resource::NODES,
        {
            let store = store.clone();
            move || NodeMirror::new(store.clone())
        },
    )?;
    watch(
        &mut gatherers,
        &health,
        &kube,
        "watch_replicasets",
        Resource::REPLICA_SETS,
        {
            let store = store.clone();
            move || ReplicaSetMirror(store.clone())
        },
    )?;
    watch(
        &mut gatherers,
        &health,
        &kube,
        "watch_events",
        Resource::EVENTS,
        {
            let (ledger, stop) = (ledger.clone(), stop.clone());
            move || EventMirror {
                ledger: ledger.clone(),
                out: event_out.clone(),
                stop: stop.clone(),
            }
        },
    )?;

    let collector = Collector {
        kube: kube.clone(),
        store: store.clone(),
        events,
        ledger: ledger.clone(),
        uplink: uplink.clone(),
        metrics: metrics.clone(),
        interval: config.collection_interval,
    };
    let component = health.component("collector", config.collection_interval);
    let (its_stop, head, batch_size) = (stop.clone(), identity.clone(), config.batch_size);
    gatherers.spawn("collector", move || {
        let mut batcher = Batcher::new(head.clone(), sequence.clone(), batch_size);
        collector.run(&mut batcher, &component, &its_stop)
    })?;

    let heartbeat = Heartbeat {
        backend: backend.clone(),
        identity,
        registration: registration.clone(),
        health: health.clone(),
        uplink: uplink.clone(),
        resources,
        store,
        kube: kube.clone(),
        metrics,
        interval: config.heartbeat_interval,
        sequence: AtomicU64::new(0),
        poll_now,
    };
    let component = health.component("heartbeat", config.heartbeat_interval);
    let its_stop = stop.clone();
    gatherers.spawn("heartbeat", move || heartbeat.run(&component, &its_stop))?;

    for name in UPLINKS {
        let component = health.component(name, Duration::from_secs(30));
        let (uplink, its_stop) = (uplink.clone(), late_stop.clone());
        deliverers.spawn(name, move || uplink.run(&component, &its_stop))?;
    }

    let outcome = select! {
        recv(signals.received()) -> signal => {
            info!(target: MAIN, "Received {}, stopping", signal.unwrap_or("a signal"));
            Ok(())
        }
        recv(gatherers.hopeless()) -> name => Err(Failure::Hopeless(name.unwrap_or("main"))),
        recv(deliverers.hopeless()) -> name => Err(Failure::Hopeless(name.unwrap_or("main"))),
    };

    drop(guard);
    kube.close();
    gatherers.join_within(COMPONENTS, |_| true);
    drop(late_guard);
    deliverers.join_within(DELIVERY, |_| true);
    backend.interrupt();
    let mut late = gatherers.join_within(STRAGGLERS, |_| true);
    late.extend(deliverers.join_within(STRAGGLERS, |_| true));
    if !late.is_empty() {
        warn!(target: MAIN, "Stopping without waiting for {}", late.join(", "));
    }
    if let Err(err) = ledger.save() {
        error!(target: MAIN, "Failed to remember the delivered events: {err}");
    }
    registration.deregister();
    info!(target: MAIN, "Agent stopped");
    outcome
}

/// One thread for each metrics request in flight.
const UPLINKS: [&str; IN_FLIGHT] = ["uplink_1", "uplink_2"];

/// A thread that keeps a mirror of `resource`.
fn watch<M: reflector::Mirror + 'static>(
    threads: &mut Threads,
    health: &Arc<Health>,
    kube: &Arc<kube::Client>,
    name: &'static str,
    resource: Resource,
    mirror: impl Fn() -> M + Send + 'static,
) -> io::Result<()> {
    let component = health.component(name, reflector::QUIET);
    let kube = Arc::clone(kube);
    threads.spawn(name, move || {
        reflector::run(&kube, &resource, &mut mirror(), &component)
    })
}
