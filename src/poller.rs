//! The polled channel of actions: always on, so that a blocked WebSocket costs seconds, not actions.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, select_biased};
use log::{debug, warn};
use ureq::http::Method;

use crate::actions::list::parse_list;
use crate::actuator::inbox::{Inbox, Receipt, Source};
use crate::backend::Client;
use crate::backend::call::{Body, Call, TOTAL, segment};
use crate::backend::retry::{Failure, Retry};
use crate::health::Component;
use crate::logging::ACTUATOR;
use crate::net::excerpt::excerpt;
use crate::settings::Live;
use crate::thread::stop::{Never, Stop};
use crate::websocket::channel::Channel;

/// Actions asked for at once.
const LIMIT: usize = 20;
/// The pause after a full list of which something was taken, and while the queue is full: more is waiting.
const MORE: Duration = Duration::from_millis(250);

/// Asks the backend for actions.
pub struct Poller {
    /// The backend.
    pub backend: Arc<Client>,
    /// Where envelopes go.
    pub inbox: Arc<Inbox>,
    /// CLUSTER_ID and AGENT_ID.
    pub cluster_id: String,
    /// AGENT_ID.
    pub agent_id: String,
    /// ACTION_POLL_INTERVAL, unless the backend has set another.
    pub live: Arc<Live>,
    /// Where it is said what became of settings.
    pub channel: Arc<Channel>,
    /// Fires when the heartbeat heard that actions wait, and when the interval may have changed.
    pub now: Receiver<()>,
}

impl Poller {
    /// Polls until the stop.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        let mut retry = Retry::default();
        loop {
            component.beat();
            let pause = match self.has_no_use() {
                Some(pause) => pause,
                None => match self.poll() {
                    Ok(next) => {
                        retry.succeeded();
                        component.running();
                        next.unwrap_or_else(|| self.live.action_poll_interval())
                    }
                    Err(failure) => {
                        component.degraded(&format!("failed to poll for actions: {failure}"));
                        warn!(target: ACTUATOR, "Failed to poll for actions: {failure}");
                        let pause = retry.after(&failure);
                        component.waits(pause);
                        // That actions wait, as the heartbeat hears, is no reason to ask for them sooner than the
                        // backend said.
                        if self.backend.pause(pause, &failure, stop) {
                            return Ok(());
                        }
                        continue;
                    }
                },
            };
            component.waits(pause);
            select_biased! {
                recv(stop.signal()) -> _ => return Ok(()),
                recv(self.now) -> _ => (),
                default(pause) => (),
            }
        }
    }

    /// The pause where nothing could be taken now: it stays at the backend, so there is no need to ask.
    fn has_no_use(&self) -> Option<Duration> {
        if !self.inbox.queue.has_room() {
            return Some(MORE);
        }
        (!self.inbox.is_open()).then(|| self.live.action_poll_interval())
    }

    /// One poll; returns the pause that the backend asks for.
    fn poll(&self) -> Result<Option<Duration>, Failure> {
        let path = format!(
            "/v1/clusters/{}/actions?agent_id={}&limit={LIMIT}",
            segment(&self.cluster_id),
            segment(&self.agent_id)
        );
        let call = Call {
            endpoint: "actions",
            method: Method::GET,
            path: &path,
            body: Body::Empty,
            deadline: TOTAL,
            success: &[200, 204],
        };
        let body = self.backend.call(call)?;
        if body.is_empty() {
            return Ok(None);
        }
        let list = parse_list(&body).map_err(|err| Failure::Garbled(excerpt(&err.to_string())))?;
        let is_full = list.envelopes.len() >= LIMIT;
        let mut has_taken = false;
        for envelope in list.envelopes {
            let receipt = self.inbox.offer(envelope, Source::Polled);
            self.channel.settled(&receipt);
            has_taken |= matches!(receipt, Receipt::Accepted(_));
            debug!(target: ACTUATOR, "Polled: {receipt:?}");
        }
        // A full list of what was refused or known is no reason to ask for it again at once.
        let more = (is_full && has_taken).then_some(MORE);
        Ok(list.next_poll.or(more))
    }
}
