//! GET of changes as they happen.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::body::Counted;
use super::defaults;
use super::object::{Form, Object};
use super::options::ExpiredWatch;
use super::protobuf::{self, Field};
use super::resources::Resource;
use super::selector::Selector;
use super::status::{Result, Status};
use super::store::Event;
use super::{Api, Call};
use crate::http::Response;

/// The real server's default is random between 30 and 60 minutes.
const DEFAULT_TIMEOUT: u64 = 1800;
/// How often a watch without news looks whether its client is still there.
const PATIENCE: Duration = Duration::from_millis(200);

struct Watch {
    api: Arc<Api>,
    resource: &'static Resource,
    namespace: String,
    selector: Selector,
    form: Form,
    /// How the objects are written in protobuf, where it was asked for.
    fields: Option<&'static [Field]>,
    bookmarks: bool,
    deadline: Instant,
    /// The server drops all watches of an epoch at once.
    epoch: u64,
    /// Told up to here.
    revision: u64,
    /// What exists already, to be told first.
    initial: Vec<Arc<Object>>,
}

/// Answers a watch.
pub(super) fn watch(call: &Call<'_>) -> Result<Response> {
    let (resource, namespace) = (call.target.resource, call.target.namespace.clone());
    let (form, fields) = call.wanted()?;
    let selector = call.selector()?;
    if call.request.query("sendInitialEvents").is_some() {
        let why = "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        return Err(Status::invalid(resource, "", "sendInitialEvents", why));
    }
    let seconds = call
        .number("timeoutSeconds")?
        .filter(|seconds| *seconds > 0)
        .unwrap_or(DEFAULT_TIMEOUT);
    let from = call.request.query("resourceVersion").unwrap_or_default();
    let asked: u64 = match from {
        "" => 0,
        from => from.parse().map_err(|_| Status::not_a_version(from))?,
    };

    let state = call.api.store.read();
    let floor = state.floor(resource);
    if asked != 0 && asked < floor && call.api.options.expired_watch == ExpiredWatch::Http {
        return Err(Status::too_old(asked, floor));
    }
    // Without a version, or with 0, a watch starts with all there is as if it were just added.
    let initial = if asked == 0 {
        state
            .list(resource, &namespace)
            .filter(|it| selector.matches(it))
            .cloned()
            .collect()
    } else {
        Vec::new()
    };
    let mut watch = Watch {
        api: Arc::clone(call.api),
        resource,
        namespace,
        selector,
        form,
        fields,
        bookmarks: matches!(
            call.request.query("allowWatchBookmarks"),
            Some("true" | "1")
        ),
        deadline: Instant::now() + Duration::from_secs(seconds),
        epoch: call.api.watch_epoch.load(Ordering::SeqCst),
        revision: if asked == 0 { state.revision } else { asked },
        initial,
    };
    drop(state);
    let sent = Arc::clone(&call.sent);
    let stream = Response::stream(200, move |chunks| watch.run(&mut Counted { chunks, sent }));
    Ok(stream
        .with_header(
            "content-type",
            match fields {
                Some(_) => protobuf::WATCH_MEDIA_TYPE,
                None => "application/json",
            },
        )
        .with_header("cache-control", "no-cache, private"))
}

impl Watch {
    fn run(&mut self, out: &mut Counted<'_, '_>) -> io::Result<()> {
        let interval = self.api.options.bookmark_interval;
        let mut next_bookmark = Instant::now() + interval;
        let mut line = Vec::new();
        for object in std::mem::take(&mut self.initial) {
            self.write_event("ADDED", &object, &mut line);
            if line.len() > 64 << 10 {
                out.write_all(&line)?;
                line.clear();
            }
        }
        out.write_all(&line)?;
        loop {
            let until = if self.bookmarks {
                self.deadline.min(next_bookmark)
            } else {
                self.deadline
            };
            let patience = PATIENCE.min(until.saturating_duration_since(Instant::now()));
            let news = self.api.store.wait(self.resource, self.revision, patience);
            if self.api.watch_epoch.load(Ordering::SeqCst) != self.epoch {
                return Err(io::Error::other("the server drops its watches"));
            }
            if news.expired {
                let floor = self.api.store.read().floor(self.resource);
                let error = Status::too_old(self.revision, floor);
                return out.write_all(&match self.fields {
                    Some(_) => protobuf::event("ERROR", &protobuf::status(&error)),
                    None => {
                        let error = error.to_json();
                        format!("{{\"type\":\"ERROR\",\"object\":{error}}}\n").into_bytes()
                    }
                });
            }
            line.clear();
            for event in &news.events {
                self.write_change(event, &mut line);
            }
            // A watch from a version yet to come waits for it.
            self.revision = self.revision.max(news.revision);
            let now = Instant::now();
            let ending = now >= self.deadline;
            if self.bookmarks && (ending || now >= next_bookmark) {
                self.write_bookmark(&mut line);
                next_bookmark = now + interval;
            }
            if !line.is_empty() {
                out.write_all(&line)?;
            } else if out.chunks.is_closed() {
                return Ok(());
            }
            if ending {
                return Ok(());
            }
        }
    }

    fn sees(&self, object: &Object) -> bool {
        (self.namespace.is_empty() || object.namespace() == self.namespace)
            && self.selector.matches(object)
    }

    /// An object that a selector begins to match is added for its watcher, one that it no longer matches is deleted.
    fn write_change(&self, event: &Event, line: &mut Vec<u8>) {
        let saw = event.before.as_ref().filter(|before| self.sees(before));
        let sees = !event.deleted && self.sees(&event.after);
        match (saw, sees) {
            (None, false) => {}
            (None, true) => self.write_event("ADDED", &event.after, line),
            (Some(_), true) => self.write_event("MODIFIED", &event.after, line),
            (Some(_), false) if event.deleted => self.write_event("DELETED", &event.after, line),
            (Some(before), false) => {
                // As it was when it still matched, but with the version of the change.
                let last = Object::new(self.resource, event.revision, before.value(self.resource));
                self.write_event("DELETED", &last, line);
            }
        }
    }

    fn write_event(&self, kind: &str, object: &Object, line: &mut Vec<u8>) {
        if let Some(fields) = self.fields {
            let object = object.value(self.resource);
            self.write_protobuf(kind, fields, &object, line);
            return;
        }
        line.extend_from_slice(format!(r#"{{"type":"{kind}","object":"#).as_bytes());
        object.write(self.resource, self.form, line);
        line.extend_from_slice(b"}\n");
    }

    fn write_protobuf(&self, event: &str, fields: &[Field], object: &Value, line: &mut Vec<u8>) {
        let (kind, version) = self.form.kind(self.resource);
        let object = protobuf::object(kind, &version, fields, object);
        line.extend_from_slice(&protobuf::event(event, &object));
    }

    fn write_bookmark(&self, line: &mut Vec<u8>) {
        let (kind, version) = self.form.kind(self.resource);
        let metadata =
            json!({"resourceVersion": self.revision.to_string(), "creationTimestamp": null});
        let mut object = json!({"kind": kind, "apiVersion": version, "metadata": metadata});
        if let Some(fields) = self.fields {
            return self.write_protobuf("BOOKMARK", fields, &object, line);
        }
        if self.form == Form::Whole {
            defaults::show_empty(self.resource, &mut object);
        }
        line.extend_from_slice(
            format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n").as_bytes(),
        );
    }
}
