//! The agent put together: every queue and every thread on one screen.

mod failure;
mod group;

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{error, info, warn};

use crate::actions::limiter::EvictionLimiter;
use crate::actions::settings::Settings;
use crate::actions::verify;
use crate::actuator::event::Recorder;
use crate::actuator::inbox::Inbox;
use crate::actuator::queue::Queue;
use crate::actuator::reporter::Outbox;
use crate::actuator::worker::{WORKERS, Worker};
use crate::backend::batch::{Batcher, Sequence};
use crate::backend::protocol::Identity;
use crate::backend::uplink::{IN_FLIGHT, Uplink};
use crate::capabilities::{self, Capabilities};
use crate::cluster::Store;
use crate::cluster::mirror::{NodeMirror, PodMirror, ReplicaSetMirror};
use crate::collector::Collector;
use crate::collector::events::{EventMirror, QUEUE};
use crate::collector::ledger::Ledger;
use crate::config::Config;
use crate::health::Health;
use crate::heartbeat::Heartbeat;
use crate::heartbeat::registration::{self, Registration};
use crate::http::Endpoints;
use crate::journal::{Journal, Recovered};
use crate::kube::reflector::{self, Mirror};
use crate::kube::refusals::Refusals;
use crate::kube::{self, Resource};
use crate::logging::MAIN;
use crate::metrics::Metrics;
use crate::poller::Poller;
use crate::resources::Resources;
use crate::settings::{Live, Local};
use crate::signals::Signals;
use crate::state_dir::{Mender, StateDir};
use crate::thread::stop::Stop;
use crate::websocket::channel::Channel;
use crate::websocket::{self, Target};
use crate::{backend, ids};

pub use failure::Failure;
use group::Group;

/// How long the components that gather may take to end before the agent goes on without them.
const GATHERING: Duration = Duration::from_millis(1500);
/// How long actions under way may take to come to a safe point.
const ACTING: Duration = Duration::from_secs(5);
/// How long they may take to end once their connections were broken.
const ABANDONED: Duration = Duration::from_millis(500);
/// How long what is gathered may take to be delivered.
const DELIVERY: Duration = Duration::from_millis(2200);
/// How long threads may take to notice that their connections were broken.
const STRAGGLERS: Duration = Duration::from_millis(300);

const UPLINKS: [&str; IN_FLIGHT] = ["uplink_1", "uplink_2"];
const ACTUATORS: [&str; WORKERS] = ["actuator", "actuator_2", "actuator_3", "actuator_4"];

/// What the parts of the agent share.
#[derive(Clone)]
struct Shared {
    config: Arc<Config>,
    identity: Identity,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    backend: Arc<backend::Client>,
    uplink: Arc<Uplink>,
    sequence: Arc<Sequence>,
    store: Arc<Store>,
    ledger: Arc<Ledger>,
    live: Arc<Live>,
    channel: Arc<Channel>,
    refusals: Arc<Refusals>,
    capabilities: Arc<Capabilities>,
}

/// Runs the agent until a signal asks it to stop.
pub fn run(config: Config) -> Result<(), Failure> {
    let signals = Signals::listen()?;
    let metrics = Arc::new(Metrics::new().map_err(|err| Failure::Start(err.to_string()))?);
    let health = Health::new(metrics.clone());
    registration::pending(&health);
    // Three stops: what gathers ends first, then what acts, then what delivers.
    let mut gather = Group::new(&health);
    let mut act = Group::new(&health);
    let mut deliver = Group::new(&health);

    let resources = Arc::new(Resources::new(&config.state_dir, metrics.clone()));
    let endpoints = Endpoints {
        port: config.http_port,
        health: health.clone(),
        metrics: metrics.clone(),
        resources: resources.clone(),
        listener: OnceLock::new(),
    };
    gather.spawn(
        &health,
        "http",
        Duration::from_secs(10),
        move |component, stop| endpoints.run(component, stop),
    )?;

    let Some(state) = StateDir::open(&config.state_dir, &health, signals.received()) else {
        return Ok(());
    };
    // One wish is as good as many.
    let (poll_now, polls) = bounded(1);
    let (changed_out, changed) = bounded(1);
    let (mended_out, mended) = bounded(1);
    let news = vec![poll_now.clone(), changed_out];
    let shared = Shared::new(config, state.instance_id(), metrics, health, news)?;
    let kube = shared.kube(&gather.stop);
    let acting_kube = shared.kube(&deliver.stop);
    let registration = Registration::new(
        shared.backend.clone(),
        kube.clone(),
        shared.identity.clone(),
        shared.capabilities.clone(),
        shared.health.clone(),
    );
    let registration = Arc::new(registration);

    shared.permissions(&mut gather, &kube)?;
    shared.observe(&mut gather, &kube, changed)?;
    let inbox = match state {
        StateDir::Open(journal, recovered) => Some(shared.act(
            [&mut gather, &mut act, &mut deliver],
            &acting_kube,
            *journal,
            recovered,
            polls,
        )?),
        StateDir::Unusable { .. } => {
            shared.mend(&mut gather, mended_out)?;
            None
        }
    };
    shared.report(&mut deliver)?;
    shared.talk(&gather, &mut deliver, inbox.clone())?;
    shared.beat(
        &mut gather,
        &kube,
        registration.clone(),
        resources,
        inbox,
        poll_now,
    )?;

    let outcome = select! {
        recv(signals.received()) -> signal => {
            info!(target: MAIN, "Received {}, stopping", signal.unwrap_or("a signal"));
            Ok(())
        }
        recv(gather.threads.hopeless()) -> name => Err(Failure::Hopeless(name.unwrap_or("main"))),
        recv(act.threads.hopeless()) -> name => Err(Failure::Hopeless(name.unwrap_or("main"))),
        recv(deliver.threads.hopeless()) -> name => Err(Failure::Hopeless(name.unwrap_or("main"))),
        recv(mended) -> _ => Err(Failure::StateDirMended),
    };
    shared.stop([gather, act, deliver], &[kube, acting_kube], &registration);
    outcome
}

impl Shared {
    fn new(
        config: Config,
        instance_id: String,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        changed: Vec<Sender<()>>,
    ) -> Result<Self, Failure> {
        let channel = Channel::new(metrics.clone())?;
        health.tell(channel.clone());
        let local = Local {
            collection_interval: config.collection_interval,
            action_poll_interval: config.action_poll_interval,
            batch_size: config.batch_size,
            log_level: config.log_level,
        };
        let backend = backend::Client::new(
            config.backend_url.clone(),
            config.api_key.clone(),
            config.backend_ca.as_deref(),
            &config.proxy,
            metrics.clone(),
        );
        let backend = Arc::new(backend.map_err(Failure::Start)?);
        let sequence = Arc::new(Sequence::default());
        let identity = Identity {
            cluster_id: config.cluster_id.clone(),
            agent_id: config.agent_id.clone(),
            instance_id,
            run_id: ids::uuid(),
        };
        let refusals = Arc::new(Refusals::default());
        let capabilities = Capabilities::new(
            &config.policy.policy,
            refusals.clone(),
            health.clone(),
            metrics.clone(),
        );
        Ok(Self {
            refusals,
            capabilities: Arc::new(capabilities),
            identity,
            uplink: Uplink::new(backend.clone(), sequence.clone(), metrics.clone()),
            store: Store::new(),
            ledger: Arc::new(Ledger::open(&config.state_dir)),
            live: Live::new(local, changed),
            channel,
            config: Arc::new(config),
            metrics,
            health,
            backend,
            sequence,
        })
    }

    fn kube(&self, stop: &Stop) -> Arc<kube::Client> {
        let access = self.config.kubernetes.clone();
        let client = kube::Client::new(access, stop.clone(), self.metrics.clone());
        Arc::new(client.telling(self.refusals.clone()))
    }

    /// What the cluster permits.
    fn permissions(&self, gather: &mut Group, kube: &Arc<kube::Client>) -> io::Result<()> {
        let (capabilities, kube) = (self.capabilities.clone(), kube.clone());
        let period = capabilities::PERIOD;
        gather.spawn(
            &self.health,
            "permissions",
            period,
            move |component, stop| capabilities.run(&kube, component, stop),
        )
    }

    /// The cluster as it is: watches, and the collector that reads usage.
    fn observe(
        &self,
        gather: &mut Group,
        kube: &Arc<kube::Client>,
        changed: Receiver<()>,
    ) -> io::Result<()> {
        let store = self.store.clone();
        self.watch(gather, kube, "watch_pods", Resource::PODS, move || {
            PodMirror(store.clone())
        })?;
        let store = self.store.clone();
        self.watch(gather, kube, "watch_nodes", Resource::NODES, move || {
            NodeMirror::new(store.clone())
        })?;
        let store = self.store.clone();
        self.watch(
            gather,
            kube,
            "watch_replicasets",
            Resource::REPLICA_SETS,
            move || ReplicaSetMirror(store.clone()),
        )?;
        let (out, events) = bounded(QUEUE);
        let (ledger, stop) = (self.ledger.clone(), gather.stop.clone());
        self.watch(gather, kube, "watch_events", Resource::EVENTS, move || {
            EventMirror {
                ledger: ledger.clone(),
                out: out.clone(),
                stop: stop.clone(),
            }
        })?;
        let collector = Collector {
            kube: kube.clone(),
            store: self.store.clone(),
            events,
            ledger: self.ledger.clone(),
            uplink: self.uplink.clone(),
            metrics: self.metrics.clone(),
            live: self.live.clone(),
            changed,
        };
        let (identity, sequence) = (self.identity.clone(), self.sequence.clone());
        let batch_size = self.config.batch_size;
        gather.spawn(
            &self.health,
            "collector",
            self.config.collection_interval,
            move |component, stop| {
                let mut batcher = Batcher::new(identity.clone(), sequence.clone(), batch_size);
                collector.run(&mut batcher, component, stop)
            },
        )
    }

    fn watch<M: Mirror + 'static>(
        &self,
        gather: &mut Group,
        kube: &Arc<kube::Client>,
        name: &'static str,
        resource: Resource,
        mirror: impl Fn() -> M + Send + 'static,
    ) -> io::Result<()> {
        let kube = kube.clone();
        gather.spawn(&self.health, name, reflector::QUIET, move |component, _| {
            reflector::run(&kube, resource, &mut mirror(), component)
        })
    }

    /// Actions: polled, executed by the workers, their results brought home.
    fn act(
        &self,
        [gather, act, deliver]: [&mut Group; 3],
        kube: &Arc<kube::Client>,
        journal: Journal,
        recovered: Recovered,
        polls: Receiver<()>,
    ) -> io::Result<Arc<Inbox>> {
        let config = &self.config;
        let identity = verify::Identity {
            cluster_id: config.cluster_id.clone(),
            agent_id: config.agent_id.clone(),
        };
        let max_drains = config.policy.policy.max_concurrent_drains.get() as usize;
        self.restore_settings(&journal);
        let inbox = Arc::new(Inbox::new(
            journal,
            Queue::new(WORKERS, max_drains),
            identity,
            config.secret_key.clone(),
            config.previous_secret_key.clone(),
            self.live.clone(),
            self.metrics.clone(),
        ));
        // A result that waits is found by looking; one token is enough to look at once.
        let (results_out, results) = bounded(1);
        let worker = Arc::new(Worker {
            inbox: inbox.clone(),
            kube: kube.clone(),
            backend: self.backend.clone(),
            identity: self.identity.clone(),
            policy: config.policy.policy.clone(),
            capabilities: self.capabilities.clone(),
            limiter: Mutex::new(EvictionLimiter::new(config.policy.evictions_per_minute)),
            own_pod: config.own_pod.clone(),
            events: Recorder::new(kube.clone()),
            metrics: self.metrics.clone(),
            live: self.live.clone(),
            channel: self.channel.clone(),
            results: results_out,
        });
        worker.recover(recovered);
        for name in ACTUATORS {
            let worker = worker.clone();
            act.spawn(
                &self.health,
                name,
                Duration::from_mins(1),
                move |component, stop| worker.run(component, stop),
            )?;
        }
        let outbox = Outbox {
            inbox: inbox.clone(),
            backend: self.backend.clone(),
            metrics: self.metrics.clone(),
            results,
        };
        deliver.spawn(
            &self.health,
            "reporter",
            Duration::from_mins(1),
            move |component, stop| outbox.run(component, stop),
        )?;
        let poller = Poller {
            backend: self.backend.clone(),
            inbox: inbox.clone(),
            cluster_id: config.cluster_id.clone(),
            agent_id: config.agent_id.clone(),
            live: self.live.clone(),
            channel: self.channel.clone(),
            now: polls,
        };
        gather.spawn(
            &self.health,
            "poller",
            Duration::from_mins(1),
            move |component, stop| poller.run(component, stop),
        )?;
        Ok(inbox)
    }

    /// Puts the settings in force that were so before the restart.
    fn restore_settings(&self, journal: &Journal) {
        let (version, Some(json)) = journal.config() else {
            return;
        };
        match Settings::from_json(json) {
            Some(settings) => {
                info!(target: MAIN, "Settings version {version} are in force: {json}");
                self.live.apply(settings);
            }
            None => {
                error!(target: MAIN, "Settings version {version} in STATE_DIR cannot be read; the local ones hold");
            }
        }
    }

    /// In place of actions, where STATE_DIR cannot be used.
    fn mend(&self, gather: &mut Group, mended: Sender<()>) -> io::Result<()> {
        let mender = Mender {
            folder: self.config.state_dir.clone(),
            mended,
        };
        gather.spawn(
            &self.health,
            "actuator",
            Duration::from_mins(1),
            move |component, stop| mender.run(component, stop),
        )
    }

    /// Samples on their way to the backend.
    fn report(&self, deliver: &mut Group) -> io::Result<()> {
        for name in UPLINKS {
            let uplink = self.uplink.clone();
            deliver.spawn(
                &self.health,
                name,
                Duration::from_secs(30),
                move |component, stop| uplink.run(component, stop),
            )?;
        }
        Ok(())
    }

    /// The WebSocket: it takes orders as long as anything does, and brings news for as long as there are any.
    fn talk(
        &self,
        gather: &Group,
        deliver: &mut Group,
        inbox: Option<Arc<Inbox>>,
    ) -> Result<(), Failure> {
        let config = &self.config;
        let url = config.backend_ws_url.clone();
        let proxy = config.proxy.for_host(url.host(), url.port()).cloned();
        let client = websocket::Client {
            channel: self.channel.clone(),
            target: Target::new(url, proxy, config.backend_ca.as_deref())
                .map_err(Failure::Start)?,
            key: config.api_key.clone(),
            backend: self.backend.clone(),
            identity: self.identity.clone(),
            inbox,
            metrics: self.metrics.clone(),
            gathering: gather.stop.clone(),
        };
        deliver.spawn(
            &self.health,
            "websocket_client",
            websocket::PERIOD,
            move |component, stop| client.run(component, stop),
        )?;
        Ok(())
    }

    fn beat(
        &self,
        gather: &mut Group,
        kube: &Arc<kube::Client>,
        registration: Arc<Registration>,
        resources: Arc<Resources>,
        inbox: Option<Arc<Inbox>>,
        poll_now: Sender<()>,
    ) -> io::Result<()> {
        let heartbeat = Heartbeat {
            backend: self.backend.clone(),
            identity: self.identity.clone(),
            registration,
            health: self.health.clone(),
            uplink: self.uplink.clone(),
            resources,
            store: self.store.clone(),
            kube: kube.clone(),
            inbox,
            channel: self.channel.clone(),
            metrics: self.metrics.clone(),
            interval: self.config.heartbeat_interval,
            sequence: AtomicU64::new(0),
            poll_now,
        };
        gather.spawn(
            &self.health,
            "heartbeat",
            self.config.heartbeat_interval,
            move |component, stop| heartbeat.run(component, stop),
        )
    }

    /// Ends all groups in their order, delivers what it can, and deregisters.
    fn stop(
        &self,
        [mut gather, mut act, mut deliver]: [Group; 3],
        kubes: &[Arc<kube::Client>; 2],
        registration: &Registration,
    ) {
        drop(gather.guard);
        drop(act.guard);
        kubes[0].close();
        gather.threads.join_within(GATHERING, |_| true);
        act.threads.join_within(ACTING, |_| true);
        // A write that still waits for its answer is given up, so that its action gets a result while it can be sent.
        kubes[1].close();
        act.threads.join_within(ABANDONED, |_| true);
        drop(deliver.guard);
        self.channel.wake();
        deliver.threads.join_within(DELIVERY, |_| true);
        self.backend.interrupt();
        let mut late = Vec::new();
        for group in [&mut gather.threads, &mut act.threads, &mut deliver.threads] {
            late.extend(group.join_within(STRAGGLERS, |_| true));
        }
        if !late.is_empty() {
            warn!(target: MAIN, "Stopping without waiting for {}", late.join(", "));
        }
        if let Err(err) = self.ledger.save() {
            error!(target: MAIN, "Failed to remember the delivered events: {err}");
        }
        registration.deregister();
        info!(target: MAIN, "Agent stopped");
    }
}
