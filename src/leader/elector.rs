//! The thread that stands for election: takes the Lease when it is free, renews it, gives it back at the stop. Here is
//! what it asks of the API server; when it asks, the [`candidate`] decides.
//!
//! While another holds it, its renewals are watched, so that a Lease that was given back is taken at once. Where the
//! watch is not permitted the Lease is read at each retry instead.

mod candidate;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Method;

use super::lease::Lease;
use super::{Handover, Leadership, Settings, Timing};
use crate::health::Component;
use crate::kube::body::Body;
use crate::kube::call::{Call, Deadlines};
use crate::kube::fence::Open;
use crate::kube::{self, Collection, Error, Resource, Target, request};
use crate::thread::backoff::jittered;
use crate::thread::stop::{Never, Stop};
use candidate::Candidate;

/// How much of itself a retry period may be longer or shorter, so that replicas do not try in step.
const JITTER: f64 = 0.2;
/// An agent that runs alone asks this often whether it may use the Lease now.
const FORBIDDEN_PAUSE: Duration = Duration::from_secs(30);

/// Stands for election.
pub struct Elector {
    settings: Settings,
    /// Who we are: `holderIdentity`.
    identity: String,
    /// Whether we could carry out actions; it holds as long as the process.
    is_fit: bool,
    /// Reads and writes the Lease.
    kube: kube::Client,
    /// Watches it; closed to wake the thread.
    watching: kube::Client,
    leadership: Arc<Leadership>,
    handover: Arc<dyn Handover>,
}

impl Elector {
    /// One that speaks to the server of `kube` over connections of its own.
    pub fn new(
        settings: Settings,
        identity: String,
        is_fit: bool,
        kube: &kube::Client,
        stop: &Stop,
        leadership: Arc<Leadership>,
        handover: Arc<dyn Handover>,
    ) -> Self {
        Self {
            settings,
            identity,
            is_fit,
            // Its own fence is the Lease's resource version.
            kube: kube.apart(stop.clone()).writing(Arc::new(Open)),
            watching: kube.apart(stop.clone()),
            leadership,
            handover,
        }
    }

    /// Ends a wait for another's Lease: to be called after the stop has fired.
    pub fn wake(&self) {
        self.watching.close();
    }

    /// Breaks whatever it still waits for.
    pub fn close(&self) {
        self.kube.close();
    }

    /// Runs until the stop, and then gives the Lease back if it has it.
    pub fn run(&self, component: &Component, stop: &Stop) -> Result<(), Never> {
        component.period(self.timing().lease_duration.max(FORBIDDEN_PAUSE));
        Candidate::new(self, component, stop).stand();
        Ok(())
    }

    fn timing(&self) -> &Timing {
        &self.settings.timing
    }

    fn pause(&self) -> Duration {
        jittered(self.timing().retry_period, JITTER)
    }

    /// One request must leave time for another within the renew deadline.
    fn patience(&self) -> Duration {
        self.timing().renew_deadline / 2
    }

    fn path(&self) -> String {
        let Resource { root, plural, .. } = Resource::LEASES;
        format!("{root}/namespaces/{}/{plural}", self.settings.namespace)
    }

    /// The Lease; none if there is none.
    fn get(&self) -> Result<Option<Lease>, Error> {
        let target = Target::new(format!("{}/{}", self.path(), self.settings.lease));
        let call = Call {
            deadlines: within(self.patience()),
            ..Call::get(&target, Resource::LEASES.plural)
        };
        match self.kube.send::<Value>(&call) {
            Ok(lease) => Ok(Some(lease.into())),
            Err(err) if err.is_not_found() => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Creates the Lease, or updates the version of it that is known.
    fn put(&self, lease: &Lease, patience: Duration) -> Result<Lease, Error> {
        let (method, verb, path) = if lease.version().is_empty() {
            (Method::POST, "create", self.path())
        } else {
            let path = format!("{}/{}", self.path(), self.settings.lease);
            (Method::PUT, "update", path)
        };
        let target = Target::new(path);
        let body = lease.to_json();
        let sent = self.kube.send::<Value>(&Call {
            deadlines: within(patience),
            ..Call::json(method, verb, &target, Resource::LEASES.plural, &body)
        });
        sent.map(Lease::from)
    }

    /// Watches the Lease from `version` on; a read of the answer may wait for as long as `silence`.
    fn watch(&self, version: &str, silence: Duration) -> Result<Body, Error> {
        let Settings {
            namespace, lease, ..
        } = &self.settings;
        let one = Collection::from(Resource::LEASES)
            .in_namespace(namespace)
            .with_fields(format!("metadata.name={lease}"));
        let target = request::watch(&one, version, WATCH.as_secs());
        let call = Call {
            verb: "watch",
            deadlines: Deadlines {
                answer: self.patience(),
                silence,
                total: None,
            },
            ..Call::get(&target, Resource::LEASES.plural)
        };
        self.watching.open(&call)
    }
}

/// The server ends the watch of a standby after this long at the latest.
const WATCH: Duration = Duration::from_mins(5);

fn within(patience: Duration) -> Deadlines {
    Deadlines {
        answer: patience,
        silence: patience,
        total: Some(patience),
    }
}
