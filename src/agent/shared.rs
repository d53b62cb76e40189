//! What the parts of the agent have in common, however often it leads.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{error, info};

use super::failure::Failure;
use crate::actions::limiter::EvictionLimiter;
use crate::actions::settings::Settings;
use crate::actions::verify;
use crate::actuator::event::Recorder;
use crate::actuator::inbox::Inbox;
use crate::actuator::queue::Queue;
use crate::actuator::worker::{WORKERS, Worker};
use crate::backend::batch::Sequence;
use crate::backend::protocol::Identity;
use crate::backend::uplink::Uplink;
use crate::capabilities::Capabilities;
use crate::cluster::Store;
use crate::collector::backlog::Backlog;
use crate::collector::ledger::Ledger;
use crate::config::Config;
use crate::health::Health;
use crate::journal::{Journal, Recovered};
use crate::kube::fence::Fence;
use crate::kube::refusals::Refusals;
use crate::leader::Leadership;
use crate::logging::MAIN;
use crate::metrics::Metrics;
use crate::settings::{Live, Local};
use crate::state_dir::StateDir;
use crate::thread::stop::Stop;
use crate::websocket::channel::Channel;
use crate::{backend, ids, kube};

/// What the parts of the agent share.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) identity: Identity,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) backend: Arc<backend::Client>,
    pub(super) uplink: Arc<Uplink>,
    pub(super) sequence: Arc<Sequence>,
    pub(super) store: Arc<Store>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) live: Arc<Live>,
    pub(super) channel: Arc<Channel>,
    pub(super) limiter: Arc<Mutex<EvictionLimiter>>,
    pub(super) leadership: Arc<Leadership>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) capabilities: Arc<Capabilities>,
    /// Orders and results; none where STATE_DIR cannot be used.
    pub(super) inbox: Option<Arc<Inbox>>,
    /// What a run before this one left in the journal; taken once.
    recovered: Mutex<Option<Recovered>>,
    /// One wish is as good as many: poll now, the settings have changed, a result waits.
    pub(super) poll_now: (Sender<()>, Receiver<()>),
    pub(super) changed: Receiver<()>,
    pub(super) results: (Sender<()>, Receiver<()>),
}

impl Shared {
    pub(super) fn new(
        config: Config,
        state: StateDir,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Result<Self, Failure> {
        let channel = Channel::new(metrics.clone())?;
        health.tell(channel.clone());
        let backend = backend::Client::new(
            config.backend_url.clone(),
            config.api_key.clone(),
            config.backend_ca.as_deref(),
            &config.proxy,
            metrics.clone(),
        );
        let backend = Arc::new(backend.map_err(Failure::Start)?);
        let identity = Identity {
            cluster_id: config.cluster_id.clone(),
            agent_id: config.agent_id.clone(),
            instance_id: state.instance_id(),
            run_id: ids::uuid(),
        };
        let poll_now = bounded(1);
        let (changed_out, changed) = bounded(1);
        let live = Live::new(local(&config), vec![poll_now.0.clone(), changed_out]);
        let (inbox, recovered) = match state {
            StateDir::Open(journal, recovered) => {
                restore_settings(&live, &journal);
                let inbox = inbox(&config, *journal, &live, &metrics);
                (Some(Arc::new(inbox)), Some(recovered))
            }
            StateDir::Unusable { .. } => (None, None),
        };
        let sequence = Arc::new(Sequence::default());
        let ledger = Arc::new(Ledger::open(&config.state_dir));
        let held_back = metrics.samples_dropped.with_label_values(&["held_back"]);
        let leadership = match &config.leader_election {
            Some(_) => Leadership::undecided(health.clone(), metrics.clone()),
            None => Leadership::of_one(health.clone(), metrics.clone()),
        };
        let refusals = Arc::new(Refusals::default());
        let capabilities = Capabilities::new(
            &config.policy.policy,
            refusals.clone(),
            health.clone(),
            metrics.clone(),
        );
        let evictions = config.policy.evictions_per_minute;
        Ok(Self {
            identity,
            uplink: Uplink::new(backend.clone(), sequence.clone(), metrics.clone()),
            store: Store::new(),
            backlog: Backlog::new(ledger.clone(), held_back),
            ledger,
            live,
            channel,
            limiter: Arc::new(Mutex::new(EvictionLimiter::new(evictions))),
            leadership,
            refusals,
            capabilities: Arc::new(capabilities),
            config: Arc::new(config),
            metrics,
            health,
            backend,
            sequence,
            inbox,
            recovered: Mutex::new(recovered),
            poll_now,
            changed,
            results: bounded(1),
        })
    }

    /// A client of the API server that only reads.
    pub(super) fn kube(&self, stop: &Stop) -> kube::Client {
        let access = self.config.kubernetes.clone();
        let client = kube::Client::new(access, stop.clone(), self.metrics.clone());
        client.telling(self.refusals.clone())
    }

    /// Whoever carries out orders, over these connections.
    pub(super) fn worker(
        &self,
        inbox: &Arc<Inbox>,
        kube: &Arc<kube::Client>,
        fence: Arc<dyn Fence>,
        backend: &Arc<backend::Client>,
    ) -> Worker {
        Worker {
            inbox: inbox.clone(),
            kube: kube.clone(),
            fence,
            backend: backend.clone(),
            identity: self.identity.clone(),
            policy: self.config.policy.policy.clone(),
            capabilities: self.capabilities.clone(),
            limiter: self.limiter.clone(),
            own_pod: self.config.own_pod.clone(),
            events: Recorder::new(kube.clone()),
            metrics: self.metrics.clone(),
            live: self.live.clone(),
            channel: self.channel.clone(),
            results: self.results.0.clone(),
            claims: Mutex::default(),
        }
    }

    /// What a run before this one left, the first time that it is asked for.
    pub(super) fn recovered(&self) -> Option<Recovered> {
        let mut recovered = self
            .recovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        recovered.take()
    }
}

fn local(config: &Config) -> Local {
    Local {
        collection_interval: config.collection_interval,
        action_poll_interval: config.action_poll_interval,
        batch_size: config.batch_size,
        log_level: config.log_level,
    }
}

fn inbox(config: &Config, journal: Journal, live: &Arc<Live>, metrics: &Arc<Metrics>) -> Inbox {
    let identity = verify::Identity {
        cluster_id: config.cluster_id.clone(),
        agent_id: config.agent_id.clone(),
    };
    let max_drains = config.policy.policy.max_concurrent_drains.get() as usize;
    Inbox::new(
        journal,
        Queue::new(WORKERS, max_drains),
        identity,
        config.secret_key.clone(),
        config.previous_secret_key.clone(),
        live.clone(),
        metrics.clone(),
    )
}

/// Puts the settings in force that were so before the restart.
fn restore_settings(live: &Live, journal: &Journal) {
    let (version, Some(json)) = journal.config() else {
        return;
    };
    match Settings::from_json(json) {
        Some(settings) => {
            info!(target: MAIN, "Settings version {version} are in force: {json}");
            live.apply(settings);
        }
        None => {
            error!(target: MAIN, "Settings version {version} in STATE_DIR cannot be read; the local ones hold");
        }
    }
}
