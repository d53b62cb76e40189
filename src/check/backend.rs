//! The backend over REST: the way there, its certificate, the API key, the cluster id and its clock.
//!
//! The one call that is made is a list of waiting actions: it claims nothing, and no run of the agent is registered or
//! replaced by it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::Method;

use super::report::{Line, Outcome};
use super::{Sink, clock, tls};
use crate::backend::Client;
use crate::backend::call::{Body, Call, segment};
use crate::backend::retry::Failure;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::thread::waker::Waiter;
use crate::websocket::dial::{DialError, dial};

/// The call.
const ANSWER: Duration = Duration::from_secs(8);

const REACHED: &str = "backend";
pub(super) const CERTIFICATE: &str = "backend_certificate";
const KEY: &str = "api_key";
const CLUSTER: &str = "cluster_id";
const CLOCK: &str = "clock_backend";

/// The names of its lines.
pub(super) const LINES: [&str; 5] = [REACHED, CERTIFICATE, KEY, CLUSTER, CLOCK];

pub(super) fn look(config: &Config, waiter: &Waiter<'_>, sink: &Sink) {
    let url = &config.backend_url;
    let proxy = config.proxy.for_host(url.host(), url.port());
    let began = Instant::now();
    let socket = match dial(url.host(), url.port(), proxy, waiter) {
        Ok(socket) => socket,
        Err(err) => {
            let found = format!("{} cannot be reached: {err}", authority(config));
            sink.tell(Line::failed(REACHED, found, reaching(&err)));
            return sink.skip(&LINES, "the backend cannot be reached");
        }
    };
    let way = proxy.map_or(String::new(), |it| {
        format!(" through the proxy {}:{}", it.host, it.port)
    });
    let took = began.elapsed().as_millis();
    let found = format!("{} can be reached{way} in {took} ms", authority(config));
    if url.is_secure() {
        let line = tls::look(config, socket);
        let is_proven = line.outcome != Outcome::Failed;
        sink.tell(line);
        if !is_proven {
            sink.tell(Line::ok(REACHED, found));
            return sink.skip(
                &LINES,
                "nothing is sent to a backend that does not prove itself",
            );
        }
    } else {
        sink.tell(Line::skipped(
            CERTIFICATE,
            "BACKEND_URL is http, there is none",
        ));
    }
    call(config, found, sink);
}

fn authority(config: &Config) -> String {
    let url = &config.backend_url;
    crate::websocket::dial::authority(url.host(), url.port())
}

/// What to do about a backend that cannot be reached.
pub(super) fn reaching(err: &DialError) -> String {
    let text = match err {
        DialError::Name(_) => {
            "look at the host in the URL and at the cluster's DNS; the network policy must let names out (port 53)"
        }
        DialError::Connect(..) => {
            "look whether the backend runs, at the port in the URL, and whether firewall and network policy \
             (networkPolicy.backend.ports) let it out; where only a proxy leads out, set HTTPS_PROXY"
        }
        DialError::Proxy(_) => {
            "the proxy of HTTPS_PROXY blocks the way: have it allow CONNECT to this host and port, put right its \
             credentials, or name the host in NO_PROXY where there is a way without"
        }
    };
    text.to_owned()
}

fn call(config: &Config, found: String, sink: &Sink) {
    let client = Metrics::new()
        .map_err(|err| err.to_string())
        .and_then(|it| {
            let (url, key) = (config.backend_url.clone(), config.api_key.clone());
            Client::new(
                url,
                key,
                config.backend_ca.as_deref(),
                &config.proxy,
                Arc::new(it),
            )
        });
    let client = match client {
        Ok(client) => client,
        Err(why) => return sink.skip(&LINES, &why),
    };
    let path = format!(
        "/v1/clusters/{}/actions?agent_id={}&limit=1",
        segment(&config.cluster_id),
        segment(&config.agent_id)
    );
    let answer = client.call(Call {
        endpoint: "actions",
        method: Method::GET,
        path: &path,
        body: Body::Empty,
        deadline: ANSWER,
        success: &[200, 204],
    });
    for line in judge(answer.map(drop), found, &config.cluster_id) {
        sink.tell(line);
    }
    sink.tell(clock::judge(CLOCK, "the backend", client.clock_offset_ms()));
}

/// What the answer to the list says of the backend, of the API key and of the cluster id. `found` is what is known of
/// the backend by then.
fn judge(answer: Result<(), Failure>, found: String, cluster_id: &str) -> Vec<Line> {
    let accepted = Line::ok(KEY, "the backend accepts it");
    match answer {
        Ok(()) => vec![
            Line::ok(REACHED, found),
            accepted,
            Line::ok(CLUSTER, format!("the backend knows {cluster_id:?}")),
        ],
        Err(Failure::Unauthorized { code: 403, .. }) => vec![
            Line::ok(REACHED, found),
            accepted,
            Line::failed(
                CLUSTER,
                format!("403: the API key does not cover the cluster {cluster_id:?}"),
                "set CLUSTER_ID (the chart's value cluster.id) to the name under which the backend knows this cluster, \
                 or have it give out a key for this one",
            ),
        ],
        Err(Failure::Unauthorized { code, .. }) => vec![
            Line::ok(REACHED, found),
            Line::failed(
                KEY,
                format!("{code}: the backend does not accept it"),
                "put the backend's present key into the agent's secret (by default agent-credentials, under api-key); a \
                 file that changes is read again without a restart",
            ),
            Line::skipped(CLUSTER, "the backend answers nobody without a key"),
        ],
        Err(failure) => {
            let todo = match &failure {
                Failure::Refused { .. } => {
                    "look at BACKEND_URL: it must be what stands before /v1, with its path and no more"
                }
                Failure::Garbled(_) | Failure::TooLarge => {
                    "look at BACKEND_URL: something else than the backend answers there, such as a proxy's login page"
                }
                Failure::Transient { .. } | Failure::Unauthorized { .. } => {
                    "look at the backend and at what stands before it; the agent tries again by itself"
                }
            };
            let found = format!("{found}, but not used: {failure}");
            let why = "the backend does not answer as it should";
            vec![
                Line::failed(REACHED, found, todo),
                Line::skipped(KEY, why),
                Line::skipped(CLUSTER, why),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_tells_the_key_from_the_cluster() {
        let unauthorized = |code| Failure::Unauthorized {
            code,
            key_version: 0,
        };
        let (ok, failed, skipped) = (Outcome::Ok, Outcome::Failed, Outcome::Skipped);
        for (answer, expected) in [
            (Ok(()), [ok, ok, ok]),
            (Err(unauthorized(401)), [ok, failed, skipped]),
            (Err(unauthorized(403)), [ok, ok, failed]),
            (Err(Failure::TooLarge), [failed, skipped, skipped]),
        ] {
            let lines = judge(answer.clone(), String::new(), "c");
            let outcomes: Vec<_> = lines.iter().map(|it| it.outcome).collect();
            assert_eq!(outcomes, expected, "{answer:?}");
            let names: Vec<_> = lines.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(names, [REACHED, KEY, CLUSTER]);
        }
    }
}
