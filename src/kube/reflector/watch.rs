//! One watch: what it tells, in either form, taken into the mirror.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::http;

use super::{Mirror, Observer};
use crate::kube::body::Body;
use crate::kube::call::{Call, Deadlines};
use crate::kube::client::Client;
use crate::kube::protobuf::{self, Events, Malformed};
use crate::kube::request::{self, Collection};
use crate::kube::status::{Error, Status};
use crate::kube::stream::{Stream, StreamError, parse};
use crate::thread::backoff::random_fraction;

/// The server ends a watch after this long, more or less a fifth: it spreads the load when a thousand watches
/// began at once. client-go takes 5 to 10 minutes.
const WATCH: Duration = Duration::from_mins(5);

/// One watch, from `version` on, which moves along with what came; it is `up` since the server began to answer.
pub(super) fn watch<M: Mirror>(
    client: &Client,
    collection: &Collection,
    mirror: &mut M,
    component: &impl Observer,
    version: &mut String,
    up: &mut Option<Instant>,
) -> Result<(), Error> {
    let resource = &collection.resource;
    let seconds = WATCH.mul_f64(0.8 + 0.4 * random_fraction()).as_secs();
    let target = request::watch(collection, version, seconds);
    let body = client.open(&Call {
        method: http::Method::GET,
        target: &target,
        verb: "watch",
        resource: resource.label(),
        accept: resource.accept_watch(M::PROTOBUF.is_some()),
        body: None,
        deadlines: Deadlines::WATCH,
    })?;
    *up = Some(Instant::now());
    component.running();
    mirror.alive();
    let mut changes = Changes::of(body);
    loop {
        let absorbed = changes.absorb(mirror)?;
        component.beat();
        mirror.alive();
        match absorbed {
            Some(Absorbed::Version(new)) => *version = new,
            Some(Absorbed::Refused(status)) => return Err(Error::Status(Box::new(status))),
            Some(Absorbed::Nothing) => (),
            None => return Ok(()),
        }
        let pause = if changes.caught_up() {
            M::GATHER
        } else {
            Duration::ZERO
        };
        if client.stop().wait(pause) {
            return Ok(());
        }
    }
}

/// What a change was.
enum Absorbed {
    /// The mirror is at this version now.
    Version(String),
    Nothing,
    /// The watch has failed.
    Refused(Status),
}

/// The changes, in the form that the server chose.
enum Changes {
    Json(Stream<Body>),
    Protobuf(Events<Body>),
}

impl Changes {
    fn of(body: Body) -> Self {
        if body.is_protobuf() {
            Self::Protobuf(Events::new(body))
        } else {
            Self::Json(Stream::new(body))
        }
    }

    /// Whether all that the server had sent is taken in.
    fn caught_up(&self) -> bool {
        match self {
            Self::Json(stream) => stream.caught_up(),
            Self::Protobuf(events) => events.caught_up(),
        }
    }

    /// Takes in the next change; `None` at the end.
    fn absorb<M: Mirror>(&mut self, mirror: &mut M) -> Result<Option<Absorbed>, StreamError> {
        match self {
            Self::Protobuf(events) => events.next(|event| absorb(mirror, event)),
            Self::Json(stream) => {
                let mut absorbed = Absorbed::Nothing;
                let came = stream.next(|window| {
                    parse(window, |source| {
                        absorbed = absorb(mirror, &Json::deserialize(source)?)?;
                        Ok(())
                    })
                })?;
                Ok(came.then_some(absorbed))
            }
        }
    }
}

/// A change as the server tells it.
trait Event {
    /// Why it cannot be read.
    type Error;
    fn kind(&self) -> &str;
    fn object<M: Mirror>(&self) -> Result<M::Object<'_>, Self::Error>;
    /// The version of a bookmark, which is all that it has.
    fn version(&self) -> Result<String, Self::Error>;
    /// What an error says.
    fn refusal(&self) -> Result<Status, Self::Error>;
}

/// What an error without a code is taken for.
const UNKNOWN: u16 = 500;

fn absorb<M: Mirror, E: Event>(mirror: &mut M, event: &E) -> Result<Absorbed, E::Error> {
    Ok(match event.kind() {
        kind @ ("ADDED" | "MODIFIED" | "DELETED") => {
            let object = event.object::<M>()?;
            let version = M::version(&object).to_owned();
            if kind == "DELETED" {
                mirror.deleted(object);
            } else {
                mirror.applied(object);
            }
            Absorbed::Version(version)
        }
        "BOOKMARK" => Absorbed::Version(event.version()?),
        // An error inside a stream that began with 200, most often 410 (kubeclient issue 452).
        "ERROR" => Absorbed::Refused(event.refusal()?),
        // A kind of event that a later Kubernetes may add.
        _ => Absorbed::Nothing,
    })
}

impl Event for protobuf::Event<'_> {
    type Error = Malformed;

    fn kind(&self) -> &str {
        self.kind
    }

    fn object<M: Mirror>(&self) -> Result<M::Object<'_>, Malformed> {
        let read = M::PROTOBUF.ok_or(Malformed::NOT_ASKED_FOR)?;
        read(self.object()?)
    }

    fn version(&self) -> Result<String, Malformed> {
        self.resource_version().map(str::to_owned)
    }

    fn refusal(&self) -> Result<Status, Malformed> {
        let code = protobuf::status(self.framed).and_then(|it| it.code);
        let code = code.and_then(|it| u16::try_from(it).ok());
        Ok(Status::from_answer(
            code.unwrap_or(UNKNOWN),
            None,
            self.framed,
        ))
    }
}

/// An event in JSON.
#[derive(Deserialize)]
struct Json<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl Event for Json<'_> {
    type Error = serde_json::Error;

    fn kind(&self) -> &str {
        &self.kind
    }

    fn object<M: Mirror>(&self) -> serde_json::Result<M::Object<'_>> {
        serde_json::from_str(self.object.get())
    }

    fn version(&self) -> serde_json::Result<String> {
        #[derive(Deserialize)]
        struct Bookmark {
            metadata: Meta,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Meta {
            resource_version: String,
        }
        let bookmark: Bookmark = serde_json::from_str(self.object.get())?;
        Ok(bookmark.metadata.resource_version)
    }

    fn refusal(&self) -> serde_json::Result<Status> {
        #[derive(Deserialize)]
        struct Code {
            code: Option<u16>,
        }
        let text = self.object.get();
        let code = serde_json::from_str::<Code>(text)?.code;
        Ok(Status::from_answer(
            code.unwrap_or(UNKNOWN),
            None,
            text.as_bytes(),
        ))
    }
}
