//! The agent's place at the backend: taken at the start, taken again when the backend forgot it, given back at the
//! end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{info, warn};
use ureq::http::Method;

use crate::backend::Client;
use crate::backend::call::{Body, Call, segment};
use crate::backend::protocol::{Identity, PROTOCOL, Register, Registered};
use crate::backend::retry::{Failure, Retry};
use crate::capabilities::Capabilities;
use crate::health::{Component, Health};
use crate::logging::MAIN;
use crate::net::excerpt::excerpt;
use crate::thread::stop::Stop;
use crate::{VERSION, kube, timestamp};

/// The name of the check in `/readyz`.
const CHECK: &str = "registered";

/// A backend that does not answer must not keep the agent from ending.
const FAREWELL: Duration = Duration::from_secs(1);

/// The first registration waits so long for what the agent can do; a later one says what is known by then.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// Says in `/readyz` that the agent is not registered: to be called before anybody can ask, for a check that was never
/// set does not count.
pub fn pending(health: &Health) {
    health.check(CHECK, Err("not registered with the backend yet".to_owned()));
}

/// The name of the check in `/readyz` of the API key.
const KEY_CHECK: &str = "api_key";

/// Says in `/readyz` whether the backend accepts the API key, as far as this outcome of a call tells.
pub(super) fn key_check(health: &Health, outcome: Result<(), &Failure>) {
    match outcome {
        Ok(()) => health.check(KEY_CHECK, Ok(())),
        Err(failure @ Failure::Unauthorized { .. }) => {
            health.check(KEY_CHECK, Err(failure.to_string()));
        }
        Err(_) => (),
    }
}

/// How far the backend is behind what the agent can do.
#[derive(Default)]
pub struct Renewal {
    retry: Retry,
    /// No try before this, and why.
    pending: Option<(Instant, String)>,
}

/// Registers and deregisters.
pub struct Registration {
    backend: Arc<Client>,
    kube: Arc<kube::Client>,
    identity: Identity,
    health: Arc<Health>,
    capabilities: Arc<Capabilities>,
    /// The actions that the backend was told of last.
    told: Mutex<Vec<&'static str>>,
    started_at: String,
    registered: AtomicBool,
}

impl Registration {
    /// Not registered yet.
    pub fn new(
        backend: Arc<Client>,
        kube: Arc<kube::Client>,
        identity: Identity,
        capabilities: Arc<Capabilities>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            backend,
            kube,
            identity,
            health,
            capabilities,
            told: Mutex::default(),
            started_at: timestamp::now(),
            registered: AtomicBool::new(false),
        }
    }

    /// Returns once the agent is registered, trying until it is; false at the stop.
    pub fn run(&self, component: &Component, stop: &Stop) -> bool {
        let mut retry = Retry::default();
        self.capabilities.wait_known(FIRST_LOOK, stop);
        while !self.registered.load(Ordering::Relaxed) {
            component.beat();
            let Err(failure) = self.register() else {
                break;
            };
            let pause = retry.after(&failure);
            warn!(target: MAIN, "Failed to register with backend: {failure}");
            component.degraded(&format!("failed to register with the backend: {failure}"));
            self.health.check(CHECK, Err(failure.to_string()));
            component.waits(pause);
            if self.backend.pause(pause, &failure, stop) {
                return false;
            }
        }
        !stop.requested()
    }

    /// Registers anew where what the agent can do has changed. One try, and another one after its pause: the heartbeat
    /// goes on meanwhile, and renews the leases of what is under way. The error says why the backend was not told yet.
    pub fn renew(&self, renewal: &mut Renewal) -> Result<(), String> {
        if *self.told() == self.capabilities.actions() {
            *renewal = Renewal::default();
            return Ok(());
        }
        if let Some((until, why)) = &renewal.pending
            && Instant::now() < *until
        {
            return Err(why.clone());
        }
        let outcome = self.register();
        let Err(failure) = outcome else {
            *renewal = Renewal::default();
            return Ok(());
        };
        let until = Instant::now() + renewal.retry.after(&failure);
        let why = format!("failed to tell the backend what the agent can do: {failure}");
        warn!(target: MAIN, "Failed to register with backend: {failure}");
        renewal.pending = Some((until, why.clone()));
        Err(why)
    }

    /// The backend does not know this run any more.
    pub fn expired(&self) {
        self.registered.store(false, Ordering::Relaxed);
        self.health.check(
            CHECK,
            Err("the backend does not know this run any more".to_owned()),
        );
    }

    fn told(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self) -> Result<(), Failure> {
        let actions = self.capabilities.actions();
        let outcome = self.ask(&actions);
        key_check(&self.health, outcome.as_ref().map(|_| ()));
        let answer = outcome?;
        if answer.protocol != PROTOCOL {
            let protocol = excerpt(&answer.protocol);
            return Err(Failure::Garbled(format!("it speaks protocol {protocol:?}")));
        }
        info!(target: MAIN, "Agent registered successfully");
        *self.told() = actions;
        self.registered.store(true, Ordering::Relaxed);
        self.health.check(CHECK, Ok(()));
        Ok(())
    }

    fn ask(&self, actions: &[&str]) -> Result<Registered, Failure> {
        // What the cluster runs is worth knowing, and no reason to wait.
        let version = self.kube.version().unwrap_or_else(|_| "unknown".to_owned());
        let message = Register {
            cluster_id: &self.identity.cluster_id,
            agent_id: &self.identity.agent_id,
            instance_id: &self.identity.instance_id,
            run_id: &self.identity.run_id,
            agent_version: VERSION,
            protocols: [PROTOCOL],
            capabilities: actions,
            kubernetes_version: &version,
            started_at: &self.started_at,
        };
        let path = "/v1/agents/register";
        self.backend.json("register", Method::POST, path, &message)
    }

    /// Gives the place back; one try, since the agent is on its way out.
    pub fn deregister(&self) {
        if !self.registered.load(Ordering::Relaxed) {
            return;
        }
        let Identity {
            agent_id,
            instance_id,
            run_id,
            ..
        } = &self.identity;
        let path = format!(
            "/v1/agents/{}?instance_id={}&run_id={}",
            segment(agent_id),
            segment(instance_id),
            segment(run_id)
        );
        let call = Call {
            endpoint: "deregister",
            method: Method::DELETE,
            path: &path,
            body: Body::Empty,
            deadline: FAREWELL,
            success: &[204],
        };
        match self.backend.call(call) {
            Ok(_) => info!(target: MAIN, "Agent deregistered"),
            Err(failure) => warn!(target: MAIN, "Failed to deregister from backend: {failure}"),
        }
    }
}
