//! The threads that run while this replica leads. Each term starts them anew; the journal, the queue of orders, the
//! results and the samples on their way are no part of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::failure::Failure;
use super::group::Group;
use super::shared::Shared;
use crate::actuator::inbox::Inbox;
use crate::actuator::worker::WORKERS;
use crate::backend::batch::Batcher;
use crate::collector::Collector;
use crate::poller::Poller;
use crate::websocket::{self, Target};
use crate::{backend, kube};

const COLLECTOR: &str = "collector";
const POLLER: &str = "poller";
const WEBSOCKET: &str = "websocket_client";
const ACTUATORS: [&str; WORKERS] = ["actuator", "actuator_2", "actuator_3", "actuator_4"];

/// A term under way. Its groups end in this order.
pub(super) struct Term {
    pub(super) number: u64,
    /// Takes in usage and orders.
    pub(super) gather: Group,
    /// Carries out orders.
    pub(super) act: Group,
    /// Tells of them.
    pub(super) talk: Group,
    /// What the groups are connected by, so that ending the term breaks nothing else.
    pub(super) kube: Arc<kube::Client>,
    pub(super) acting_kube: Arc<kube::Client>,
    pub(super) backend: Arc<backend::Client>,
}

/// Every component of a term waits for one.
pub(super) fn announce(shared: &Shared) {
    let of_actions = [POLLER].into_iter().chain(ACTUATORS);
    let of_actions = of_actions.filter(|_| shared.inbox.is_some());
    for name in [COLLECTOR, WEBSOCKET].into_iter().chain(of_actions) {
        shared.health.stand_by(name);
    }
}

impl Term {
    pub(super) fn start(shared: &Shared, number: u64) -> Result<Self, Failure> {
        let (gather, act) = (Group::new(&shared.health), Group::new(&shared.health));
        let fence = shared.leadership.fence(number);
        let mut term = Self {
            number,
            kube: Arc::new(shared.kube(gather.signal())),
            acting_kube: Arc::new(shared.kube(act.signal()).writing(fence)),
            backend: Arc::new(shared.backend.apart()),
            gather,
            act,
            talk: Group::new(&shared.health),
        };
        shared.backlog.lead();
        term.collect(shared)?;
        if let Some(inbox) = &shared.inbox {
            term.act(shared, inbox)?;
            term.poll(shared, inbox)?;
        }
        term.talk(shared)?;
        Ok(term)
    }

    fn collect(&mut self, shared: &Shared) -> io::Result<()> {
        let collector = Collector {
            kube: self.kube.clone(),
            store: shared.store.clone(),
            backlog: shared.backlog.clone(),
            ledger: shared.ledger.clone(),
            uplink: shared.uplink.clone(),
            metrics: shared.metrics.clone(),
            live: shared.live.clone(),
            changed: shared.changed.clone(),
        };
        let (identity, sequence) = (shared.identity.clone(), shared.sequence.clone());
        let batch_size = shared.config.batch_size;
        self.gather.spawn(
            &shared.health,
            COLLECTOR,
            shared.config.collection_interval,
            move |component, stop| {
                let mut batcher = Batcher::new(identity.clone(), sequence.clone(), batch_size);
                collector.run(&mut batcher, component, stop)
            },
        )
    }

    fn act(&mut self, shared: &Shared, inbox: &Arc<Inbox>) -> io::Result<()> {
        let fence = shared.leadership.fence(self.number);
        let worker = Arc::new(shared.worker(inbox, &self.acting_kube, fence, &self.backend));
        for name in ACTUATORS {
            let worker = worker.clone();
            self.act.spawn(
                &shared.health,
                name,
                Duration::from_mins(1),
                move |component, stop| worker.run(component, stop),
            )?;
        }
        Ok(())
    }

    fn poll(&mut self, shared: &Shared, inbox: &Arc<Inbox>) -> io::Result<()> {
        let poller = Poller {
            backend: self.backend.clone(),
            inbox: inbox.clone(),
            cluster_id: shared.config.cluster_id.clone(),
            agent_id: shared.config.agent_id.clone(),
            live: shared.live.clone(),
            channel: shared.channel.clone(),
            now: shared.poll_now.1.clone(),
        };
        self.gather.spawn(
            &shared.health,
            POLLER,
            Duration::from_mins(1),
            move |component, stop| poller.run(component, stop),
        )
    }

    /// The WebSocket: it takes orders as long as anything does, and brings news for as long as there are any.
    fn talk(&mut self, shared: &Shared) -> Result<(), Failure> {
        let config = &shared.config;
        let url = config.backend_ws_url.clone();
        let proxy = config.proxy.for_host(url.host(), url.port()).cloned();
        let client = websocket::Client {
            channel: shared.channel.clone(),
            target: Target::new(url, proxy, config.backend_ca.as_deref())
                .map_err(Failure::Start)?,
            key: config.api_key.clone(),
            backend: self.backend.clone(),
            identity: shared.identity.clone(),
            inbox: shared.inbox.clone(),
            metrics: shared.metrics.clone(),
            gathering: self.gather.signal().clone(),
        };
        self.talk.spawn(
            &shared.health,
            WEBSOCKET,
            websocket::PERIOD,
            move |component, stop| client.run(component, stop),
        )?;
        Ok(())
    }
}
