//! The threads that run for as long as the process does, whether this replica leads or not.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::Sender;

use super::failure::Failure;
use super::group::Group;
use super::shared::Shared;
use super::term;
use crate::actuator::reporter::Outbox;
use crate::backend::uplink::IN_FLIGHT;
use crate::capabilities;
use crate::cluster::mirror::{NodeMirror, PodMirror, ReplicaSetMirror};
use crate::collector::events::EventMirror;
use crate::health::{Component, Health};
use crate::heartbeat::Heartbeat;
use crate::heartbeat::registration::Registration;
use crate::http::Endpoints;
use crate::kube::reflector::{self, Mirror};
use crate::kube::{self, Resource};
use crate::leader::elector::Elector;
use crate::leader::{Settings, State};
use crate::metrics::Metrics;
use crate::resources::Resources;
use crate::state_dir::Mender;
use crate::thread::waker::Waker;

const UPLINKS: [&str; IN_FLIGHT] = ["uplink_1", "uplink_2"];

/// These threads, in the groups that end one after the other.
pub(super) struct Standing {
    /// Keeps what is known of the cluster warm, and tells how it goes.
    pub(super) watch: Group,
    /// Delivers what was gathered and done.
    pub(super) deliver: Group,
    /// Holds the Lease until all of that is over.
    pub(super) elect: Group,
    /// Calls the thread that answers the probes.
    pub(super) probes: Arc<Waker>,
}

/// All of them at work.
pub(super) struct Started {
    pub(super) groups: Standing,
    pub(super) kube: Arc<kube::Client>,
    pub(super) registration: Arc<Registration>,
    pub(super) elector: Option<Arc<Elector>>,
}

impl Standing {
    pub(super) fn new(health: &Arc<Health>) -> io::Result<Self> {
        Ok(Self {
            watch: Group::new(health),
            deliver: Group::new(health),
            elect: Group::new(health),
            probes: Arc::new(Waker::new()?),
        })
    }

    /// First of all: the probes are answered while STATE_DIR is waited for.
    pub(super) fn answer_probes(
        &mut self,
        port: u16,
        health: &Arc<Health>,
        metrics: &Arc<Metrics>,
        resources: &Arc<Resources>,
    ) -> io::Result<()> {
        let endpoints = Endpoints {
            port,
            health: health.clone(),
            metrics: metrics.clone(),
            resources: resources.clone(),
            listener: OnceLock::new(),
            waker: self.probes.clone(),
        };
        self.watch.spawn(
            health,
            "http",
            Duration::from_secs(10),
            move |component, stop| endpoints.run(component, stop),
        )
    }

    pub(super) fn start(
        mut self,
        shared: &Shared,
        resources: Arc<Resources>,
        mended: &Sender<()>,
    ) -> Result<Started, Failure> {
        term::announce(shared);
        let kube = Arc::new(shared.kube(self.watch.signal()));
        let elector = match &shared.config.leader_election {
            Some(settings) => Some(self.elect(shared, settings.clone(), &kube)?),
            None => None,
        };
        self.review(shared, &kube)?;
        self.mirror(shared, &kube)?;
        match &shared.inbox {
            Some(_) => self.finish(shared, &kube)?,
            None => self.mend(shared, mended)?,
        }
        self.report(shared)?;
        let registration = self.beat(shared, &kube, resources)?;
        Ok(Started {
            groups: self,
            kube,
            registration,
            elector,
        })
    }

    fn elect(
        &mut self,
        shared: &Shared,
        settings: Settings,
        kube: &kube::Client,
    ) -> io::Result<Arc<Elector>> {
        // STATE_DIR is locked by one process, so this is one process too, and the next of the same journal may go on
        // at once with the Lease of one that was killed.
        let identity = format!(
            "{}_{}",
            shared.identity.agent_id, shared.identity.instance_id
        );
        let elector = Arc::new(Elector::new(
            settings,
            identity,
            shared.inbox.is_some(),
            kube,
            self.elect.signal(),
            shared.leadership.clone(),
            shared.backlog.clone(),
        ));
        let running = elector.clone();
        self.elect.spawn(
            &shared.health,
            "elector",
            Duration::from_mins(1),
            move |component, stop| running.run(component, stop),
        )?;
        Ok(elector)
    }

    /// What the cluster permits.
    fn review(&mut self, shared: &Shared, kube: &Arc<kube::Client>) -> io::Result<()> {
        let (capabilities, kube) = (shared.capabilities.clone(), kube.clone());
        let (name, period) = ("permissions", capabilities::PERIOD);
        self.watch
            .spawn(&shared.health, name, period, move |component, stop| {
                capabilities.run(&kube, component, stop)
            })
    }

    /// The cluster as it is.
    fn mirror(&mut self, shared: &Shared, kube: &Arc<kube::Client>) -> io::Result<()> {
        let store = shared.store.clone();
        self.watch(shared, kube, "watch_pods", Resource::PODS, move |_| {
            PodMirror(store.clone())
        })?;
        let store = shared.store.clone();
        self.watch(shared, kube, "watch_nodes", Resource::NODES, move |_| {
            NodeMirror::new(store.clone())
        })?;
        let store = shared.store.clone();
        let (name, sets) = ("watch_replicasets", Resource::REPLICA_SETS);
        self.watch(shared, kube, name, sets, move |_| {
            ReplicaSetMirror(store.clone())
        })?;
        let (ledger, backlog) = (shared.ledger.clone(), shared.backlog.clone());
        let stop = self.watch.signal().clone();
        self.watch(
            shared,
            kube,
            "watch_events",
            Resource::EVENTS,
            move |component| EventMirror {
                ledger: ledger.clone(),
                backlog: backlog.clone(),
                stop: stop.clone(),
                component: component.clone(),
            },
        )
    }

    fn watch<M: Mirror + 'static>(
        &mut self,
        shared: &Shared,
        kube: &Arc<kube::Client>,
        name: &'static str,
        resource: Resource,
        mirror: impl Fn(&Component) -> M + Send + 'static,
    ) -> io::Result<()> {
        let (kube, health) = (kube.clone(), &shared.health);
        self.watch
            .spawn(health, name, reflector::QUIET, move |component, _| {
                reflector::run(&kube, resource, &mut mirror(component), component)
            })
    }

    /// What a run before this one left, and the results of all.
    fn finish(&mut self, shared: &Shared, kube: &Arc<kube::Client>) -> io::Result<()> {
        let Some(inbox) = &shared.inbox else {
            return Ok(());
        };
        // Of no term, so that it writes nothing to the cluster.
        let fence = shared.leadership.fence(0);
        let worker = shared.worker(inbox, kube, fence, &shared.backend);
        if let Some(recovered) = shared.recovered() {
            worker.recover(recovered);
        }
        let leadership = shared.leadership.clone();
        self.watch.spawn(
            &shared.health,
            "recovery",
            Duration::from_mins(2),
            move |component, stop| {
                worker.run_standby(|| leadership.state() == State::Standby, component, stop)
            },
        )?;
        let outbox = Outbox {
            inbox: inbox.clone(),
            backend: shared.backend.clone(),
            metrics: shared.metrics.clone(),
            results: shared.results.1.clone(),
        };
        self.deliver.spawn(
            &shared.health,
            "reporter",
            Duration::from_mins(1),
            move |component, stop| outbox.run(component, stop),
        )
    }

    /// In place of actions, where STATE_DIR cannot be used.
    fn mend(&mut self, shared: &Shared, mended: &Sender<()>) -> io::Result<()> {
        let mender = Mender {
            folder: shared.config.state_dir.clone(),
            mended: mended.clone(),
        };
        self.watch.spawn(
            &shared.health,
            "actuator",
            Duration::from_mins(1),
            move |component, stop| mender.run(component, stop),
        )
    }

    /// Samples on their way to the backend.
    fn report(&mut self, shared: &Shared) -> io::Result<()> {
        for name in UPLINKS {
            let uplink = shared.uplink.clone();
            self.deliver.spawn(
                &shared.health,
                name,
                Duration::from_secs(30),
                move |component, stop| uplink.run(component, stop),
            )?;
        }
        Ok(())
    }

    fn beat(
        &mut self,
        shared: &Shared,
        kube: &Arc<kube::Client>,
        resources: Arc<Resources>,
    ) -> io::Result<Arc<Registration>> {
        let registration = Arc::new(Registration::new(
            shared.backend.clone(),
            kube.clone(),
            shared.identity.clone(),
            shared.capabilities.clone(),
            shared.health.clone(),
        ));
        let heartbeat = Heartbeat {
            backend: shared.backend.clone(),
            identity: shared.identity.clone(),
            registration: registration.clone(),
            health: shared.health.clone(),
            uplink: shared.uplink.clone(),
            resources,
            store: shared.store.clone(),
            kube: kube.clone(),
            inbox: shared.inbox.clone(),
            channel: shared.channel.clone(),
            metrics: shared.metrics.clone(),
            interval: shared.config.heartbeat_interval,
            sequence: AtomicU64::new(0),
            poll_now: shared.poll_now.0.clone(),
        };
        self.watch.spawn(
            &shared.health,
            "heartbeat",
            shared.config.heartbeat_interval,
            move |component, stop| heartbeat.run(component, stop),
        )?;
        Ok(registration)
    }
}
