//! The real-time channel (protocol, section 3): the same envelopes as the poller brings, sooner, and news of what
//! becomes of them. Polling stays on: nothing depends on this channel but time.
//!
//! ```text
//!  any thread --> channel (ring of numbered frames, waker) --> session --> backend
//!                                        inbox <-- envelopes <----+
//! ```
//!
//! [`ring`], [`frames`], [`schedule`] and [`liveness`] are the rules, without clock or socket. [`dial`], [`upgrade`]
//! and [`stream`] make a connection, [`session`] speaks over it. One thread does all of it: its socket never blocks,
//! and [`waker`](crate::thread::waker) waits for the socket, for frames, for the stop and for the clock at once.

pub mod channel;
pub mod dial;
pub mod frames;
pub mod liveness;
pub mod ring;
pub mod schedule;
mod session;
pub mod stream;
pub mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};
use rustls::ClientConfig;

use crate::actuator::inbox::Inbox;
use crate::backend::protocol::Identity;
use crate::backend::retry::Failure;
use crate::backend::{self};
use crate::config::key_file::Key;
use crate::config::url::WebSocketUrl;
use crate::health::Component;
use crate::logging::WEBSOCKET;
use crate::metrics::Metrics;
use crate::net::proxy::Proxy;
use crate::net::tls;
use crate::thread::backoff::random_fraction;
use crate::thread::stop::{Never, Stop};
use crate::thread::waker::Waiter;
use channel::Channel;
use schedule::{End, Schedule};
use session::{Ended, Session};
use upgrade::UpgradeError;

/// A connection shows a sign of life with every ping, a try to connect within its deadlines.
pub const PERIOD: Duration = Duration::from_mins(1);

/// The component `websocket_client`.
pub struct Client {
    /// What is to be sent.
    pub channel: Arc<Channel>,
    /// Where to.
    pub target: Target,
    /// Shown at the upgrade.
    pub key: Arc<Key>,
    /// Watches the key's file while it is not accepted.
    pub backend: Arc<backend::Client>,
    /// Who we are.
    pub identity: Identity,
    /// Where envelopes go; none where STATE_DIR cannot be used.
    pub inbox: Option<Arc<Inbox>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Once it fires no order is taken any more, while results still leave.
    pub gathering: Stop,
}

/// The backend's end of the channel, and the way there.
pub struct Target {
    url: WebSocketUrl,
    proxy: Option<Proxy>,
    tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// The server of `url`, through `proxy` if there is one, trusted by `ca` or the public roots. The error says what
    /// is wrong with `ca`.
    pub fn new(url: WebSocketUrl, proxy: Option<Proxy>, ca: Option<&str>) -> Result<Self, String> {
        let tls = url
            .is_secure()
            .then(|| tls::client_config(ca))
            .transpose()?;
        Ok(Self { url, proxy, tls })
    }
}

impl Client {
    /// Connects, speaks and connects again until the stop.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        // A restart after a panic begins without a connection.
        self.channel.set_connected(false);
        let mut schedule = Schedule::default();
        loop {
            component.beat();
            let key_version = self.key.version();
            let (ended, stable) = self.connection(component, stop);
            if stop.requested() {
                return Ok(());
            }
            let pause = schedule.after(&ended.end, stable, random_fraction());
            self.tell(&ended, pause, component);
            #[cfg(feature = "test-hooks")]
            let pause = crate::test_hooks::hastened(pause);
            component.waits(pause);
            let is_over = if ended.end.is_unauthorized() {
                let code = 401;
                self.backend
                    .pause(pause, &Failure::Unauthorized { code, key_version }, stop)
            } else {
                stop.wait(pause)
            };
            if is_over {
                return Ok(());
            }
        }
    }

    fn tell(&self, ended: &Ended, pause: Duration, component: &Component) {
        let reason = ended.end.label();
        self.metrics.channel.ends.with_label_values(&[reason]).inc();
        if ended.end == End::Done {
            info!(target: WEBSOCKET, "WebSocket connection closed: {}; connecting again", ended.why);
            return;
        }
        component.degraded(&ended.why);
        let seconds = pause.as_secs_f64();
        warn!(target: WEBSOCKET, "WebSocket connection lost: {}; reconnecting in {seconds:.1} s", ended.why);
    }

    /// One connection, or the try to make one. Returns how long it was welcome.
    fn connection(&self, component: &Component, stop: &Stop) -> (Ended, Duration) {
        let waiter = Waiter {
            waker: self.channel.waker(),
            stop,
        };
        let failed = |end, why| (Ended { end, why }, Duration::ZERO);
        let Target { url, proxy, tls } = &self.target;
        let socket = match dial::dial(url.host(), url.port(), proxy.as_ref(), &waiter) {
            Ok(socket) => socket,
            Err(err) => return failed(End::Broken, err.to_string()),
        };
        let (key, _) = self.key.current();
        match upgrade::upgrade(socket, url, tls.as_ref(), &key, &waiter) {
            Ok(socket) => Session::new(socket, self, component, waiter).run(),
            Err(err) => {
                let end = match err {
                    UpgradeError::Status(code, asked) => End::Refused(code, asked),
                    UpgradeError::Tls(_) | UpgradeError::Broken(_) => End::Broken,
                };
                failed(end, err.to_string())
            }
        }
    }
}
