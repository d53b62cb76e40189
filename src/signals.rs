//! SIGTERM and SIGINT as messages.
//!
//! As process 1 of a container the agent gets no default action for SIGTERM: it must handle it or be killed.

use std::{io, thread};

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Listens for signals.
pub(crate) struct Signals {
    received: Receiver<&'static str>,
}

impl Signals {
    /// Takes over SIGTERM and SIGINT from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
        // The first signal decides; later ones find the agent stopping.
        let (sender, received) = bounded(1);
        thread::Builder::new()
            .name("signals".to_owned())
            .stack_size(64 << 10)
            .spawn(move || {
                for signal in signals.forever() {
                    let _ = sender.try_send(if signal == SIGINT {
                        "SIGINT"
                    } else {
                        "SIGTERM"
                    });
                }
            })?;
        Ok(Self { received })
    }

    /// Fires with the signal's name.
    pub(crate) fn received(&self) -> &Receiver<&'static str> {
        &self.received
    }
}
