//! The connection pool and the credentials in use, renewed as they get old.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::unversioned::transport::DefaultConnector;

use crate::kube::credentials::Credentials;
use crate::kube::kubeconfig::Access;
use crate::kube::status::Error;
use crate::net::names::Names;
use crate::secret::Secret;
use crate::thread::stop::Stop;

/// A name that does not resolve or a host that does not answer is noticed within this.
const CONNECT: Duration = Duration::from_secs(10);
/// ureq's buffers, for each connection: reads of a TLS record or more at once, and small requests.
const INPUT_BUFFER: usize = 32 << 10;
const OUTPUT_BUFFER: usize = 8 << 10;

/// What all requests of a client share.
#[derive(Default)]
pub(super) struct Session(Mutex<State>);

#[derive(Default)]
struct State {
    closed: bool,
    current: Option<Current>,
    /// When credentials could not be read last, and why.
    failed: Option<(Instant, String)>,
}

struct Current {
    agent: ureq::Agent,
    fingerprint: u64,
    credentials: Credentials,
}

impl Session {
    /// Breaks every connection, and gives out no more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        if let Some(current) = state.current.take() {
            current.agent.shutdown();
        }
    }

    /// The pool and token to use now, read anew when they are stale or `renew` asks for it.
    pub(super) fn current(
        &self,
        access: &Access,
        stop: &Stop,
        renew: bool,
    ) -> Result<(ureq::Agent, Option<Secret>), Error> {
        let asked = Instant::now();
        let mut state = self.state();
        if state.closed {
            return Err(Error::Stopped);
        }
        // Whoever waited while another one asked, for as long as a plugin may take, has its answer: a queue of them
        // would ask one after the other.
        match &state.failed {
            Some((at, why)) if *at > asked => return Err(Error::Credentials(why.clone())),
            _ => (),
        }
        let renew = renew
            && (state.current.as_ref()).is_none_or(|it| !it.credentials.are_newer_than(asked));
        if renew
            || state
                .current
                .as_ref()
                .is_none_or(|it| it.credentials.are_stale())
        {
            let read = Credentials::read(access, stop).and_then(|it| state.connectable(it));
            match (read, state.current.as_mut()) {
                (Ok(read), _) => state.current = Some(read),
                // The last good ones may serve on: the kubelet may be writing the file at this moment.
                (Err(_), Some(current)) if !renew => current.credentials.keep(),
                (Err(err), _) => {
                    if let Error::Credentials(why) = &err {
                        state.failed = Some((Instant::now(), why.clone()));
                    }
                    return Err(err);
                }
            }
        }
        match &state.current {
            Some(current) => Ok((current.agent.clone(), current.credentials.bearer.clone())),
            None => Err(Error::Stopped),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The pool for `credentials`: the one in use where their certificates are the same.
    fn connectable(&self, credentials: Credentials) -> Result<Current, Error> {
        let fingerprint = credentials.tls.fingerprint();
        let agent = match &self.current {
            Some(current) if current.fingerprint == fingerprint => current.agent.clone(),
            _ => agent(credentials.tls.config()?),
        };
        Ok(Current {
            agent,
            fingerprint,
            credentials,
        })
    }
}

fn agent(tls: ureq::tls::TlsConfig) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        // Traffic to the API server must never go through a proxy that the environment names.
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .timeout_resolve(Some(CONNECT))
        .input_buffer_size(INPUT_BUFFER)
        .output_buffer_size(OUTPUT_BUFFER)
        .build();
    ureq::Agent::with_parts(config, DefaultConnector::default(), Names::default())
}
