//! What can be seen under `/admin`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::backend::answer::{self, Refusal};
use crate::backend::clock::rfc3339;
use crate::backend::samples::Kind;
use crate::backend::state::Core;
use crate::backend::websocket::ChannelRecord;
use crate::http::Request;

use super::{Outcome, word};

/// Answers what is asked for.
pub(super) fn read(core: &Core, request: &Request, parts: &[&str]) -> Outcome {
    let body = match parts {
        ["summary"] => json!(core.summary()),
        ["agents"] => {
            let registrations = core.registrations();
            let rejected: BTreeMap<String, Value> = registrations
                .iter()
                .map(|agent| {
                    (
                        agent.agent_id.clone(),
                        json!(core.rejected(&agent.agent_id)),
                    )
                })
                .collect();
            json!({"registrations": registrations, "heartbeat": core.last_heartbeat(), "rejected": rejected})
        }
        ["heartbeats"] => json!(core.heartbeats()),
        ["batches"] => json!(core.batches()),
        ["cycles"] => json!(core.cycles()),
        ["samples", kind] => {
            let kind: Kind = word(kind)?;
            let samples = core.last_samples(kind);
            json!(
                samples
                    .iter()
                    .map(|sample| &sample.body)
                    .collect::<Vec<_>>()
            )
        }
        ["actions"] => json!(core.actions()),
        ["actions", id] => {
            json!(
                core.action(id)
                    .ok_or_else(|| Refusal::fair(404, "no such action"))?
            )
        }
        ["results"] => json!(core.results()),
        ["settings"] => json!(core.settings()),
        ["violations"] => json!(core.violations()),
        ["faults"] => json!(core.faults.list()),
        ["clock"] => {
            json!({"offset_ms": core.clock.offset_ms(), "server_time": core.clock.rfc3339()})
        }
        ["requests"] => requests(core, request),
        ["connections"] => json!(
            core.connections()
                .iter()
                .map(connection)
                .collect::<Vec<_>>()
        ),
        ["frames"] => json!(core.frames()),
        ["channel"] => json!(core.channel_mode()),
        _ => return Err(Refusal::fair(404, "no such path under /admin")),
    };
    Ok(answer::json(200, &body))
}

/// The newest requests, `?limit=100` of them, and how many there were of each kind.
fn requests(core: &Core, request: &Request) -> Value {
    let limit = request
        .query("limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(100);
    let requests = core.requests();
    let newest = &requests[requests.len().saturating_sub(limit)..];
    let counts: Vec<Value> = core
        .request_counts()
        .iter()
        .map(|((endpoint, status), count)| json!({"endpoint": endpoint, "status": status, "count": count}))
        .collect();
    let newest: Vec<Value> = newest
        .iter()
        .map(|record| {
            json!({
                "endpoint": record.endpoint,
                "method": record.method,
                "path": record.path,
                "status": record.status,
                "bytes": record.bytes,
                "at": rfc3339(record.at.into()),
                "took_us": u64::try_from(record.took.as_micros()).unwrap_or(u64::MAX),
                "faulted": record.faulted,
            })
        })
        .collect();
    json!({"counts": counts, "newest": newest})
}

fn connection(record: &ChannelRecord) -> Value {
    json!({
        "id": record.id,
        "opened": rfc3339(record.opened.into()),
        "hello": record.hello,
        "welcomed": record.welcomed.map(|at| rfc3339(at.into())),
        "pings": record.pings.len(),
        "texts": record.texts,
        "closed": record.closed,
    })
}
