//! GET of many objects, in pages.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Call;
use super::body;
use super::object::{Form, Object};
use super::protobuf;
use super::resources::Resource;
use super::selector::Selector;
use super::status::{Result, Status};
use super::store::State;
use crate::http::Response;

/// Said when a list cannot go on at its version.
const EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. \
    You can start a new list without the continue parameter, or use the continue token in this response \
    to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - \
    objects that were created, modified, or deleted between the time the first chunk was returned and now may show up \
    in the list.";
/// Said when a list cannot begin at a version.
const TOO_OLD: &str = "The resourceVersion for the provided list is too old.";

/// What messages about a list's parameters name.
static LIST_OPTIONS: Resource = Resource {
    group: "meta.k8s.io",
    version: "v1",
    plural: "ListOptions",
    kind: "ListOptions",
    namespaced: false,
    subresources: &[],
    fields: &[],
    minors: (0, u32::MAX),
};

/// A page of a list.
struct Page {
    objects: Vec<Arc<Object>>,
    revision: u64,
    /// The token for what is left, and how much that is, where it is known.
    rest: Option<(String, Option<usize>)>,
}

/// Where a list goes on: at which version, after which key.
struct Continue {
    /// None for whatever version is the present.
    revision: Option<u64>,
    start: String,
}

/// Answers a list.
pub(super) fn list(call: &Call<'_>) -> Result<Response> {
    let resource = call.target.resource;
    let (form, fields) = call.wanted()?;
    let selector = call.selector()?;
    let page = call.api.store.write(|state| read(call, state, &selector))?;

    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some((token, remaining)) = &page.rest {
        metadata["continue"] = token.as_str().into();
        if let Some(remaining) = remaining.filter(|_| form == Form::Whole) {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    let (kind, version) = form.kind(resource);
    if let Some(fields) = fields {
        let items = page.objects.iter().map(|it| &*it.json);
        let list = protobuf::list(&format!("{kind}List"), &version, &metadata, fields, items);
        return Ok(body::binary(200, list));
    }
    let head = format!(
        r#"{{"kind":"{kind}List","apiVersion":"{version}","metadata":{metadata},"items":["#
    );
    Ok(answer(call, head, page.objects, move |object, out| {
        object.write_item(resource, form, out);
    }))
}

/// Sends a list made of a head, which ends with `[`, and items.
pub(super) fn answer(
    call: &Call<'_>,
    head: String,
    objects: Vec<Arc<Object>>,
    write: impl Fn(&Object, &mut Vec<u8>) + Send + 'static,
) -> Response {
    let size: usize = objects.iter().map(|object| object.json.len()).sum();
    let items = objects.into_iter().enumerate().map(move |(index, object)| {
        let mut item = Vec::with_capacity(object.json.len() + 128);
        if index > 0 {
            item.push(b',');
        }
        write(&object, &mut item);
        item
    });
    if !body::is_large(size) {
        let mut json = head.into_bytes();
        items.for_each(|item| json.extend(item));
        json.extend_from_slice(b"]}\n");
        return body::whole(200, json);
    }
    body::streamed(Arc::clone(&call.sent), move |out| {
        out.write_all(head.as_bytes())?;
        for item in items {
            out.write_all(&item)?;
        }
        out.write_all(b"]}\n")
    })
}

fn read(call: &Call<'_>, state: &mut State, selector: &Selector) -> Result<Page> {
    let resource = call.target.resource;
    let namespace = call.target.namespace.as_str();
    let wanted = call.request.query("resourceVersion").unwrap_or_default();
    let exactness = call.request.query("resourceVersionMatch");
    if exactness.is_some() && wanted.is_empty() {
        let why = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided";
        return Err(Status::invalid(
            &LIST_OPTIONS,
            "",
            "resourceVersionMatch",
            why,
        ));
    }
    // Version 0 is answered from the watch cache, which knows no pages.
    let limit = match call.number("limit")? {
        Some(0) | None => usize::MAX,
        Some(_) if wanted == "0" => usize::MAX,
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
    };

    let token = call.request.query("continue").unwrap_or_default();
    let start = if token.is_empty() {
        None
    } else {
        Some(Continue::decode(token)?)
    };
    let revision = match &start {
        Some(_) if !wanted.is_empty() && wanted != "0" => {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        Some(start) => start.revision,
        None => match wanted {
            "" | "0" => None,
            wanted => {
                // A page at a version is of exactly that version, unless the request says otherwise.
                let exact = match exactness {
                    Some(exactness) => exactness == "Exact",
                    None => limit < usize::MAX,
                };
                asked_revision(state, wanted, exact)?
            }
        },
    };

    let Some(revision) = revision.filter(|revision| *revision != state.revision) else {
        let from = start.map_or_else(String::new, |start| start.start);
        let matching = state
            .list(resource, namespace)
            .filter(|object| *object.key >= *from);
        let page = take(matching, limit, selector, state.revision);
        if page.rest.is_some() {
            let revision = state.revision;
            state.snapshot(resource, revision);
        }
        return Ok(page);
    };
    let Some(snapshot) = state.snapshot(resource, revision) else {
        let Some(start) = start else {
            return Err(Status::expired(TOO_OLD));
        };
        let mut status = Status::expired(EXPIRED);
        status.continue_token = Some(
            Continue {
                revision: None,
                start: start.start,
            }
            .encode(),
        );
        return Err(status);
    };
    let prefix = if namespace.is_empty() {
        String::new()
    } else {
        format!("{namespace}/")
    };
    let from = start.map_or_else(|| prefix.clone(), |start| start.start);
    let first = snapshot.partition_point(|object| *object.key < *from);
    let matching = snapshot[first..]
        .iter()
        .take_while(|object| object.key.starts_with(&prefix));
    Ok(take(matching, limit, selector, revision))
}

/// As many objects as a page may have, and where the next one starts.
fn take<'a>(
    objects: impl Iterator<Item = &'a Arc<Object>>,
    limit: usize,
    selector: &Selector,
    revision: u64,
) -> Page {
    let mut objects = objects.filter(|object| selector.matches(object));
    let page: Vec<_> = objects.by_ref().take(limit).cloned().collect();
    let rest = objects.next().map(|_| {
        let start = page
            .last()
            .map_or_else(String::new, |last| format!("{}\0", last.key));
        // A server that filters does not know how many more it will find.
        let remaining = selector.is_empty().then(|| 1 + objects.count());
        (
            Continue {
                revision: Some(revision),
                start,
            }
            .encode(),
            remaining,
        )
    });
    Page {
        objects: page,
        revision,
        rest,
    }
}

/// The version to list at, if it must be this one.
fn asked_revision(state: &State, wanted: &str, exact: bool) -> Result<Option<u64>> {
    let wanted: u64 = wanted.parse().map_err(|_| Status::not_a_version(wanted))?;
    if wanted > state.revision {
        let message = format!(
            "Timeout: Too large resource version: {wanted}, current: {}",
            state.revision
        );
        let cause = "ResourceVersionTooLarge";
        return Err(Status::new(504, message).retry_after(1).caused(
            cause,
            "Too large resource version",
            None,
        ));
    }
    Ok(exact.then_some(wanted))
}

impl Continue {
    fn encode(&self) -> String {
        // The real server writes -1 for a list that goes on at the present.
        let revision = self.revision.map_or(Value::from(-1), Value::from);
        let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": self.start});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn decode(token: &str) -> Result<Continue> {
        let invalid = || {
            Status::bad_request(
                "invalid continue token: continue key is not valid: encoded continue token is malformed",
            )
        };
        let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let token: Value = serde_json::from_slice(&json).map_err(|_| invalid())?;
        let start = token["start"].as_str().ok_or_else(invalid)?.to_owned();
        Ok(Continue {
            revision: token["rv"].as_u64(),
            start,
        })
    }
}
