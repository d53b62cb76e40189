//! What becomes of signed settings: in force, refused, or left for later.

use log::{debug, info};

use super::Live;
use crate::actions::verify::{SettingsOrder, Verified};
use crate::journal::{Fs, Journal, JournalError};
use crate::logging::MAIN;

/// What became of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// They are in force, and will be after a restart.
    Applied,
    /// They are not to be, for this reason.
    Refused(&'static str),
    /// They could not be written down: they stay at the backend, which offers them again.
    Later,
}

/// Puts settings that were never seen before in force, unless something speaks against it.
pub fn take<F: Fs>(
    verified: &Verified,
    order: &SettingsOrder,
    journal: &mut Journal<F>,
    live: &Live,
) -> Taken {
    let version = order.version;
    let taken = match &order.settings {
        Err(refusal) => Taken::Refused(refusal.reason()),
        Ok(settings) => {
            let settings = settings.clone().after(&live.remote());
            let json = settings.to_json();
            // On the disk first: what is in force must not be older after a restart.
            match journal.set_config(version, &json) {
                Ok(()) => {
                    live.apply(settings);
                    info!(target: MAIN, "Settings version {version} are in force: {json}");
                    Taken::Applied
                }
                Err(JournalError::NotNewer { .. }) => Taken::Refused("precondition_failed"),
                Err(err) => {
                    debug!(target: MAIN, "Settings version {version} stay at the backend: {err}");
                    return Taken::Later;
                }
            }
        }
    };
    // A second copy is a duplicate. Without room for its id it is judged again, and by its version refused.
    let _ = journal.remember(verified);
    taken
}
