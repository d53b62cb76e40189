//! The tests' side over HTTP, under `/admin`: for those who run the sandbox as a process of its own.
//!
//! Nothing here needs a key, and nothing of it is in the journal.

mod view;

use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::http::{Control, Request, Response};

use super::answer::{self, Refusal};
use super::envelope::{NewAction, NewSettings};
use super::fault::{Endpoint, Fault};
use super::state::Core;
use super::websocket::Cut;

type Outcome = Result<Response, Refusal>;

/// Answers a request; `path` is what comes after `/admin`.
pub(super) fn answer(
    core: &Core,
    control: Option<&Control>,
    request: &Request,
    path: &str,
) -> Response {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let outcome = match (request.method.as_str(), &parts[..]) {
        ("GET", parts) => view::read(core, request, parts),
        (method, parts) => change(core, control, request, method, parts),
    };
    outcome.unwrap_or_else(|refusal| refusal.response())
}

fn change(
    core: &Core,
    control: Option<&Control>,
    request: &Request,
    method: &str,
    parts: &[&str],
) -> Outcome {
    match (method, parts) {
        ("POST", ["actions"]) => {
            let new: NewAction = parse(request)?;
            Ok(answer::json(
                201,
                &core.create_action(&new).map_err(|err| refused(&err))?,
            ))
        }
        ("DELETE", ["actions", id]) => {
            core.cancel(id)
                .map_err(|err| Refusal::fair(409, err.to_string()))?;
            Ok(answer::empty(204))
        }
        ("POST", ["settings"]) => {
            let new: NewSettings = parse(request)?;
            Ok(answer::json(
                201,
                &core.create_settings(&new).map_err(|err| refused(&err))?,
            ))
        }
        ("POST", ["envelopes"]) => Ok(answer::json(
            201,
            &json!({"offer": core.offer(parse(request)?)}),
        )),
        ("DELETE", ["envelopes", offer]) => {
            core.withdraw(
                offer
                    .parse()
                    .map_err(|_| Refusal::fair(400, "expected a number"))?,
            );
            Ok(answer::empty(204))
        }
        ("PUT", ["faults", endpoint]) => {
            let endpoint: Endpoint = word(endpoint)?;
            let faults: OneOrMany<Fault> = parse(request)?;
            core.set_faults(endpoint, faults.into_vec());
            Ok(answer::empty(204))
        }
        ("DELETE", ["faults", endpoint]) => {
            core.clear_fault(word(endpoint)?);
            Ok(answer::empty(204))
        }
        ("DELETE", ["faults"]) => {
            core.clear_faults();
            Ok(answer::empty(204))
        }
        ("POST", ["down"]) => {
            let Down { seconds } = parse(request)?;
            let control = control
                .cloned()
                .ok_or_else(|| Refusal::fair(503, "still starting"))?;
            // Nobody could ask for the way back up.
            thread::spawn(move || {
                control.stop();
                thread::sleep(Duration::from_secs_f64(seconds));
                control.restart()
            });
            Ok(answer::empty(202))
        }
        ("PUT", ["clock"]) => {
            let ClockOffset { offset_ms } = parse(request)?;
            core.set_clock_offset_ms(offset_ms);
            Ok(answer::empty(204))
        }
        ("PUT", ["api-keys"]) => {
            let keys: Vec<String> = parse(request)?;
            core.set_api_keys(&keys.iter().map(String::as_str).collect::<Vec<_>>());
            Ok(answer::empty(204))
        }
        ("PUT", ["secret-keys"]) => {
            let keys: Vec<String> = parse(request)?;
            core.set_secret_keys(&keys.iter().map(String::as_str).collect::<Vec<_>>())
                .map_err(|err| refused(&err))?;
            Ok(answer::empty(204))
        }
        ("PUT", ["next-poll"]) => {
            core.set_next_poll_seconds(parse(request)?);
            Ok(answer::empty(204))
        }
        (method, ["channel", call @ ..]) => channel(core, request, method, call),
        ("DELETE", ["agents"]) => {
            core.forget_registrations();
            Ok(answer::empty(204))
        }
        _ => Err(Refusal::fair(404, "no such call under /admin")),
    }
}

/// What can be done to open connections and to those to come.
fn channel(core: &Core, request: &Request, method: &str, call: &[&str]) -> Outcome {
    match (method, call) {
        ("PUT", []) => {
            core.set_channel_mode(parse(request)?);
            Ok(answer::empty(204))
        }
        ("POST", ["cut"]) => {
            let cut: Cut = parse(request)?;
            Ok(answer::json(
                200,
                &json!({"connections": core.cut_websockets(&cut)}),
            ))
        }
        ("POST", ["attack"]) => {
            core.attack(&parse(request)?);
            Ok(answer::empty(202))
        }
        ("POST", ["frames"]) => {
            core.push_frame(&parse(request)?);
            Ok(answer::empty(202))
        }
        _ => Err(Refusal::fair(404, "no such call under /admin/channel")),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}

#[derive(Deserialize)]
struct Down {
    seconds: f64,
}

#[derive(Deserialize)]
struct ClockOffset {
    offset_ms: i64,
}

fn parse<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    serde_json::from_slice(&request.body).map_err(|err| Refusal::fair(422, err.to_string()))
}

/// A part of the path as the word that JSON writes.
fn word<T: DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    serde_json::from_value(json!(part)).map_err(|err| Refusal::fair(404, err.to_string()))
}

fn refused(err: &super::Error) -> Refusal {
    Refusal::fair(422, err.to_string())
}
