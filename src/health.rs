//! How every component is: kept by the components and the supervisor, read by the endpoints and the heartbeat.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{error, info};
use serde::Serialize;
use time::OffsetDateTime;

use crate::logging::MAIN;
use crate::metrics::Metrics;
use crate::thread::Observer;
use crate::timestamp;

/// A component makes progress if it did within this many of its periods.
const PERIODS: u32 = 3;
/// The API server counts as readable if it was this long ago.
const READABLE: Duration = Duration::from_mins(2);

/// What a component does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Works.
    Running,
    /// Works in part; the reason says what does not.
    Degraded,
    /// Failed, and starts again after a pause.
    Restarting,
    /// Ready to take over from another replica.
    Standby,
}

impl State {
    const ALL: [Self; 4] = [
        Self::Running,
        Self::Degraded,
        Self::Restarting,
        Self::Standby,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Restarting => "restarting",
            Self::Standby => "standby",
        }
    }
}

/// A component as the heartbeat and `/readyz` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What it does.
    pub state: State,
    /// Since when, RFC 3339.
    pub since: String,
    /// Why it is not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was restarted since the agent started.
    pub restarts: u64,
}

struct Entry {
    state: State,
    since: OffsetDateTime,
    reason: Option<String>,
    restarts: u64,
    period: Duration,
    last_beat: Instant,
}

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
    components: Mutex<BTreeMap<&'static str, Entry>>,
    checks: Mutex<BTreeMap<&'static str, Result<(), String>>>,
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
        let entry = Entry {
            state,
            since: OffsetDateTime::now_utc(),
            reason: None,
            restarts,
            period,
            last_beat: Instant::now(),
        };
        components.insert(name, entry);
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
        let mut checks = lock(&self.checks);
        let before = ready(&checks);
        checks.insert(check, outcome);
        let after = ready(&checks);
        drop(checks);
        if before.is_ok() != after.is_ok()
            && let Some(listener) = self.listener.get()
        {
            let failing = after.err().map(|it| {
                let each = it.iter().map(|(check, why)| format!("{check}: {why}"));
                each.collect::<Vec<_>>().join("; ")
            });
            listener.ready(failing.as_deref());
        }
    }

    /// `/healthz`: every component makes progress. The state of the backend or the API server is no part of it: a
    /// restart would not mend them, and would lose what is buffered.
    pub fn live(&self) -> Verdict {
        verdict(self.components().iter().filter_map(|(name, entry)| {
            let silent = entry.last_beat.elapsed();
            (silent > entry.period.saturating_mul(PERIODS))
                .then(|| (*name, format!("no progress for {} s", silent.as_secs())))
        }))
    }

    /// `/readyz`: registered, the cluster readable, and whatever else was checked.
    pub fn ready(&self) -> Verdict {
        ready(&lock(&self.checks))
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
        self.components()
            .iter()
            .map(|(name, entry)| {
                let report = Report {
                    state: entry.state,
                    since: timestamp::rfc3339_millis(entry.since),
                    reason: entry.reason.clone(),
                    restarts: entry.restarts,
                };
                (*name, report)
            })
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
        let Some(entry) = components.get_mut(name) else {
            return;
        };
        if entry.state != state {
            entry.since = OffsetDateTime::now_utc();
            self.publish(name, state);
        }
        let was = std::mem::replace(&mut entry.state, state);
        if entry.reason.as_deref() != reason {
            entry.reason = reason.map(str::to_owned);
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

    fn components(&self) -> MutexGuard<'_, BTreeMap<&'static str, Entry>> {
        lock(&self.components)
    }
}

/// A component that panicked while it held the lock must not take the health of all others with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ready(checks: &BTreeMap<&'static str, Result<(), String>>) -> Verdict {
    verdict(
        checks
            .iter()
            .filter_map(|(name, outcome)| outcome.as_ref().err().map(|why| (*name, why.clone()))),
    )
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
        if let Some(entry) = self.components().get_mut(name) {
            entry.restarts += 1;
            // The pause is no lack of progress.
            entry.last_beat = Instant::now() + pause;
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

/// A component's own handle on its health.
#[derive(Clone)]
pub struct Component {
    name: &'static str,
    health: Arc<Health>,
}

impl Component {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Progress was made.
    pub fn beat(&self) {
        #[cfg(feature = "test-hooks")]
        crate::test_hooks::maybe_panic(self.name);
        if let Some(entry) = self.health.components().get_mut(self.name) {
            entry.last_beat = Instant::now();
        }
    }

    /// From now on progress is made at least every `period`.
    pub fn period(&self, period: Duration) {
        if let Some(entry) = self.health.components().get_mut(self.name) {
            entry.period = period;
        }
    }

    /// It works as it should; also a beat.
    pub fn running(&self) {
        self.beat();
        self.health.set(self.name, State::Running, None);
    }

    /// It works in part, for `reason`; also a beat.
    pub fn degraded(&self, reason: &str) {
        self.beat();
        self.health.set(self.name, State::Degraded, Some(reason));
    }

    /// The health of all, for the checks of `/readyz`.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

/// The name of the check that [`readable`] decides.
pub const CLUSTER: &str = "cluster";

/// Whether something read at `at` is recent enough to call the cluster readable.
pub fn readable(at: Option<Instant>, now: Instant) -> Result<(), String> {
    match at {
        None => Err("the cluster was not read yet".to_owned()),
        Some(at) => match now.saturating_duration_since(at) {
            age if age > READABLE => {
                Err(format!("the cluster was last read {} s ago", age.as_secs()))
            }
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Arc<Health> {
        Health::new(Arc::new(Metrics::new().unwrap()))
    }

    #[test]
    fn a_silent_component_fails_liveness_by_name() {
        let health = health();
        let quick = health.component("quick", Duration::ZERO);
        health.component("slow", Duration::from_hours(1));
        std::thread::yield_now();
        assert_eq!(
            health
                .live()
                .unwrap_err()
                .keys()
                .copied()
                .collect::<Vec<_>>(),
            ["quick"]
        );
        quick.period(Duration::from_hours(1));
        assert!(health.live().is_ok());
    }

    #[test]
    fn a_degraded_component_says_why_and_since_when_and_stays_live() {
        let health = health();
        let collector = health.component("collector", Duration::from_hours(1));
        collector.degraded("no Metrics API");
        let report = health.report().remove("collector").unwrap();
        assert_eq!(
            (report.state, report.reason.as_deref()),
            (State::Degraded, Some("no Metrics API"))
        );
        assert!(!health.all_running());
        assert!(health.live().is_ok());
        collector.running();
        assert!(health.all_running());
    }

    #[test]
    fn restarts_are_counted_where_people_look() {
        let health = health();
        health.component("collector", Duration::from_hours(1));
        health.failed("collector", "panicked: x", Duration::from_secs(1));
        assert_eq!(health.report()["collector"].state, State::Restarting);
        health.restarted("collector");
        assert_eq!(health.report()["collector"].restarts, 1);
        let text = health.metrics.text();
        assert!(
            text.contains("component_restarts_total{component=\"collector\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("component_state{component=\"collector\",state=\"running\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("component_state{component=\"collector\",state=\"restarting\"} 0"),
            "{text}"
        );
    }

    #[test]
    fn a_component_that_stands_by_is_live_and_well() {
        let health = health();
        health.component("collector", Duration::from_hours(1));
        health.failed("collector", "panicked: x", Duration::ZERO);
        health.stand_by("collector");
        assert!(health.live().is_ok() && health.all_running());
        let report = health.report().remove("collector").unwrap();
        assert_eq!((report.state, report.restarts), (State::Standby, 1));
    }

    #[test]
    fn readiness_names_the_failing_check() {
        let health = health();
        health.check("registered", Err("not yet".to_owned()));
        health.check("cluster", Ok(()));
        assert_eq!(
            health.ready().unwrap_err(),
            BTreeMap::from([("registered", "not yet".to_owned())])
        );
        health.check("registered", Ok(()));
        assert!(health.ready().is_ok());
    }

    #[test]
    fn the_cluster_is_readable_for_two_minutes() {
        let now = Instant::now();
        assert!(readable(None, now).is_err());
        assert!(readable(Some(now), now + Duration::from_secs(119)).is_ok());
        assert!(readable(Some(now), now + Duration::from_secs(121)).is_err());
    }
}
