//! List once, then watch: keeps a mirror of a resource in step with the API server.
//!
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>

mod expiry;
mod watch;

use std::time::{Duration, Instant};

use log::{Level, debug, info, log};
use serde::Deserialize;

use super::client::{Client, pause_after};
use super::list::{self, list_items};
use super::protobuf::Malformed;
use super::request::{Collection, Resource};
use super::status::Error;
use super::stream::parse;
use crate::health::Component;
use crate::logging::COLLECTOR;
use crate::thread::backoff::{Backoff, random_fraction};
use expiry::Expiry;
use watch::watch;

/// A component that watches makes progress at least this often: two bookmarks and a pause.
pub const QUIET: Duration = Duration::from_mins(3);
/// A watch that lasts less is counted as a failure: a server that ends them at once must not be asked in a loop.
const SHORT: Duration = Duration::from_secs(1);
/// A watch is refused for so long before a list is tried: an API server that starts refuses what it has not read the
/// roles for yet, and a list of everything costs both sides far more.
const REFUSED: Duration = Duration::from_secs(30);
/// How long changes gather for what is looked at once a collection.
pub const MOMENT: Duration = Duration::from_millis(50);
/// So many objects of a list are progress: however slowly they come, health sees that they do.
pub const OFTEN: u64 = 64;
/// The most a failing list or watch waits.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What is kept of a resource.
pub trait Mirror: Sized {
    /// What is read of one object.
    type Object<'de>: Deserialize<'de>;
    /// Reads an object from protobuf, which the server is then asked for; `None`: all comes as JSON.
    const PROTOBUF: Option<FromProtobuf<Self>> = None;
    /// How long changes may gather before they are taken in: each that comes alone wakes a thread, which costs more
    /// than what it says. Only where a watch has caught up; what came meanwhile is read without a pause.
    const GATHER: Duration = Duration::ZERO;
    /// The object's resource version, an opaque text.
    fn version<'a>(object: &'a Self::Object<'_>) -> &'a str;
    /// A list begins: what it does not bring is gone at its end.
    fn list_began(&mut self);
    /// The object exists so. The same one may come again.
    fn applied(&mut self, object: Self::Object<'_>);
    /// The object is gone.
    fn deleted(&mut self, object: Self::Object<'_>);
    /// The list is complete.
    fn list_ended(&mut self);
    /// The server has been refusing the list for so long, for want of a permission.
    fn refused(&mut self, _lasting: Duration) {}
    /// The server answered, or the watch is up: what is mirrored is current.
    fn alive(&mut self);
}

/// Reads what is mirrored of one object, which may borrow from the message.
pub type FromProtobuf<M> = for<'de> fn(&'de [u8]) -> Result<<M as Mirror>::Object<'de>, Malformed>;

/// Who is told how it goes.
pub trait Observer {
    /// Progress was made.
    fn beat(&self);
    /// A pause of so long begins.
    fn waits(&self, _pause: Duration) {}
    /// The server answers.
    fn running(&self);
    /// A list or a watch failed and is tried again; `what` says which.
    fn failed(&self, what: &str, err: &Error);
}

impl Observer for Component {
    fn beat(&self) {
        self.beat();
    }

    fn waits(&self, pause: Duration) {
        self.waits(pause);
    }

    fn running(&self) {
        self.running();
    }

    fn failed(&self, what: &str, err: &Error) {
        self.degraded(&format!("{what}: {err}"));
    }
}

/// Keeps `mirror` in step with `resource` until the client's stop fires.
pub fn run<M: Mirror>(
    client: &Client,
    resource: Resource,
    mirror: &mut M,
    component: &Component,
) -> Result<(), Error> {
    let all = Collection::from(resource);
    run_parts(client, std::slice::from_ref(&all), &all, mirror, component)
}

/// Keeps `mirror` in step with the objects of all `parts` until the client's stop fires: the parts are listed one
/// after the other, and watched together as `whole`, which may hold more.
pub fn run_parts<M: Mirror>(
    client: &Client,
    parts: &[Collection],
    whole: &Collection,
    mirror: &mut M,
    component: &impl Observer,
) -> Result<(), Error> {
    let resource = &whole.resource;
    let stop = client.stop();
    let mut backoff = backoff();
    let mut expiry = Expiry::new();
    let mut refused: Option<Instant> = None;
    while !stop.requested() {
        component.beat();
        match relist(client, parts, mirror, component) {
            Ok(version) => {
                refused = None;
                component.running();
                backoff.reset();
                follow(client, whole, mirror, component, version, &mut expiry)?;
            }
            Err(Error::Stopped) => return Ok(()),
            Err(err) => {
                if err.is_forbidden() {
                    mirror.refused(refused.get_or_insert_with(Instant::now).elapsed());
                }
                // A list may outlast its continue token once.
                if !err.is_gone() || backoff.failures() > 0 {
                    component.failed(&format!("failed to list {}", resource.label()), &err);
                    // What is not permitted is said once, where it is switched off.
                    let level = if err.is_forbidden() {
                        Level::Debug
                    } else {
                        Level::Warn
                    };
                    log!(target: COLLECTOR, level, "Failed to list {}: {err}", resource.label());
                }
                let pause = pause_after(&err, &mut backoff);
                component.waits(pause);
                stop.wait(pause);
            }
        }
    }
    Ok(())
}

fn backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), MAX_PAUSE).with_floor(Duration::from_millis(100))
}

fn relist<M: Mirror>(
    client: &Client,
    parts: &[Collection],
    mirror: &mut M,
    component: &impl Observer,
) -> Result<String, Error> {
    mirror.list_began();
    // Versions are those of the whole store: after the first list's, nothing of any part is missed.
    let mut version = None;
    for part in parts {
        let mut count = 0;
        let arrivals = Arrivals {
            mirror,
            component,
            count: &mut count,
        };
        let listed = list_items(client, part.clone(), list::Options::default(), arrivals)?;
        debug!(target: COLLECTOR, "Listed {count} {}", part.resource.label());
        version.get_or_insert(listed);
    }
    mirror.list_ended();
    mirror.alive();
    Ok(version.unwrap_or_default())
}

/// Hands the items of a list to the mirror.
struct Arrivals<'a, M, O> {
    mirror: &'a mut M,
    component: &'a O,
    count: &'a mut u64,
}

impl<M: Mirror, O: Observer> Arrivals<'_, M, O> {
    fn arrived(&mut self) {
        *self.count += 1;
        if self.count.is_multiple_of(OFTEN) {
            self.component.beat();
        }
    }
}

impl<M: Mirror, O: Observer> list::Items for Arrivals<'_, M, O> {
    const PROTOBUF: bool = M::PROTOBUF.is_some();

    fn json(&mut self, window: &[u8]) -> serde_json::Result<usize> {
        let taken = parse(window, |source| {
            self.mirror.applied(M::Object::deserialize(source)?);
            Ok(())
        })?;
        self.arrived();
        Ok(taken)
    }

    fn protobuf(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let read = M::PROTOBUF.ok_or(Malformed::NOT_ASKED_FOR)?;
        self.mirror.applied(read(message)?);
        self.arrived();
        Ok(())
    }

    fn waiting(&mut self) {
        self.component.beat();
    }
}

/// Watches from `version` on; returns when a new list is needed and it is time for it, or at the stop.
fn follow<M: Mirror>(
    client: &Client,
    collection: &Collection,
    mirror: &mut M,
    component: &impl Observer,
    mut version: String,
    expiry: &mut Expiry,
) -> Result<(), Error> {
    let resource = &collection.resource;
    let mut backoff = backoff();
    let mut refused: Option<Instant> = None;
    loop {
        component.beat();
        let began = Instant::now();
        // A wait for an answer that does not come is no watch, however long it was.
        let mut up = None;
        let ended = watch(client, collection, mirror, component, &mut version, &mut up);
        let lasted = up.is_some_and(|it: Instant| it.elapsed() >= SHORT);
        refused = match &ended {
            Err(err) if err.is_forbidden() => refused.or(Some(began)),
            _ => None,
        };
        if client.stop().requested() {
            return Ok(());
        }
        let pause = match ended {
            Ok(()) if lasted => {
                backoff.reset();
                continue;
            }
            Ok(()) => backoff.next_pause(),
            Err(Error::Stopped) => return Ok(()),
            Err(err) if err.is_gone() => {
                info!(target: COLLECTOR, "The watch of {} is too old, listing anew", resource.label());
                if let Some(pause) = expiry.pause(Instant::now(), random_fraction()) {
                    component.failed(
                        &format!("each watch of {} is too old", resource.label()),
                        &err,
                    );
                    component.waits(pause);
                    client.stop().wait(pause);
                }
                return Ok(());
            }
            // Whether it may still be listed decides over what goes on being known.
            Err(err) if refused.is_some_and(|it| it.elapsed() >= REFUSED) => {
                component.failed(&format!("failed to watch {}", resource.label()), &err);
                return Ok(());
            }
            // Silence, not refusal: the connection died quietly, and the next one goes on where it ended.
            Err(Error::Timeout(_)) if lasted => continue,
            Err(err) => {
                if lasted {
                    backoff.reset();
                }
                component.failed(&format!("failed to watch {}", resource.label()), &err);
                debug!(target: COLLECTOR, "The watch of {} ended: {err}", resource.label());
                pause_after(&err, &mut backoff)
            }
        };
        component.waits(pause);
        if client.stop().wait(pause) {
            return Ok(());
        }
    }
}
