//! Lists, in pages whose items are parsed as they stream in.

use std::time::Duration;

use serde::Deserialize;
use ureq::http;

use super::client::{Call, Client, Deadlines, pause_after};
use super::request::{self, Collection, Resource, Target};
use super::status::Error;
use super::stream::Stream;
use crate::thread::backoff::Backoff;

/// Items a page: client-go's own default. The server holds a page whole, we never do.
const PAGE: u32 = 500;
/// Tries of one page before the list is given up.
const TRIES: u32 = 4;

/// How a list is read.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Ask for gzip: fewer bytes for some processor time on both sides.
    pub compressed: bool,
    /// Tries of each page; 1 gives up at the first failure.
    pub tries: u32,
    /// Objects a page; `None` asks for all at once.
    pub page: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            compressed: false,
            tries: TRIES,
            page: Some(PAGE),
        }
    }
}

#[derive(Deserialize, Default)]
struct Envelope {
    #[serde(default)]
    metadata: ListMeta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    token: Option<String>,
}

/// Lists all objects of `collection`, handing each to `read` as [`Stream::next`] does, and returns the version from which a watch goes on.
///
/// A page that breaks off is asked for again, so `read` may meet an object twice. A continue token that expired is
/// returned as the error it is ([`Error::is_gone`]): the list must start anew.
pub fn list(
    client: &Client,
    collection: impl Into<Collection>,
    options: Options,
    mut read: impl FnMut(&[u8]) -> serde_json::Result<usize>,
) -> Result<String, Error> {
    let collection = collection.into();
    let mut token: Option<String> = None;
    // A list over several pages is one snapshot, but in an expired one's rest it may not be: the first page's
    // version is the one from which nothing is missed.
    let mut version: Option<String> = None;
    loop {
        let target = request::list(&collection, options.page, token.as_deref());
        let page = page(client, &collection.resource, &target, options, &mut read)?;
        version.get_or_insert(page.resource_version);
        token = page.token.filter(|it| !it.is_empty());
        if token.is_none() {
            return Ok(version.unwrap_or_default());
        }
    }
}

fn page(
    client: &Client,
    resource: &Resource,
    target: &Target,
    options: Options,
    mut read: impl FnMut(&[u8]) -> serde_json::Result<usize>,
) -> Result<ListMeta, Error> {
    let call = Call {
        method: http::Method::GET,
        target,
        verb: "list",
        resource: resource.label(),
        accept: resource.accept_list(),
        compressed: options.compressed,
        body: None,
        deadlines: Deadlines::LIST,
    };
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30))
        .with_floor(Duration::from_millis(100));
    loop {
        let outcome = client.open(&call).and_then(|body| {
            let envelope = Stream::new(body).items(&mut read)?;
            serde_json::from_slice::<Envelope>(&envelope)
                .map_err(|err| Error::Decode(err.to_string()))
        });
        match outcome {
            Ok(envelope) => return Ok(envelope.metadata),
            Err(err) if err.is_transient() && backoff.failures() + 1 < options.tries => {
                if client.stop().wait(pause_after(&err, &mut backoff)) {
                    return Err(Error::Stopped);
                }
            }
            Err(err) => return Err(err),
        }
    }
}
