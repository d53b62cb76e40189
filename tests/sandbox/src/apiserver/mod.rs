//! A simulated kube-apiserver: the part of the Kubernetes API that the agent uses, faithful where it shows.
//!
//! ```text
//!  serve     one request: fault? token? path -> verb; recorded in `audit`
//!    list watch        read the store                    selector body
//!    create write patch delete   change it               defaults validate managed
//!    eviction scale    the two subresources with rules
//!    metrics           usage of the pods in the store
//!    discovery access  what there is, and who may
//!  store     all objects, one version counter, the changes watches are told; `object` is one of them
//!  controllers         what makes a cluster of objects: scheduler, kubelet, workloads, budgets
//!  generate            clusters of any size at once
//!  sim       the switches of all this over HTTP, for other processes
//! ```
//!
//! Tests hold an [`ApiServer`]; what it does by itself is set by [`Options`], [`Fault`]s and its methods.

mod access;
mod audit;
mod body;
mod churn;
mod controllers;
mod create;
mod defaults;
mod delete;
mod discovery;
mod eviction;
mod faults;
mod generate;
mod list;
mod managed;
mod metrics;
mod object;
mod options;
mod patch;
mod protobuf;
mod quantity;
mod random;
mod resources;
mod route;
mod scale;
mod selector;
mod serve;
mod server;
mod sim;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod validate;
mod watch;
mod write;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

pub use access::Denial;
pub use audit::{Audit, Entry};
pub use controllers::ControllerOptions;
pub use faults::{Effect, Fault};
pub use generate::Population;
pub use metrics::{Availability, MetricsMode};
pub use options::{ExpiredWatch, Options};
pub use server::ApiServer;
pub use status::Status;

use access::Access;
use controllers::Controllers;
use faults::Faults;
use metrics::Metrics;
use object::Form;
use protobuf::Field;
use route::Target;
use selector::Selector;
use status::Result;
use store::Store;

use crate::http::{Control, Request};

/// Everything a request may need; shared by all threads.
struct Api {
    options: Options,
    minor: u32,
    store: Store,
    access: Access,
    faults: Faults,
    audit: Audit,
    metrics: Metrics,
    /// Grows to end all watches that began before.
    watch_epoch: AtomicU64,
    /// How the server is stopped from within; set once it listens.
    control: OnceLock<Control>,
    controllers: Mutex<Option<Controllers>>,
}

/// A request for a resource.
struct Call<'a> {
    api: &'a Arc<Api>,
    request: &'a Request,
    target: Target,
    /// Counts the body's bytes as they are sent.
    sent: Arc<AtomicU64>,
}

impl Call<'_> {
    /// The selectors of a list or a watch. One that names an object, as a watch of it may, selects it.
    fn selector(&self) -> Result<Selector> {
        let query = |name| self.request.query(name).unwrap_or_default();
        Selector::parse(
            self.target.resource,
            query("labelSelector"),
            query("fieldSelector"),
        )
    }

    /// The form that the client of a list or a watch accepts, and how the objects are written in protobuf where it
    /// asks for that.
    fn wanted(&self) -> Result<(Form, Option<&'static [Field]>)> {
        let fields = |form| {
            let items = protobuf::items(self.target.resource, form);
            items.filter(|_| self.api.options.protobuf)
        };
        let wanted = body::accepted(self.request, |form| fields(form).is_some())?;
        Ok((wanted.form, fields(wanted.form).filter(|_| wanted.protobuf)))
    }

    /// A query parameter that must be a number where it is given.
    fn number(&self, name: &str) -> Result<Option<u64>> {
        match self.request.query(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                Status::bad_request(format!(
                    "strconv.ParseInt: parsing {text:?}: invalid syntax"
                ))
            }),
        }
    }
}
