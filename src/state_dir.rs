//! STATE_DIR at the start: the journal in it, or how to live without one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use log::{error, info, warn};

use crate::health::{Component, Health};
use crate::journal::{Beginning, Disk, Journal, JournalError, Recovered};
use crate::logging::MAIN;
use crate::thread::stop::{Never, Stop};
use crate::{ids, timestamp};

/// The name of the check in `/readyz`.
pub const CHECK: &str = "state_dir";
/// A folder that another process holds is tried again after this: it is a pod on its way out.
const LOCKED_PAUSE: Duration = Duration::from_secs(1);
/// A folder that cannot be used is tried again after this.
const UNUSABLE_PAUSE: Duration = Duration::from_secs(10);

/// What was found.
pub enum StateDir {
    /// A journal, ours alone.
    Open(Box<Journal>, Recovered),
    /// None: nothing is executed, everything else goes on. The id names this run alone.
    Unusable {
        /// In place of a journal's.
        instance_id: String,
    },
}

impl StateDir {
    /// Opens the journal in `folder`, waiting for as long as another process holds it. `None` if a signal came
    /// first.
    pub fn open(folder: &Path, health: &Health, signals: &Receiver<&'static str>) -> Option<Self> {
        let mut waited = false;
        loop {
            match Journal::open(folder, Disk, timestamp::unix_seconds()) {
                Ok((journal, recovered)) => {
                    announce(&recovered.beginning);
                    health.check(CHECK, Ok(()));
                    return Some(Self::Open(Box::new(journal), recovered));
                }
                Err(JournalError::Locked) => {
                    health.check(CHECK, Err("another process holds STATE_DIR".to_owned()));
                    if !std::mem::replace(&mut waited, true) {
                        warn!(target: MAIN, "Another process holds STATE_DIR, waiting for its end");
                    }
                }
                Err(err) => {
                    error!(target: MAIN, "STATE_DIR cannot be used, no action will be executed: {err}");
                    health.check(CHECK, Err(err.to_string()));
                    return Some(Self::Unusable {
                        instance_id: ids::uuid(),
                    });
                }
            }
            match signals.recv_timeout(LOCKED_PAUSE) {
                Err(RecvTimeoutError::Timeout) => (),
                _ => return None,
            }
        }
    }

    /// Names the journal, or this run where there is none.
    pub fn instance_id(&self) -> String {
        match self {
            Self::Open(journal, _) => journal.instance_id().to_owned(),
            Self::Unusable { instance_id } => instance_id.clone(),
        }
    }
}

fn announce(beginning: &Beginning) {
    match beginning {
        Beginning::New => info!(target: MAIN, "Began a new journal in STATE_DIR"),
        Beginning::Damaged { kept_as } => {
            error!(target: MAIN, "The journal in STATE_DIR was damaged; it is kept as {}", kept_as.display());
        }
        Beginning::Continued { .. } => (),
    }
}

/// Tries a folder that could not be used until it can, and then says so on `mended`: a journal brings another
/// instance id, which takes a new start.
pub struct Mender {
    /// STATE_DIR.
    pub folder: PathBuf,
    /// Fires when the folder can be used.
    pub mended: Sender<()>,
}

impl Mender {
    /// Runs until the stop.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        component.degraded("STATE_DIR cannot be used, no action is executed");
        while !stop.wait(UNUSABLE_PAUSE) {
            component.beat();
            match Journal::open(&self.folder, Disk, timestamp::unix_seconds()) {
                Ok(_) => {
                    let _ = self.mended.try_send(());
                    break;
                }
                Err(err) => component.health().check(CHECK, Err(err.to_string())),
            }
        }
        stop.wait(Duration::MAX);
        Ok(())
    }
}
