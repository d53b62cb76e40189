//! One request from its first byte to its entry in the audit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use super::audit::Entry;
use super::body;
use super::create;
use super::route::{Route, Target};
use super::status::{Result, Status};
use super::{
    Api, Call, delete, discovery, eviction, list, metrics, object, scale, sim, watch, write,
};
use crate::http::{Handler, Request, Response};

/// Of a write's body, so much is kept for the audit.
const AUDITED_BODY: usize = 16 << 10;

/// The API as the HTTP server's handler.
pub(super) struct Front(pub(super) Arc<Api>);

impl Handler for Front {
    fn handle(&self, request: Request) -> Response {
        let api = &self.0;
        if request.path.starts_with("/sim/") {
            return sim::serve(api, &request);
        }
        let route = Route::parse(&request.path, api.minor);
        let (verb, label) = match &route {
            Route::Target(target) => (verb(&request, target), target.label()),
            _ => (request.method.to_ascii_lowercase(), request.path.clone()),
        };
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut entry = Entry {
            time: u64::try_from(since_epoch.as_millis()).unwrap_or_default(),
            verb: verb.clone(),
            resource: label.clone(),
            query: query_text(&request),
            user_agent: request.header("user-agent").unwrap_or_default().to_owned(),
            ..Entry::default()
        };
        if let Route::Target(target) = &route {
            entry.namespace.clone_from(&target.namespace);
            entry.name.clone_from(&target.name);
        }
        if entry.is_write() {
            let body = &request.body[..request.body.len().min(AUDITED_BODY)];
            entry.body = String::from_utf8_lossy(body).into_owned();
            entry.dry_run = is_dry_run(&request);
        }

        let sent = Arc::new(AtomicU64::new(0));
        let verdict = api.faults.judge(&verb, &label, &entry.name);
        thread::sleep(verdict.delay);
        let mut response = verdict.answer.unwrap_or_else(|| {
            let answered = api
                .access
                .authenticate(&request)
                .and_then(|()| answer(api, &request, route, &verb, &sent));
            answered.unwrap_or_else(|status| body::refusal(&request, &status))
        });
        if let Some(misbehaviour) = verdict.misbehaviour {
            response = response.misbehaving(misbehaviour);
        }
        entry.code = response.status;
        sent.fetch_add(response.body().len() as u64, Ordering::Relaxed);
        api.audit.record(entry, sent);
        response
    }
}

fn answer(
    api: &Arc<Api>,
    request: &Request,
    route: Route,
    verb: &str,
    sent: &Arc<AtomicU64>,
) -> Result<Response> {
    match route {
        Route::Target(target) => {
            api.access.authorize(verb, &target)?;
            let call = Call {
                api,
                request,
                target,
                sent: Arc::clone(sent),
            };
            serve(&call, verb)
        }
        Route::Resources(group, version) if request.method == "GET" => {
            Ok(discovery::resources(api.minor, &group, &version))
        }
        Route::Resources(..) => Err(Status::method_not_allowed()),
        Route::UnknownResource => Err(Status::no_such_resource()),
        Route::Other if !matches!(request.method.as_str(), "GET" | "HEAD") => {
            Err(Status::method_not_allowed())
        }
        Route::Other => Ok(discovery::other(api, request)),
    }
}

fn serve(call: &Call<'_>, verb: &str) -> Result<Response> {
    if call.target.resource.is_metrics() {
        return metrics::serve(call, verb);
    }
    let named = !call.target.name.is_empty();
    if call.target.resource.plural == "selfsubjectaccessreviews" && verb != "create" {
        return Err(Status::method_not_allowed());
    }
    check_dry_run(call.request, verb)?;
    match (verb, call.target.subresource.as_str()) {
        ("get", "" | "status") => get(call),
        ("list", "") => list::list(call),
        ("watch", "") => watch::watch(call),
        (verb, "scale") => scale::serve(call, verb),
        ("create", "eviction") => eviction::create(call),
        ("create", "") if call.target.name.is_empty() => create::create(call),
        ("update", "" | "status" | "finalize") if named => write::update(call),
        ("patch", "" | "status") if named => write::patch(call),
        ("delete", "") => delete::delete(call),
        _ => Err(Status::method_not_allowed()),
    }
}

/// Answers one object.
fn get(call: &Call<'_>) -> Result<Response> {
    let form = super::body::accepted_form(call.request)?;
    let resource = call.target.resource;
    let object = call
        .api
        .store
        .read()
        .get(resource, &call.target.key())
        .cloned();
    let object = object.ok_or_else(|| Status::not_found(resource, &call.target.name))?;
    let mut json = Vec::with_capacity(object.json.len() + 64);
    object::Object::write(&object, resource, form, &mut json);
    json.push(b'\n');
    Ok(super::body::whole(200, json))
}

fn verb(request: &Request, target: &Target) -> String {
    let watches = matches!(request.query("watch"), Some("true" | "1" | ""));
    let verb = match (request.method.as_str(), target.name.is_empty()) {
        ("GET" | "HEAD", _) if watches => "watch",
        ("GET" | "HEAD", true) => "list",
        ("GET" | "HEAD", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        (other, _) => return other.to_ascii_lowercase(),
    };
    verb.to_owned()
}

/// Whether a write is only to be tried. A deletion and an eviction may say so in their bodies, too.
pub(super) fn is_dry_run(request: &Request) -> bool {
    if request.query("dryRun") == Some("All") {
        return true;
    }
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let options = if body.get("deleteOptions").is_some() {
        &body["deleteOptions"]
    } else {
        &body
    };
    options["dryRun"]
        .as_array()
        .is_some_and(|stages| stages.iter().any(|stage| stage == "All"))
}

/// 422 for anything but `All`.
fn check_dry_run(request: &Request, verb: &str) -> Result<()> {
    let Some(value) = request
        .query("dryRun")
        .filter(|value| !matches!(*value, "All" | ""))
    else {
        return Ok(());
    };
    let kind = match verb {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        _ => "DeleteOptions",
    };
    let why = format!(r#"Unsupported value: []string{{{value:?}}}: supported values: "All""#);
    let message = format!(r#"{kind}.meta.k8s.io "" is invalid: dryRun: {why}"#);
    let mut status =
        Status::new(422, message).caused("FieldValueNotSupported", &why, Some("dryRun"));
    let details = status.details.get_or_insert_default();
    details.insert("group".into(), "meta.k8s.io".into());
    details.insert("kind".into(), kind.into());
    Err(status)
}

fn query_text(request: &Request) -> String {
    request
        .query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}
