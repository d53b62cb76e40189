//! What the agent knows of the cluster: compact records of pods, nodes and owners, kept in step by watches.

pub mod amounts;
mod births;
pub mod intern;
mod meta;
pub mod mirror;
pub mod node;
pub mod pod;
pub mod pods;
mod state;
pub mod text;
pub mod uid;
pub mod workload;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::thread::stop::Stop;
pub use state::State;
use state::Synced;

/// The cluster as the watches last saw it. Shared by the watches, which write, and the collector, which reads.
pub struct Store {
    state: Mutex<State>,
    news: (Sender<()>, Receiver<()>),
}

impl Store {
    /// Nothing known yet.
    pub fn new() -> Arc<Self> {
        // One token is enough: whoever waits looks at the state again.
        Arc::new(Self {
            state: Mutex::default(),
            news: bounded(1),
        })
    }

    /// The records. Held shortly: the watches wait meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until pods, nodes and owners were listed once, at most for `limit`; true if they were.
    ///
    /// Owners are waited for a shorter time: without permission to list replica sets they never come, and a pod is
    /// better reported with its replica set than not at all.
    pub fn wait_synced(&self, limit: Duration, stop: &Stop) -> bool {
        let began = Instant::now();
        loop {
            let synced = self.lock().synced;
            if synced.pods && synced.nodes && (synced.owners || began.elapsed() > OWNERS) {
                return true;
            }
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                return false;
            }
            crossbeam_channel::select_biased! {
                recv(stop.signal()) -> _ => return false,
                recv(self.news.1) -> _ => (),
                default(left.min(OWNERS)) => (),
            }
        }
    }

    /// Whether pods and nodes were listed completely at least once.
    pub fn is_synced(&self) -> bool {
        let Synced { pods, nodes, .. } = self.lock().synced;
        pods && nodes
    }

    /// When a list or watch last brought anything.
    pub fn last_read(&self) -> Option<Instant> {
        self.lock().last_read
    }

    /// A list or watch has just succeeded.
    pub fn touch(&self) {
        self.lock().last_read = Some(Instant::now());
    }

    fn synced(&self, set: impl FnOnce(&mut Synced)) {
        set(&mut self.lock().synced);
        let _ = self.news.0.try_send(());
    }
}

/// A list is refused for so long before the collector goes on without it: an API server that starts refuses what it
/// has not read the roles for yet.
const REFUSED: Duration = Duration::from_secs(5);
/// What is refused for so long is forgotten: nobody knows whether it is still so.
const FORGOTTEN: Duration = Duration::from_mins(2);

/// How long a first collection waits for the owners of pods when the pods themselves are there.
const OWNERS: Duration = Duration::from_secs(2);
