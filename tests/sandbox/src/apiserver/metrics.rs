//! The Metrics API: usage of the pods and nodes that the store holds.
//!
//! As the real Metrics Server: a list comes in one piece whatever limit was asked for, there is nothing to watch,
//! and a pod that was not yet measured is not there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Call;
use super::body;
use super::discovery;
use super::list;
use super::object::{Object, str_at};
use super::protobuf;
use super::random::{hash, now, timestamp};
use super::resources::Resource;
use super::status::{Result, Status};
use crate::http::Response;

/// Whether the Metrics API is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// It answers.
    #[default]
    Available,
    /// Nobody registered it: 404, and no such group in discovery.
    Missing,
    /// It is registered, but its server is down: 503 from the aggregator.
    Unavailable,
}

/// How the Metrics API is to behave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsMode {
    /// Whether it is there.
    pub availability: Availability,
    /// Whether pods and nodes have usage by themselves. Otherwise there is only what was written.
    pub automatic: bool,
    /// Whether that usage moves from one measurement to the next.
    pub moving: bool,
    /// Pods (`namespace/name`) and nodes (`name`) that have no measurement.
    pub absent: Vec<String>,
    /// Of a hundred pods, how many have no measurement, always the same ones.
    pub absent_percent: u64,
    /// How many seconds a pod runs before it is measured.
    pub delay_seconds: u64,
}

impl Default for MetricsMode {
    fn default() -> MetricsMode {
        MetricsMode {
            availability: Availability::Available,
            automatic: true,
            moving: true,
            absent: Vec::new(),
            absent_percent: 0,
            delay_seconds: 0,
        }
    }
}

/// The Metrics API's state.
pub(super) struct Metrics {
    mode: Mutex<MetricsMode>,
    resolution: Duration,
}

impl Metrics {
    /// New numbers each `resolution`.
    pub(super) fn new(resolution: Duration) -> Metrics {
        Metrics {
            mode: Mutex::default(),
            resolution: resolution.max(Duration::from_millis(1)),
        }
    }

    /// How it behaves.
    pub(super) fn mode(&self) -> MetricsMode {
        self.mode
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Behaves so from now on.
    pub(super) fn set_mode(&self, mode: MetricsMode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}

/// One round of measuring everything.
#[derive(Clone)]
struct Round {
    /// The how-manieth; zero where usage does not move.
    number: u64,
    at: OffsetDateTime,
    resolution: Duration,
    created: String,
}

/// Answers a request for usage.
pub(super) fn serve(call: &Call<'_>, verb: &str) -> Result<Response> {
    let mode = call.api.metrics.mode();
    match mode.availability {
        Availability::Available => {}
        Availability::Missing => return Ok(discovery::unknown()),
        Availability::Unavailable => return Ok(Response::text(503, "service unavailable\n")),
    }
    match verb {
        "get" => get(call, &mode),
        "list" => list(call, &mode),
        "create" | "update" => put(call),
        "delete" => remove(call),
        _ => Err(Status::method_not_allowed()),
    }
}

fn list(call: &Call<'_>, mode: &MetricsMode) -> Result<Response> {
    let resource = call.target.resource;
    let (_, fields) = call.wanted()?;
    let selector = call.selector()?;
    let (measured, mut written) = {
        let state = call.api.store.read();
        let measured: Vec<Arc<Object>> = if mode.automatic {
            state
                .list(measured(resource), &call.target.namespace)
                .cloned()
                .collect()
        } else {
            Vec::new()
        };
        let written = state.list(resource, &call.target.namespace).cloned();
        (
            measured,
            written
                .map(|it| (it.key.clone(), it))
                .collect::<BTreeMap<_, _>>(),
        )
    };
    let round = Round::now(call.api.metrics.resolution, mode);
    let mut objects: Vec<_> = measured
        .into_iter()
        .filter(|it| mode.measures(it, round.at))
        .map(|it| written.remove(&it.key).unwrap_or(it))
        .collect();
    objects.extend(written.into_values());
    objects.retain(|object| selector.matches(object));
    let (kind, version) = (format!("{}List", resource.kind), resource.api_version());
    if let Some(fields) = fields {
        let items = objects.iter().map(|object| {
            let mut item = Vec::new();
            round.write(object, &mut item);
            item
        });
        let list = protobuf::list(&kind, &version, &json!({}), fields, items);
        return Ok(body::binary(200, list));
    }
    let head = format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{{}},"items":["#);
    Ok(list::answer(call, head, objects, move |object, out| {
        round.write(object, out);
    }))
}

fn get(call: &Call<'_>, mode: &MetricsMode) -> Result<Response> {
    let resource = call.target.resource;
    let key = call.target.key();
    let round = Round::now(call.api.metrics.resolution, mode);
    let object = {
        let state = call.api.store.read();
        let measured = || {
            state
                .get(measured(resource), &key)
                .filter(|it| mode.automatic && mode.measures(it, round.at))
        };
        state.get(resource, &key).or_else(measured).cloned()
    };
    let object = object.ok_or_else(|| {
        let kind = resource.kind.to_ascii_lowercase();
        let message = format!("{kind}.metrics.k8s.io {key:?} not found");
        Status::new(404, message).about(resource, &key)
    })?;
    let mut item = Vec::new();
    round.write(&object, &mut item);
    let head = format!(
        r#"{{"kind":"{}","apiVersion":"{}","#,
        resource.kind,
        resource.api_version()
    );
    Ok(Response::json(200, [head.as_bytes(), &item[1..]].concat()))
}

/// Stores a measurement, as the custom resource of a test cluster would; the real Metrics Server has no such thing.
fn put(call: &Call<'_>) -> Result<Response> {
    let mut value: Value = serde_json::from_slice(&call.request.body)
        .map_err(|err| Status::bad_request(format!("the body is no JSON: {err}")))?;
    if call.target.resource.namespaced {
        value["metadata"]["namespace"] = call.target.namespace.as_str().into();
    }
    if value["metadata"]["creationTimestamp"].is_null() {
        value["metadata"]["creationTimestamp"] = now().into();
    }
    if str_at(&value["metadata"], "name").is_empty() {
        return Err(Status::bad_request("no name"));
    }
    call.api
        .store
        .write(|state| state.put(call.target.resource, value.clone()));
    Ok(Response::json(
        if call.request.method == "POST" {
            201
        } else {
            200
        },
        value.to_string(),
    ))
}

fn remove(call: &Call<'_>) -> Result<Response> {
    let removed = call
        .api
        .store
        .write(|state| state.remove(call.target.resource, &call.target.key()));
    removed.ok_or_else(|| Status::not_found(call.target.resource, &call.target.name))?;
    Ok(Response::json(
        200,
        super::status::success(json!({})).to_string(),
    ))
}

/// What is measured for a resource of the Metrics API.
fn measured(resource: &Resource) -> &'static Resource {
    Resource::named("", resource.plural)
}

impl MetricsMode {
    fn measures(&self, object: &Object, at: OffsetDateTime) -> bool {
        let is_pod = object.key.contains('/');
        let delay = i64::try_from(self.delay_seconds).unwrap_or(i64::MAX);
        let runs = object.index.started > 0
            && object.index.started.saturating_add(delay) <= at.unix_timestamp();
        let left_out = is_pod && hash(&object.key) % 100 < self.absent_percent;
        (runs || !is_pod) && !left_out && !self.absent.iter().any(|key| **key == *object.key)
    }
}

impl Round {
    fn now(resolution: Duration, mode: &MetricsMode) -> Round {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let number = since_epoch.as_millis() / resolution.as_millis().max(1);
        let at = OffsetDateTime::UNIX_EPOCH + since_epoch;
        let number = if mode.moving {
            u64::try_from(number).unwrap_or_default()
        } else {
            0
        };
        Round {
            number,
            at,
            resolution,
            created: now(),
        }
    }

    /// Appends the usage of a pod or node, or the measurement that was written for it.
    fn write(&self, object: &Object, out: &mut Vec<u8>) {
        if object.index.usage.is_empty() {
            out.extend_from_slice(&object.json);
            return;
        }
        let labels = object
            .index
            .labels
            .iter()
            .map(|(key, value)| (key.to_string(), Value::from(&**value)));
        let mut metadata = json!({"name": object.name(), "creationTimestamp": self.created});
        if !object.namespace().is_empty() {
            metadata["namespace"] = object.namespace().into();
        }
        if !object.index.labels.is_empty() {
            metadata["labels"] = labels.collect::<serde_json::Map<_, _>>().into();
        }
        // Each was measured at its own moment of the round, over about a round.
        let jitter = u32::try_from(hash(&object.key) % 1000).unwrap_or_default();
        let age = self.resolution * jitter / 2000;
        let window = (self.resolution * (950 + jitter / 10) / 1000).as_secs_f64();
        let time = timestamp(self.at - age);
        out.extend_from_slice(
            format!(r#"{{"metadata":{metadata},"timestamp":"{time}","window":"{window:.3}s","#)
                .as_bytes(),
        );
        let usages: Vec<String> = object
            .index
            .usage
            .iter()
            .map(|base| {
                let seed = format!("{}{}{}", object.index.uid, base.name, self.number);
                let (cpu, memory) = moved(hash(&seed), base.cpu_millis, base.memory);
                format!(r#"{{"cpu":"{cpu}n","memory":"{memory}Ki"}}"#)
            })
            .collect();
        if object.key.contains('/') {
            let containers = object.index.usage.iter().zip(&usages);
            let containers: Vec<String> = containers
                .map(|(base, usage)| format!(r#"{{"name":"{}","usage":{usage}}}"#, base.name))
                .collect();
            out.extend_from_slice(
                format!(r#""containers":[{}]}}"#, containers.join(",")).as_bytes(),
            );
        } else {
            out.extend_from_slice(format!(r#""usage":{}}}"#, usages[0]).as_bytes());
        }
    }
}

/// Usage about a request, in nanocores and KiB. What requests nothing still uses something.
fn moved(random: u64, cpu_millis: u64, memory: u64) -> (u64, u64) {
    let base_nanos = cpu_millis.max(20) * 1_000_000;
    let base_kib = (memory >> 10).max(20 << 10);
    // From a fifth to nine tenths for CPU; memory moves less.
    let cpu = base_nanos / 1000 * (200 + random % 700) + (random >> 20) % 1_000_000;
    let memory = base_kib / 1000 * (600 + (random >> 40) % 200) + (random >> 52) % 1024;
    (cpu, memory)
}
