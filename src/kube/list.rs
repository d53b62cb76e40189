//! Lists, in pages whose items are parsed as they stream in.

use std::time::Duration;

use serde::Deserialize;
use ureq::http;

use super::body::Body;
use super::call::{Call, Deadlines};
use super::client::{Client, pause_after};
use super::protobuf::{self, ListMeta, Malformed};
use super::request::{self, Collection, Resource, Target};
use super::status::Error;
use super::stream::{Stream, StreamError};
use crate::thread::backoff::Backoff;

/// Items a page: client-go's own default. The server holds a page whole, we never do.
const PAGE: u32 = 500;
/// Tries of one page before the list is given up.
pub const TRIES: u32 = 4;

/// How a list is read.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Tries of each page; 1 gives up at the first failure.
    pub tries: u32,
    /// Objects a page; `None` asks for all at once.
    pub page: Option<u32>,
    /// How long each page may take.
    pub deadlines: Deadlines,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tries: TRIES,
            page: Some(PAGE),
            deadlines: Deadlines::LIST,
        }
    }
}

/// What takes the items of a list.
pub trait Items {
    /// Whether it reads protobuf, which the server is then asked for: it costs both sides a third of what JSON does.
    const PROTOBUF: bool;
    /// Takes the JSON value at the start of `window`, as [`Stream::next`] says.
    fn json(&mut self, window: &[u8]) -> serde_json::Result<usize>;
    /// Takes an object as one protobuf message.
    fn protobuf(&mut self, message: &[u8]) -> Result<(), Malformed>;
    /// The server is about to be asked, or has begun to answer: now comes a wait.
    fn waiting(&mut self) {}
}

/// Items that are read from JSON alone.
struct Json<F>(F);

impl<F: FnMut(&[u8]) -> serde_json::Result<usize>> Items for Json<F> {
    const PROTOBUF: bool = false;

    fn json(&mut self, window: &[u8]) -> serde_json::Result<usize> {
        (self.0)(window)
    }

    fn protobuf(&mut self, _: &[u8]) -> Result<(), Malformed> {
        Err(Malformed::NOT_ASKED_FOR)
    }
}

/// Lists as [`list_items`] does, as JSON alone: `read` gets each object as [`Stream::next`] says.
pub fn list(
    client: &Client,
    collection: impl Into<Collection>,
    options: Options,
    read: impl FnMut(&[u8]) -> serde_json::Result<usize>,
) -> Result<String, Error> {
    list_items(client, collection, options, Json(read))
}

/// Lists all objects of `collection`, handing each to `items`, and returns the version from which a watch goes on.
///
/// A page that breaks off is asked for again, so `items` may meet an object twice. A continue token that expired is
/// returned as the error it is ([`Error::is_gone`]): the list must start anew.
pub fn list_items(
    client: &Client,
    collection: impl Into<Collection>,
    options: Options,
    mut items: impl Items,
) -> Result<String, Error> {
    let collection = collection.into();
    let mut token: Option<String> = None;
    // A list over several pages is one snapshot, but in an expired one's rest it may not be: the first page's
    // version is the one from which nothing is missed.
    let mut version: Option<String> = None;
    loop {
        let target = request::list(&collection, options.page, token.as_deref());
        let page = page(client, &collection.resource, &target, options, &mut items)?;
        version.get_or_insert(page.resource_version);
        token = Some(page.token).filter(|it| !it.is_empty());
        if token.is_none() {
            return Ok(version.unwrap_or_default());
        }
    }
}

fn page<I: Items>(
    client: &Client,
    resource: &Resource,
    target: &Target,
    options: Options,
    items: &mut I,
) -> Result<ListMeta, Error> {
    let call = Call {
        method: http::Method::GET,
        target,
        verb: "list",
        resource: resource.label(),
        accept: resource.accept_list(I::PROTOBUF),
        body: None,
        deadlines: options.deadlines,
    };
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30))
        .with_floor(Duration::from_millis(100));
    loop {
        items.waiting();
        let outcome = client.open(&call).and_then(|body| {
            items.waiting();
            Ok(read(body, items)?)
        });
        match outcome {
            Ok(meta) => return Ok(meta),
            Err(err) if err.is_transient() && backoff.failures() + 1 < options.tries => {
                if client.stop().wait(pause_after(&err, &mut backoff)) {
                    return Err(Error::Stopped);
                }
            }
            Err(err) => return Err(err),
        }
    }
}

/// Reads one page, in the form that the server chose.
fn read(body: Body, items: &mut impl Items) -> Result<ListMeta, StreamError> {
    if body.is_protobuf() {
        return protobuf::list(body, |message| items.protobuf(message));
    }
    let envelope = Stream::new(body).items(|window| items.json(window))?;
    serde_json::from_slice::<Envelope>(&envelope)
        .map(|it| it.metadata.into())
        .map_err(StreamError::Json)
}

/// What stands around the items of a JSON list.
#[derive(Deserialize, Default)]
struct Envelope {
    #[serde(default)]
    metadata: Meta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    resource_version: String,
    #[serde(rename = "continue")]
    token: Option<String>,
}

impl From<Meta> for ListMeta {
    fn from(meta: Meta) -> Self {
        Self {
            resource_version: meta.resource_version,
            token: meta.token.unwrap_or_default(),
        }
    }
}
