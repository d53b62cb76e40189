//! The agent's place at the backend: taken at the start, taken again when the backend forgot it, given back at the
//! end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::{info, warn};
use ureq::http::Method;

use crate::backend::Client;
use crate::backend::call::{Body, Call, segment};
use crate::backend::protocol::{Identity, PROTOCOL, Register, Registered};
use crate::backend::retry::{Failure, Retry};
use crate::capabilities::Capabilities;
use crate::health::{Component, Health};
use crate::logging::MAIN;
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

    /// Returns once the agent is registered as what it is, trying until it is; false at the stop.
    pub fn run(&self, component: &Component, stop: &Stop) -> bool {
        let mut retry = Retry::default();
        self.capabilities.wait_known(FIRST_LOOK, stop);
        while !self.is_current() {
            component.beat();
            let failure = match self.register() {
                Ok(answer) if answer.protocol == PROTOCOL => {
                    info!(target: MAIN, "Agent registered successfully");
                    self.registered.store(true, Ordering::Relaxed);
                    self.health.check(CHECK, Ok(()));
                    break;
                }
                Ok(answer) => Failure::Garbled(format!("it speaks protocol {:?}", answer.protocol)),
                Err(failure) => failure,
            };
            let pause = retry.after(&failure);
            warn!(target: MAIN, "Failed to register with backend: {failure}");
            component.degraded(&format!("failed to register with the backend: {failure}"));
            self.health.check(CHECK, Err(failure.to_string()));
            // A long pause is no lack of progress.
            component.period(pause.max(Duration::from_mins(1)));
            if self.backend.pause(pause, &failure, stop) {
                return false;
            }
        }
        !stop.requested()
    }

    /// The backend does not know this run any more.
    pub fn expired(&self) {
        self.registered.store(false, Ordering::Relaxed);
        self.health.check(
            CHECK,
            Err("the backend does not know this run any more".to_owned()),
        );
    }

    /// Whether the backend knows this run, and all that it can do.
    fn is_current(&self) -> bool {
        self.registered.load(Ordering::Relaxed) && *self.told() == self.capabilities.actions()
    }

    fn told(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self) -> Result<Registered, Failure> {
        // What the cluster runs is worth knowing, and no reason to wait.
        let version = self.kube.version().unwrap_or_else(|_| "unknown".to_owned());
        let actions = self.capabilities.actions();
        let message = Register {
            cluster_id: &self.identity.cluster_id,
            agent_id: &self.identity.agent_id,
            instance_id: &self.identity.instance_id,
            run_id: &self.identity.run_id,
            agent_version: VERSION,
            protocols: [PROTOCOL],
            capabilities: &actions,
            kubernetes_version: &version,
            started_at: &self.started_at,
        };
        let path = "/v1/agents/register";
        let answer = self
            .backend
            .json("register", Method::POST, path, &message)?;
        *self.told() = actions;
        Ok(answer)
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
