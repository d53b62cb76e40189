//! The settings that may change while the agent runs: what the environment said, and over it what the backend signed
//! (protocol, section 3, `config.v1`).

mod take;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::Sender;
use log::LevelFilter;

use crate::actions::settings::Settings;

pub use take::{Taken, take};

/// What holds where the backend has said nothing.
#[derive(Debug, Clone)]
pub struct Local {
    /// COLLECTION_INTERVAL.
    pub collection_interval: Duration,
    /// ACTION_POLL_INTERVAL.
    pub action_poll_interval: Duration,
    /// BATCH_SIZE.
    pub batch_size: usize,
    /// LOG_LEVEL.
    pub log_level: LevelFilter,
}

/// The settings in force, asked for by whoever goes by them each time that they do.
#[derive(Debug)]
pub struct Live {
    local: Local,
    remote: Mutex<Settings>,
    /// One token each is enough: whoever waits looks again.
    changed: Vec<Sender<()>>,
}

impl Live {
    /// What the environment says. `changed` is told when that is not all any more.
    pub fn new(local: Local, changed: Vec<Sender<()>>) -> Arc<Self> {
        Arc::new(Self {
            local,
            remote: Mutex::default(),
            changed,
        })
    }

    /// Puts these in force, in the place of all that the backend said before.
    pub fn apply(&self, settings: Settings) {
        let level = settings
            .log_level
            .map_or(self.local.log_level, |it| it.to_level_filter());
        *self.remote.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        log::set_max_level(level);
        for changed in &self.changed {
            let _ = changed.try_send(());
        }
    }

    /// What the backend said.
    pub fn remote(&self) -> Settings {
        self.remote
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Between two collections.
    pub fn collection_interval(&self) -> Duration {
        self.remote()
            .collection_interval
            .unwrap_or(self.local.collection_interval)
    }

    /// Between two polls for actions.
    pub fn action_poll_interval(&self) -> Duration {
        self.remote()
            .action_poll_interval
            .unwrap_or(self.local.action_poll_interval)
    }

    /// Samples in one batch.
    pub fn batch_size(&self) -> usize {
        self.remote()
            .batch_size
            .map_or(self.local.batch_size, |it| it as usize)
    }

    /// True once the backend said that nothing is to be written any more. DRY_RUN is the policy's.
    pub fn is_dry_run(&self) -> bool {
        self.remote().dry_run
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;

    #[test]
    fn what_the_backend_leaves_out_is_local_again() {
        let (out, changed) = bounded(1);
        let local = Local {
            collection_interval: Duration::from_mins(1),
            action_poll_interval: Duration::from_secs(10),
            batch_size: 100,
            log_level: log::max_level(),
        };
        let live = Live::new(local, vec![out]);
        live.apply(Settings {
            collection_interval: Some(Duration::from_secs(15)),
            batch_size: Some(7),
            dry_run: true,
            ..Settings::default()
        });
        assert_eq!(live.collection_interval(), Duration::from_secs(15));
        assert_eq!(live.action_poll_interval(), Duration::from_secs(10));
        assert_eq!((live.batch_size(), live.is_dry_run()), (7, true));
        live.apply(Settings::default());
        assert_eq!((live.batch_size(), live.is_dry_run()), (100, false));
        assert_eq!(changed.len(), 1, "one token is enough");
    }
}
