//! The agent put together.
//!
//! ```text
//!  standing (as long as the process): http, heartbeat, elector, watches, recovery --> uplinks, reporter
//!                                                 | elected      ^ lost
//!                                                 v              |
//!  term (as long as this replica leads):  collector, poller, websocket, actuators
//! ```
//!
//! [`shared`] is what all of them have in common, [`standing`] and [`term`] start their threads, [`stop`] says in
//! which order all of it ends.

mod failure;
mod group;
mod shared;
mod standing;
mod stop;
mod term;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, select};
use log::info;

use crate::config::Config;
use crate::health::{CLUSTER, Health, readable};
use crate::heartbeat::registration;
use crate::leader::State;
use crate::logging::MAIN;
use crate::metrics::Metrics;
use crate::resources::Resources;
use crate::signals::Signals;
use crate::state_dir::StateDir;

pub use failure::Failure;
use shared::Shared;
use standing::Standing;
use term::Term;

/// A standby looks this often whether it is ready to take over.
const STANDBY_LOOK: Duration = Duration::from_secs(1);
/// Nothing is looked at less often.
const LOOK: Duration = Duration::from_secs(10);

/// Runs the agent until a signal asks it to stop.
pub fn run(config: Config) -> Result<(), Failure> {
    let signals = Signals::listen()?;
    let metrics = Arc::new(Metrics::new().map_err(|err| Failure::Start(err.to_string()))?);
    let health = Health::new(metrics.clone());
    registration::pending(&health);
    let resources = Arc::new(Resources::new(&config.state_dir, metrics.clone()));
    let mut standing = Standing::new(&health)?;
    standing.answer_probes(config.http_port, &health, &metrics, &resources)?;
    let Some(state) = StateDir::open(&config.state_dir, &health, signals.received()) else {
        return Ok(());
    };
    let (mended_out, mended) = bounded(1);
    let shared = Shared::new(config, state, metrics, health)?;
    let standing = standing.start(&shared, resources, &mended_out)?;

    let mut term = None;
    let outcome = loop {
        if let Err(failure) = follow(&shared, &mut term) {
            break Err(failure);
        }
        select! {
            recv(signals.received()) -> signal => {
                info!(target: MAIN, "Received {}, stopping", signal.unwrap_or("a signal"));
                break Ok(());
            }
            recv(shared.health.hopeless()) -> name => {
                break Err(Failure::Hopeless(name.unwrap_or("main")));
            }
            recv(mended) -> _ => break Err(Failure::StateDirMended),
            recv(shared.leadership.news()) -> _ => (),
            default(next_look(&shared)) => (),
        }
    };
    stop::stop(&shared, standing, term);
    outcome
}

/// When to look again if nothing is heard: at the moment at which a lease runs out whose elector is held up.
fn next_look(shared: &Shared) -> Duration {
    match shared.leadership.lasts() {
        Some(left) => left.min(LOOK),
        None => STANDBY_LOOK,
    }
}

/// Starts the term that this replica leads in, and ends one that is over.
fn follow(shared: &Shared, term: &mut Option<Term>) -> Result<(), Failure> {
    let state = shared.leadership.state();
    let wanted = match state {
        State::Leading(number) => Some(number),
        State::Standby | State::Undecided => None,
    };
    if let Some(over) = term.take_if(|it| Some(it.number) != wanted) {
        stop::end(shared, over)?;
    }
    if let Some(number) = wanted {
        if term.is_none() {
            *term = Some(Term::start(shared, number)?);
        }
    } else if state == State::Standby {
        stand_by(shared);
    }
    Ok(())
}

/// Keeps what a term would need warm, and is ready once it is.
fn stand_by(shared: &Shared) {
    shared.backlog.stand_by();
    // The heartbeat says so too, at its interval; a rolling upgrade waits for this.
    if shared.store.is_synced() {
        let read = readable(shared.store.last_read(), Instant::now());
        shared.health.check(CLUSTER, read);
    }
}
