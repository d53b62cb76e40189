//! The switches over HTTP, under `/sim`, for tests that run the server in a process of its own.
//!
//! They need no token, are in no audit, and no fault befalls them.
//!
//! ```text
//! GET    state                              {revision, objects: {resource: count}}
//! GET    audit?verb=&resource=&name=&since= {entries: [..]}; since: ids above
//! GET    counts                             {"verb resource code": count}
//! DELETE audit                              forgets both
//! GET    faults | POST faults FAULT | DELETE faults
//! POST   deny {verb?, resource?, namespace?} | DELETE deny
//! POST   token {token}                      null lets everybody in
//! GET    metrics | PUT metrics MODE
//! POST   compact                            older watches and continue tokens get 410
//! POST   drop-watches
//! POST   down?ms=1000                       refuses connections for so long
//! POST   populate?nodes=&pods=[&small=1]    as `state`
//! POST   churn?pods=&nodes=                 {changed}
//! POST   objects OBJECT                     stored as it is, status included
//! POST   controllers [OPTIONS] | DELETE controllers
//! ```

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::access::Denial;
use super::controllers::ControllerOptions;
use super::faults::Fault;
use super::generate::{self, Population};
use super::metrics::MetricsMode;
use super::object::str_at;
use super::resources::RESOURCES;
use super::status::{Result, Status};
use super::store::State;
use super::{Api, churn};
use crate::http::{Request, Response};

/// Answers a switch.
pub(super) fn serve(api: &Arc<Api>, request: &Request) -> Response {
    let path = request.path.trim_start_matches("/sim").trim_matches('/');
    match switch(api, request, path) {
        Ok(answer) => Response::json(200, answer.to_string()),
        Err(status) => status.to_response(),
    }
}

fn switch(api: &Arc<Api>, request: &Request, path: &str) -> Result<Value> {
    let done = || Ok(json!({}));
    match (request.method.as_str(), path) {
        ("GET", "state") => Ok(state(api)),
        ("GET", "audit") => Ok(audit(api, request)),
        ("GET", "counts") => Ok(json!(api.audit.counts())),
        ("DELETE", "audit") => {
            api.audit.clear();
            done()
        }
        ("GET", "faults") => Ok(json!(api.faults.list())),
        ("POST", "faults") => {
            api.faults.add(body::<Fault>(request)?);
            done()
        }
        ("DELETE", "faults") => {
            api.faults.clear();
            done()
        }
        ("POST", "deny") => {
            api.access.deny(body::<Denial>(request)?);
            done()
        }
        ("DELETE", "deny") => {
            api.access.allow_all();
            done()
        }
        ("POST", "token") => {
            let token = body::<Value>(request)?;
            api.access
                .set_token(token["token"].as_str().map(str::to_owned));
            done()
        }
        ("GET", "metrics") => Ok(json!(api.metrics.mode())),
        ("PUT", "metrics") => {
            api.metrics.set_mode(body::<MetricsMode>(request)?);
            done()
        }
        ("POST", "compact") => {
            api.store.write(State::compact);
            done()
        }
        ("POST", "drop-watches") => {
            api.drop_watches();
            done()
        }
        ("POST", "down") => {
            go_down(
                api,
                Duration::from_millis(number(request, "ms").unwrap_or(1000)),
            )?;
            done()
        }
        ("POST", "populate") => {
            let (nodes, pods) = (count(request, "nodes"), count(request, "pods"));
            let population = Population {
                small: request.query("small").is_some(),
                ..Population::default()
            };
            api.store
                .write(|state| generate::populate(state, nodes, pods, &population));
            Ok(state(api))
        }
        ("POST", "churn") => {
            let changed = churn::churn(&api.store, count(request, "pods"), count(request, "nodes"));
            Ok(json!({"changed": changed}))
        }
        ("POST", "objects") => {
            let object = body::<Value>(request)?;
            let (version, kind) = (str_at(&object, "apiVersion"), str_at(&object, "kind"));
            let known = RESOURCES
                .iter()
                .any(|it| it.kind == kind && it.api_version() == version);
            if !known {
                return Err(Status::bad_request(format!(
                    "no resource for {version} {kind}"
                )));
            }
            Ok(api.put(object))
        }
        ("POST", "controllers") => {
            let options = if request.body.is_empty() {
                ControllerOptions::default()
            } else {
                body(request)?
            };
            api.run_controllers(Some(options))
                .map_err(|err| Status::new(500, err.to_string()))?;
            done()
        }
        ("DELETE", "controllers") => {
            api.run_controllers(None)
                .map_err(|err| Status::new(500, err.to_string()))?;
            done()
        }
        _ => Err(Status::new(404, "no such switch")),
    }
}

fn body<T: DeserializeOwned>(request: &Request) -> Result<T> {
    serde_json::from_slice(&request.body).map_err(|err| Status::bad_request(err.to_string()))
}

fn number(request: &Request, name: &str) -> Option<u64> {
    request.query(name)?.parse().ok()
}

fn count(request: &Request, name: &str) -> usize {
    number(request, name)
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(0)
}

fn state(api: &Api) -> Value {
    let state = api.store.read();
    let counts: serde_json::Map<String, Value> = RESOURCES
        .iter()
        .map(|it| (it.qualified(), state.count(it).into()))
        .collect();
    json!({"revision": state.revision, "objects": counts})
}

fn audit(api: &Api, request: &Request) -> Value {
    let since = number(request, "since").unwrap_or(0);
    let is = |name: &str, value: &str| request.query(name).is_none_or(|wanted| wanted == value);
    let mut entries = api.audit.entries();
    entries.retain(|it| {
        it.id > since
            && is("verb", &it.verb)
            && is("resource", &it.resource)
            && is("name", &it.name)
    });
    json!({"entries": entries})
}

/// Stops listening for a while. From a thread of its own, so that the answer gets out.
fn go_down(api: &Arc<Api>, pause: Duration) -> Result<()> {
    let Some(control) = api.control.get().cloned() else {
        return Ok(());
    };
    let spawned = thread::Builder::new()
        .name("restart".to_owned())
        .spawn(move || {
            thread::sleep(Duration::from_millis(20));
            control.stop();
            thread::sleep(pause);
            // If the port is taken meanwhile, the server stays down: its clients will say so.
            let _ = control.restart();
        });
    spawned
        .map(drop)
        .map_err(|err| Status::new(500, err.to_string()))
}
