//! How every component is: kept by the components and the supervisor, read by the endpoints and the heartbeat.
//!
//! [`record`] is what is known of one component, [`component`] its own handle, [`checks`] what `/readyz` asks about.
//! Here they come together: whoever listens is told, and the metrics follow.

mod checks;
mod component;
mod record;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{error, info};

use crate::logging::MAIN;
use crate::metrics::Metrics;
use crate::thread::Observer;
use checks::Checks;
pub use checks::{CLUSTER, readable};
pub use component::Component;
use record::Record;
pub use record::{Report, State};

/// Which replica leads, as `/readyz` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leads {
    /// This one does.
    pub leader: bool,
    /// Another one does, by this name.
    pub holder: Option<String>,
}

/// Whoever is told when something breaks and when it works again. Called from any component's thread.
pub trait Listener: Send + Sync {
    /// A component failed, for this reason; or it runs again.
    fn component(&self, name: &'static str, down: Option<&str>);
    /// `/readyz` says that this fails; or that all is well again.
    fn ready(&self, failing: Option<&str>);
}

/// The health of the whole agent.
pub struct Health {
    components: Mutex<BTreeMap<&'static str, Record>>,
    checks: Mutex<Checks>,
    leads: Mutex<Leads>,
    off: Mutex<BTreeMap<&'static str, String>>,
    metrics: Arc<Metrics>,
    listener: OnceLock<Arc<dyn Listener>>,
    /// One is enough to end the agent.
    hopeless: (Sender<&'static str>, Receiver<&'static str>),
}

/// The answer of a probe: fine, or what is not.
pub type Verdict = Result<(), BTreeMap<&'static str, String>>;

impl Health {
    /// Nothing known yet.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            components: Mutex::default(),
            checks: Mutex::default(),
            leads: Mutex::default(),
            off: Mutex::default(),
            metrics,
            listener: OnceLock::new(),
            hopeless: bounded(1),
        })
    }

    /// Tells `listener` from now on; the first one stays.
    pub fn tell(&self, listener: Arc<dyn Listener>) {
        let _ = self.listener.set(listener);
    }

    /// Announces the component `name`, which will make progress at least every `period`.
    pub fn component(self: &Arc<Self>, name: &'static str, period: Duration) -> Component {
        self.announce(name, State::Running, period);
        Component {
            name,
            health: Arc::clone(self),
        }
    }

    /// Announces that the component `name` waits for leadership: no thread runs it, and no progress is expected.
    pub fn stand_by(&self, name: &'static str) {
        self.announce(name, State::Standby, Duration::MAX);
    }

    fn announce(&self, name: &'static str, state: State, period: Duration) {
        let mut components = self.components();
        let restarts = components.get(name).map_or(0, |it| it.restarts);
        components.insert(name, Record::new(state, period, restarts));
        drop(components);
        self.metrics.component_restarts.with_label_values(&[name]);
        self.publish(name, state);
    }

    /// This replica leads or does not; `holder` leads where that is known to be another one.
    pub fn leads(&self, leader: bool, holder: Option<&str>) {
        let holder = holder.map(str::to_owned);
        *lock(&self.leads) = Leads { leader, holder };
    }

    /// Which replica leads.
    pub fn leader(&self) -> Leads {
        lock(&self.leads).clone()
    }

    /// Fires with the name of a component that failed too often for a restart to help.
    pub fn hopeless(&self) -> &Receiver<&'static str> {
        &self.hopeless.1
    }

    /// Sets what `/readyz` says of `check`; a check that was never set does not count.
    pub fn check(&self, check: &'static str, outcome: Result<(), String>) {
        let turned = lock(&self.checks).set(check, outcome);
        if let (Some(now), Some(listener)) = (turned, self.listener.get()) {
            let failing = now.err().map(|it| {
                let each = it.iter().map(|(check, why)| format!("{check}: {why}"));
                each.collect::<Vec<_>>().join("; ")
            });
            listener.ready(failing.as_deref());
        }
    }

    /// `/healthz`: every component makes progress. The state of the backend or the API server is no part of it: a
    /// restart would not mend them, and would lose what is buffered.
    pub fn live(&self) -> Verdict {
        verdict(self.components().iter().filter_map(|(name, record)| {
            let silent = record.stuck_for()?;
            Some((*name, format!("no progress for {} s", silent.as_secs())))
        }))
    }

    /// `/readyz`: registered, the cluster readable, and whatever else was checked.
    pub fn ready(&self) -> Verdict {
        lock(&self.checks).verdict()
    }

    /// Sets what is switched off and why. It fails no probe: everything else works on.
    pub fn switched_off(&self, off: BTreeMap<&'static str, String>) {
        *lock(&self.off) = off;
    }

    /// What is switched off and why, for the body of `/readyz`.
    pub fn off(&self) -> BTreeMap<&'static str, String> {
        lock(&self.off).clone()
    }

    /// Every component by its name.
    pub fn report(&self) -> BTreeMap<&'static str, Report> {
        let components = self.components();
        let each = components.iter();
        each.map(|(name, record)| (*name, record.report()))
            .collect()
    }

    /// True if every component runs as it should.
    pub fn all_running(&self) -> bool {
        self.components()
            .values()
            .all(|it| matches!(it.state, State::Running | State::Standby))
    }

    fn set(&self, name: &'static str, state: State, reason: Option<&str>) {
        let mut components = self.components();
        let Some(record) = components.get_mut(name) else {
            return;
        };
        let was = record.turn(state, reason);
        if was != state {
            self.publish(name, state);
        }
        drop(components);
        let is_down = state == State::Restarting;
        if is_down != (was == State::Restarting)
            && let Some(listener) = self.listener.get()
        {
            listener.component(name, reason.filter(|_| is_down));
        }
    }

    fn publish(&self, name: &str, state: State) {
        for it in State::ALL {
            let value = if it == state { 1.0 } else { 0.0 };
            self.metrics
                .component_state
                .with_label_values(&[name, it.label()])
                .set(value);
        }
    }

    fn components(&self) -> MutexGuard<'_, BTreeMap<&'static str, Record>> {
        lock(&self.components)
    }
}

/// A component that panicked while it held the lock must not take the health of all others with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn verdict(failing: impl Iterator<Item = (&'static str, String)>) -> Verdict {
    let failing: BTreeMap<_, _> = failing.collect();
    if failing.is_empty() {
        Ok(())
    } else {
        Err(failing)
    }
}

impl Observer for Health {
    fn failed(&self, name: &'static str, reason: &str, pause: Duration) {
        error!(target: MAIN, "Component {name} failed: {reason}; restarting in {:.1} s", pause.as_secs_f64());
        self.set(name, State::Restarting, Some(reason));
        if let Some(record) = self.components().get_mut(name) {
            record.restarts += 1;
            record.waits(pause);
        }
        self.metrics
            .component_restarts
            .with_label_values(&[name])
            .inc();
    }

    fn restarted(&self, name: &'static str) {
        info!(target: MAIN, "Component {name} restarted");
        self.set(name, State::Running, None);
    }

    fn hopeless(&self, name: &'static str) {
        let _ = self.hopeless.0.try_send(name);
    }
}

#[cfg(test)]
mod tests;
