//! What each call of the protocol does (protocol, section 2).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::http::{Request, Response};

use super::actions::Answer;
use super::answer::{self, Refusal};
use super::body::{decompress, json_of, plain};
use super::envelope::sha256_hex;
use super::fault::Fault;
use super::messages;
use super::routes::Route;
use super::rules::NAME;
use super::state::Core;
use super::websocket;

/// Protocol, section 2: at most 2 metrics requests in flight.
const METRICS_IN_FLIGHT: usize = 2;

type Outcome = Result<Response, Refusal>;

/// Carries out a request that may be made.
pub(super) fn answer(
    core: &Arc<Core>,
    request: &Request,
    route: &Route<'_>,
    fault: Option<&Fault>,
) -> Outcome {
    match route {
        Route::Register => register(core, request),
        Route::Deregister(agent_id) => deregister(core, request, agent_id),
        Route::Heartbeat(agent_id) => heartbeat(core, request, agent_id),
        Route::Metrics => metrics(core, request),
        Route::Actions(cluster_id) => actions(core, request, cluster_id),
        Route::Claim(id) => claim(core, request, id),
        Route::Result(id) => result(core, request, id),
        Route::WebSocket => websocket::upgrade(core, request, fault),
    }
}

fn register(core: &Core, request: &Request) -> Outcome {
    let body = plain(request)?;
    let run = messages::registration(&body).map_err(Refusal::invalid)?;
    in_cluster(core, &run.cluster_id)?;
    let at = core.clock.rfc3339();
    core.state()
        .agents
        .register(run, at, body)
        .map_err(|fault| Refusal::broken(422, fault))?;
    Ok(answer::json(
        200,
        &json!({"protocol": "1", "server_time": core.clock.rfc3339()}),
    ))
}

fn deregister(core: &Core, request: &Request, agent_id: &str) -> Outcome {
    let instance_id = name_in_query(request, "instance_id")?;
    let run_id = name_in_query(request, "run_id")?;
    core.state()
        .agents
        .deregister(agent_id, instance_id, run_id);
    Ok(answer::empty(204))
}

fn heartbeat(core: &Core, request: &Request, agent_id: &str) -> Outcome {
    let body = plain(request)?;
    let message = messages::heartbeat(agent_id, &body).map_err(Refusal::invalid)?;
    in_cluster(core, &message.run.cluster_id)?;
    let at = core.clock.rfc3339();
    let mut state = core.advanced();
    let instance_id = &message.run.instance_id;
    let Some(current) = state
        .agents
        .current(agent_id, instance_id)
        .filter(|current| current.run_id == message.run.run_id)
    else {
        return Err(Refusal::fair(404, "no such agent or not its current run"));
    };
    if current.cluster_id != message.run.cluster_id {
        return Err(Refusal::broken(
            422,
            "cluster_id: another one than this run registered with",
        ));
    }
    state
        .agents
        .hear(&message, at, body)
        .map_err(|fault| Refusal::broken(422, fault))?;
    for id in &message.in_progress {
        let claimant = (agent_id, instance_id.as_str());
        if let Err(fault) = state.actions.renew(id, claimant, core.options.lease) {
            core.journal
                .violation(&format!("POST {}", request.path), fault);
        }
    }
    let pending = state
        .actions
        .pending(&message.run.cluster_id, agent_id)
        .count();
    Ok(answer::json(
        200,
        &json!({"server_time": core.clock.rfc3339(), "pending_actions": pending}),
    ))
}

fn metrics(core: &Core, request: &Request) -> Outcome {
    let _in_flight = InFlight::enter(core, request);
    if request.header("content-encoding") != Some("gzip") {
        return Err(Refusal::broken(415, "Content-Encoding: expected gzip"));
    }
    // The same batch, before anything that costs time.
    let key = request.header("idempotency-key").unwrap_or_default();
    let sha256 = sha256_hex(&request.body);
    if core
        .state()
        .metrics
        .known(key, &sha256)
        .map_err(|fault| Refusal::broken(422, fault))?
    {
        return Ok(answer::empty(202));
    }
    let body = json_of(request, &decompress(&request.body)?)?;
    let samples = body["samples"].as_array().map_or(0, Vec::len);
    if core.faults.refuses_batch(samples) {
        return Err(Refusal::fair(413, format!("too many samples: {samples}")));
    }
    let message = messages::batch(&body, core.options.batch_size).map_err(Refusal::invalid)?;
    in_cluster(core, &message.run.cluster_id)?;
    if message.batch_id != key {
        return Err(Refusal::broken(
            400,
            "Idempotency-Key: expected the batch_id",
        ));
    }
    let at = core.clock.rfc3339();
    let wire = (sha256, request.body.len());
    core.state()
        .metrics
        .store(message, body, wire, at)
        .map_err(|fault| Refusal::broken(422, fault))?;
    Ok(answer::empty(202))
}

fn actions(core: &Core, request: &Request, cluster_id: &str) -> Outcome {
    in_cluster(core, cluster_id)?;
    let agent_id = name_in_query(request, "agent_id")?;
    let limit = match request.query("limit") {
        None => 20_usize,
        Some(limit) => limit
            .parse()
            .ok()
            .filter(|limit| (1..=100).contains(limit))
            .ok_or_else(|| {
                Refusal::broken(400, format!("limit: expected 1 to 100, got {limit:?}"))
            })?,
    };
    let unix = core.clock.unix();
    let mut state = core.advanced();
    let state = &mut *state;
    let settings = state
        .settings
        .offered(cluster_id, agent_id, &state.agents, unix);
    let mut list: Vec<Value> = settings
        .map(|settings| json!(settings.envelope))
        .into_iter()
        .collect();
    list.extend(state.offers.iter().map(|(_, element)| element.clone()));
    let room = limit.saturating_sub(list.len());
    for action in state.actions.pending(cluster_id, agent_id).take(room) {
        action.listed += 1;
        list.push(json!(action.envelope));
    }
    list.truncate(limit);
    if list.is_empty() {
        return Ok(answer::empty(204));
    }
    let mut body = json!({ "actions": list });
    if let Some(seconds) = state.next_poll_seconds {
        body["next_poll_seconds"] = json!(seconds);
    }
    Ok(answer::json(200, &body))
}

fn claim(core: &Core, request: &Request, id: &str) -> Outcome {
    let message = messages::claim(&plain(request)?).map_err(Refusal::invalid)?;
    let mut state = core.advanced();
    match state
        .actions
        .claim(id, &message, core.options.lease, core.clock.rfc3339())
    {
        Answer::Granted => {
            let lease_seconds = core.options.lease.as_secs().max(300);
            Ok(answer::json(
                200,
                &json!({ "lease_seconds": lease_seconds }),
            ))
        }
        Answer::Unknown if state.settings.get(id).is_some() => {
            Err(Refusal::broken(404, "settings have no claim"))
        }
        Answer::Unknown if state.offers.iter().any(|(_, element)| element["id"] == id) => Err(
            Refusal::broken(404, "an envelope that is not proven has no claim"),
        ),
        other => Err(refusal(&other)),
    }
}

fn result(core: &Core, request: &Request, id: &str) -> Outcome {
    let body = plain(request)?;
    let message = messages::result(&body).map_err(Refusal::invalid)?;
    let at = core.clock.rfc3339();
    match core.advanced().actions.finish(id, &message, body, at) {
        Answer::Granted => Ok(answer::empty(204)),
        other => Err(refusal(&other)),
    }
}

fn refusal(answer: &Answer) -> Refusal {
    match answer {
        Answer::Conflict { why, broken: true } => Refusal::broken(409, *why),
        Answer::Conflict { why, .. } => Refusal::fair(409, *why),
        Answer::Gone(why) => Refusal::fair(410, *why),
        // It may come from before this backend was started.
        Answer::Granted | Answer::Unknown => Refusal::fair(404, "no such action"),
    }
}

fn name_in_query<'a>(request: &'a Request, name: &str) -> Result<&'a str, Refusal> {
    let value = request.query(name).filter(|value| (NAME.holds)(value));
    value.ok_or_else(|| {
        Refusal::broken(
            400,
            format!("{name}: expected {} in the query", NAME.expected),
        )
    })
}

fn in_cluster(core: &Core, cluster_id: &str) -> Result<(), Refusal> {
    match &core.options.cluster_id {
        Some(ours) if ours != cluster_id => Err(Refusal::broken(
            403,
            format!("cluster_id: {cluster_id:?} is not the cluster of this key"),
        )),
        _ => Ok(()),
    }
}

/// One metrics request that is being carried out.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn enter(core: &'a Core, request: &Request) -> InFlight<'a> {
        let others = core.metrics_in_flight.fetch_add(1, Ordering::SeqCst);
        // Of several agents each has its own two.
        let agents = core.state().agents.registrations().len().max(1);
        if others >= METRICS_IN_FLIGHT * agents {
            core.journal.violation(
                &format!("POST {}", request.path),
                format!("{} in flight", others + 1),
            );
        }
        InFlight(&core.metrics_in_flight)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
