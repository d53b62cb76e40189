//! The agent's side over HTTP: which request is what, and who may make it (protocol, section 2).

use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use crate::http::{Control, Request, Response};

use super::answer::{Refusal, problem};
use super::fault::{Endpoint, Fault};
use super::journal::RequestRecord;
use super::rules::{ID, NAME};
use super::state::Core;
use super::{admin, calls};

/// Where the WebSocket is. The protocol leaves the path open, so it is none that an agent could guess.
pub(super) const WEBSOCKET_PATH: &str = "/sandbox/channel";

/// What a request is for, with what its path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Register,
    Deregister(&'a str),
    Heartbeat(&'a str),
    Metrics,
    Actions(&'a str),
    Claim(&'a str),
    Result(&'a str),
    WebSocket,
}

impl Route<'_> {
    pub(super) fn endpoint(&self) -> Endpoint {
        match self {
            Route::Register => Endpoint::Register,
            Route::Deregister(_) => Endpoint::Deregister,
            Route::Heartbeat(_) => Endpoint::Heartbeat,
            Route::Metrics => Endpoint::Metrics,
            Route::Actions(_) => Endpoint::Actions,
            Route::Claim(_) => Endpoint::Claim,
            Route::Result(_) => Endpoint::Result,
            Route::WebSocket => Endpoint::WebSocket,
        }
    }
}

/// Finds what a path under the base path is for; an error holds the status and the method that was expected.
pub(super) fn route<'a>(method: &str, path: &'a str) -> Result<Route<'a>, (u16, &'static str)> {
    let (expected, route) = match path.strip_prefix("/v1/") {
        None if path == WEBSOCKET_PATH => ("GET", Route::WebSocket),
        None => return Err((404, "")),
        Some(path) => match path.split('/').collect::<Vec<_>>()[..] {
            ["agents", "register"] => ("POST", Route::Register),
            ["agents", agent_id] => ("DELETE", Route::Deregister(agent_id)),
            ["agents", agent_id, "heartbeat"] => ("POST", Route::Heartbeat(agent_id)),
            ["metrics"] => ("POST", Route::Metrics),
            ["clusters", cluster_id, "actions"] => ("GET", Route::Actions(cluster_id)),
            ["actions", id, "claim"] => ("POST", Route::Claim(id)),
            ["actions", id, "result"] => ("PUT", Route::Result(id)),
            _ => return Err((404, "")),
        },
    };
    if method == expected {
        Ok(route)
    } else {
        Err((405, expected))
    }
}

/// Answers every request that comes to the backend.
pub(super) struct Handler {
    core: Arc<Core>,
    control: Arc<OnceLock<Control>>,
}

impl Handler {
    pub(super) fn new(core: Arc<Core>) -> Handler {
        Handler {
            core,
            control: Arc::default(),
        }
    }

    /// Where the control of the server belongs, once there is one.
    pub(super) fn control(&self) -> Arc<OnceLock<Control>> {
        Arc::clone(&self.control)
    }
}

impl crate::http::Handler for Handler {
    fn handle(&self, request: Request) -> Response {
        if let Some(path) = request.path.strip_prefix("/admin") {
            let response = admin::answer(&self.core, self.control.get(), &request, path);
            self.core.notify();
            return response;
        }
        let response = answer(&self.core, &request);
        // Those who wait must find what this request changed.
        self.core.notify();
        response.with_header("date", self.core.clock.http_date())
    }
}

/// Answers a request to the agent's side, in the way that the faults want it, and writes it down.
fn answer(core: &Arc<Core>, request: &Request) -> Response {
    let started = (SystemTime::now(), Instant::now());
    let path = request.path.strip_prefix(core.options.base_path.as_str());
    let route = path.map_or(Err((404, "")), |path| route(&request.method, path));
    let endpoint = route.as_ref().ok().map(Route::endpoint);
    let fault = endpoint.and_then(|endpoint| core.faults.take(endpoint));
    let needs_answer = match (&fault, endpoint) {
        (Some(fault), Some(endpoint)) => fault.needs_answer(endpoint),
        _ => true,
    };
    let answer = needs_answer.then(|| {
        permitted(core, request, route, fault.as_ref())
            .unwrap_or_else(|refusal| refuse(core, request, &refusal))
    });
    let (response, faulted) = match (answer, fault) {
        (Some(answer), None) => (answer, false),
        (answer, Some(fault)) => (fault.spoil(answer), true),
        (None, None) => (problem(500, "no answer"), false),
    };
    core.journal.request(RequestRecord {
        endpoint,
        method: request.method.clone(),
        path: request.path.clone(),
        status: response.status,
        bytes: request.body.len(),
        at: started.0,
        took: started.1.elapsed(),
        faulted,
    });
    response
}

/// Answers a request, if it may be made at all.
fn permitted(
    core: &Arc<Core>,
    request: &Request,
    route: Result<Route<'_>, (u16, &'static str)>,
    fault: Option<&Fault>,
) -> Result<Response, Refusal> {
    let in_url = std::iter::once(&request.path)
        .chain(request.query.iter().flat_map(|(name, value)| [name, value]))
        .any(|text| core.shows_api_key(text));
    if in_url {
        return Err(Refusal::broken(400, "the API key stands in the URL"));
    }
    // Section 2 asks for it; section 3, of the upgrade, for the key alone.
    let user_agent = request.header("user-agent");
    let version = user_agent
        .and_then(|value| value.strip_prefix("kubernetes-agent/"))
        .unwrap_or_default();
    let is_upgrade = matches!(route, Ok(Route::WebSocket)) && user_agent.is_none();
    if !is_upgrade && (version.is_empty() || version.contains(char::is_whitespace)) {
        let fault = format!("User-Agent: expected kubernetes-agent/VERSION, got {user_agent:?}");
        return Err(Refusal::broken(400, fault));
    }
    let authorization = request.header("authorization");
    let Some(key) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else {
        return Err(Refusal::broken(
            401,
            "Authorization: expected Bearer API_KEY",
        ));
    };
    // A key that was good until a moment ago breaks no rule.
    if !core.takes_api_key(key) {
        return Err(Refusal::fair(401, "unknown API key"));
    }
    let route = route.map_err(|(status, expected)| match status {
        405 => Refusal::broken(405, format!("expected {expected}")),
        _ => Refusal::broken(status, "no such path"),
    })?;
    match route {
        Route::Deregister(id) | Route::Heartbeat(id) if !(NAME.holds)(id) => Err(Refusal::broken(
            400,
            format!("agent_id: expected {}", NAME.expected),
        )),
        Route::Claim(id) | Route::Result(id) if !(ID.holds)(id) => Err(Refusal::broken(
            400,
            format!("id: expected {}", ID.expected),
        )),
        _ => calls::answer(core, request, &route, fault),
    }
}

fn refuse(core: &Core, request: &Request, refusal: &Refusal) -> Response {
    if refusal.is_violation {
        let at = format!("{} {}", request.method, request.path);
        for fault in &refusal.faults {
            core.journal.violation(&at, fault.as_str());
        }
    }
    refusal.response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_call_of_the_protocol() {
        for (method, path, endpoint) in [
            ("POST", "/v1/agents/register", Endpoint::Register),
            ("DELETE", "/v1/agents/a", Endpoint::Deregister),
            ("POST", "/v1/agents/a/heartbeat", Endpoint::Heartbeat),
            ("POST", "/v1/metrics", Endpoint::Metrics),
            ("GET", "/v1/clusters/c/actions", Endpoint::Actions),
            ("POST", "/v1/actions/x/claim", Endpoint::Claim),
            ("PUT", "/v1/actions/x/result", Endpoint::Result),
            ("GET", WEBSOCKET_PATH, Endpoint::WebSocket),
        ] {
            assert_eq!(
                route(method, path).map(|route| route.endpoint()),
                Ok(endpoint),
                "{path}"
            );
            assert!(matches!(route("PATCH", path), Err((405, _))), "{path}");
        }
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v2/metrics",
            "/v1/metrics/",
            "/v1/agents/a/b",
        ] {
            assert_eq!(route("GET", path), Err((404, "")), "{path}");
        }
    }
}
