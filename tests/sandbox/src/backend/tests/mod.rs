//! The backend as an agent sees it, over real connections.

mod calls;
mod contract;
mod members;
mod misbehaviour;
mod strict;

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Backend, Options};

/// Longer than anything here takes, also on a machine that stands still for a while.
const DEADLINE: Duration = Duration::from_mins(1);

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (this, value) = line.split_once(':')?;
            this.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// A request that is to be made, with all that the protocol wants of every one.
struct Call {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Call {
    fn new(method: &'static str, target: &str) -> Call {
        let key = Options::default().api_key;
        let headers = vec![
            ("authorization", format!("Bearer {key}")),
            ("user-agent", "kubernetes-agent/0.1.0".to_owned()),
        ];
        Call {
            method,
            target: target.to_owned(),
            headers,
            body: Vec::new(),
        }
    }

    fn json(method: &'static str, target: &str, body: &Value) -> Call {
        let mut call = Call::new(method, target).with("content-type", "application/json");
        call.body = body.to_string().into_bytes();
        call
    }

    fn batch(body: &Value) -> Call {
        let id = body["batch_id"].as_str().unwrap_or_default();
        let mut call = Call::json("POST", "/v1/metrics", body)
            .with("content-encoding", "gzip")
            .with("idempotency-key", id);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&call.body).unwrap();
        call.body = encoder.finish().unwrap();
        call
    }

    /// Sets a header, in place of the one that was there; an empty one is not sent.
    fn with(mut self, name: &'static str, value: &str) -> Call {
        self.headers.retain(|(this, _)| *this != name);
        if !value.is_empty() {
            self.headers.push((name, value.to_owned()));
        }
        self
    }

    fn send(&self, backend: &Backend) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(backend.server().addr())?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut request = Vec::new();
        write!(request, "{} {} HTTP/1.1\r\n", self.method, self.target)?;
        write!(
            request,
            "connection: close\r\ncontent-length: {}\r\n",
            self.body.len()
        )?;
        for (name, value) in &self.headers {
            write!(request, "{name}: {value}\r\n")?;
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(&self.body);
        stream.write_all(&request)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .ok_or(io::ErrorKind::InvalidData)?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        Ok(Answer {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            head,
            body: answer[end + 4..].to_vec(),
        })
    }

    /// Sends it and expects this status.
    #[track_caller]
    fn expect(&self, backend: &Backend, status: u16) -> Answer {
        let answer = self.send(backend).unwrap();
        let body = String::from_utf8_lossy(&answer.body);
        assert_eq!(
            answer.status, status,
            "{} {}: {body}",
            self.method, self.target
        );
        answer
    }
}

fn backend() -> Backend {
    Backend::start(Options {
        cluster_id: Some("c".into()),
        ..Options::default()
    })
    .unwrap()
}

fn registration() -> Value {
    json!({
        "cluster_id": "c", "agent_id": "a", "instance_id": "i", "run_id": "r", "agent_version": "0.1.0",
        "protocols": ["1"], "capabilities": ["cordon_node"], "kubernetes_version": "v1.33.1",
        "started_at": "2026-01-01T00:00:00.000Z",
    })
}

fn heartbeat(seq: u64) -> Value {
    json!({
        "cluster_id": "c", "instance_id": "i", "run_id": "r", "seq": seq, "status": "ok",
        "components": {"collector": {"state": "running", "since": "2026-01-01T00:00:00.000Z", "restarts": 0}},
        "resources": {
            "cpu_percent": 0.5, "memory_bytes": 1, "disk_free_bytes": 1, "disk_total_bytes": 1,
            "network_sent_bytes": 1, "network_received_bytes": 1,
        },
        "in_progress": [], "outbox_depth": 0, "metrics_buffered": 0, "metrics_dropped": 0, "rejected": [],
        "config_version": 0, "clock_offset_ms": null, "ws_connected": false,
    })
}

fn pod(uid: &str) -> Value {
    json!({
        "kind": "pod", "namespace": "n", "name": uid, "uid": uid, "node": "node-1",
        "workload": {"kind": "Deployment", "name": "d"}, "phase": "Running", "ready": true,
        "qos": "Burstable", "restarts": 0, "timestamp": "2026-01-01T00:00:00.000Z", "window_seconds": 15,
        "containers": [{
            "name": "main", "cpu_millicores": 1.25, "memory_bytes": 1, "cpu_request_millicores": 100,
            "cpu_limit_millicores": null, "memory_request_bytes": 1, "memory_limit_bytes": null,
            "restarts": 0, "last_termination": null,
        }],
    })
}

fn batch(seq: u64, samples: &[Value]) -> Value {
    json!({
        "cluster_id": "c", "agent_id": "a", "instance_id": "i", "run_id": "r",
        "batch_id": format!("0b6f3f0e-6a7c-4c55-9d3a-{seq:012x}"), "seq": seq,
        "collected_at": "2026-01-01T00:00:00.000Z", "samples": samples,
    })
}

fn claim(instance_id: &str, payload_sha256: &str) -> Value {
    json!({"agent_id": "a", "instance_id": instance_id, "payload_sha256": payload_sha256})
}

fn result(status: &str, payload_sha256: &str) -> Value {
    json!({
        "agent_id": "a", "instance_id": "i", "status": status, "message": "", "started_at": null,
        "finished_at": "2026-01-01T00:00:00.000Z", "details": {}, "payload_sha256": payload_sha256,
    })
}
