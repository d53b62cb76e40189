//! Waiting for another's Lease.

use std::time::Instant;

use log::debug;
use serde::Deserialize;
use serde_json::Value;

use super::Candidate;
use crate::kube::Error;
use crate::kube::body::Body;
use crate::kube::stream::{Stream, parse};
use crate::leader::election::Standing;
use crate::logging::MAIN;

impl Candidate<'_> {
    /// Watches the Lease while it is another's, until it is not, or does not change for too long.
    pub(super) fn watch(&mut self, until: Instant) {
        let Some(version) = self.lease.as_ref().map(|it| it.version().to_owned()) else {
            return;
        };
        // Each read may take as long as the Lease holds: whoever holds it writes more often.
        let silence = until.saturating_duration_since(Instant::now());
        if silence < 2 * self.elector.timing().retry_period {
            return;
        }
        let outcome = self.elector.watch(&version, silence).and_then(|body| {
            let mut stream = Stream::new(body);
            while self.next(&mut stream)? {}
            Ok(())
        });
        if let Err(err) = outcome {
            debug!(target: MAIN, "The watch of the lease ended: {err}");
        }
    }

    /// Takes in one event; false if the watch has told what it can.
    fn next(&mut self, stream: &mut Stream<Body>) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Event {
            r#type: String,
            object: Value,
        }
        let mut came = None;
        stream.next(|window| {
            parse(window, |source| {
                came = Some(Event::deserialize(source)?);
                Ok(())
            })
        })?;
        self.component.beat();
        match came {
            Some(Event { r#type, object }) if r#type == "ADDED" || r#type == "MODIFIED" => {
                self.saw(Some(object.into()));
            }
            Some(Event { r#type, .. }) if r#type == "BOOKMARK" => (),
            Some(Event { r#type, .. }) if r#type == "DELETED" => {
                self.saw(None);
                return Ok(false);
            }
            // The end, or an error: read it anew.
            _ => return Ok(false),
        }
        match self.election.standing(Instant::now()) {
            Standing::Held { holder, .. } => {
                let why = format!("{holder} leads");
                self.elector.leadership.stand_by(&why, Some(&holder));
                Ok(!self.stop.requested())
            }
            Standing::Left { .. } => {
                self.leave();
                Ok(!self.stop.requested())
            }
            Standing::Free | Standing::Ours => Ok(false),
        }
    }
}
