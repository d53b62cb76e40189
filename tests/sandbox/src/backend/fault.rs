//! What an endpoint does instead of answering, switched on and off while the agent runs.

use std::io::Write as _;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::http::{Misbehaviour, Response};

/// What can go wrong by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /v1/agents/register`
    Register,
    /// `DELETE /v1/agents/{agent_id}`
    Deregister,
    /// `POST /v1/agents/{agent_id}/heartbeat`
    Heartbeat,
    /// `POST /v1/metrics`
    Metrics,
    /// `GET /v1/clusters/{cluster_id}/actions`
    Actions,
    /// `POST /v1/actions/{id}/claim`
    Claim,
    /// `PUT /v1/actions/{id}/result`
    Result,
    /// The upgrade to the WebSocket.
    #[serde(rename = "websocket")]
    WebSocket,
    /// Each of them that has no fault of its own.
    All,
}

/// One fault: what, how often, and whether the request counts all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What is done.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// For how many requests; always, if not said.
    #[serde(default)]
    pub times: Option<u32>,
    /// The request is carried out, and only its answer is spoilt: what makes a client repeat itself.
    #[serde(default)]
    pub after_processing: bool,
}

/// What is done instead of answering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers with this status, and `Retry-After` if given (any text, also nonsense).
    Status {
        /// The status.
        status: u16,
        /// The header's value.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// Answers with this status and says why.
    Says {
        /// The status.
        status: u16,
        /// What stands in the problem's detail.
        detail: String,
    },
    /// Answers a batch of more samples than this with 413, and others as ever.
    MaxSamples {
        /// The most that is taken.
        samples: usize,
    },
    /// Answers with a redirect.
    Redirect {
        /// The status: 301, 302, 307, 308.
        status: u16,
        /// Where to.
        location: String,
    },
    /// Answers 200 with a body that is no JSON.
    Garbage,
    /// Answers 200 with JSON that is not what was asked for.
    WrongShape,
    /// Answers with bytes that are no HTTP.
    NotHttp,
    /// Promises a body, sends half of it and closes.
    Truncated,
    /// Sends half of a body and resets the connection.
    Reset,
    /// Sends one byte at a time, with this pause before each.
    Slow {
        /// The pause in milliseconds.
        interval_ms: u64,
    },
    /// Reads the request and never answers.
    Hang,
    /// Answers as ever, but so much later.
    Delay {
        /// In milliseconds.
        ms: u64,
    },
    /// Sends a body in chunks that never end.
    Endless,
    /// Sends 10 MB of headers.
    LargeHeaders,
    /// Sends headers without end.
    EndlessHeaders,
    /// Sends a body of a few hundred KiB that is 256 MiB when decompressed.
    Bomb,
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Fault {
        Fault {
            kind,
            times: None,
            after_processing: false,
        }
    }
}

impl Fault {
    /// Answers with this status.
    pub fn status(status: u16) -> Fault {
        FaultKind::Status {
            status,
            retry_after: None,
        }
        .into()
    }

    /// Answers with this status and this `Retry-After`.
    pub fn retry_after(status: u16, retry_after: &str) -> Fault {
        FaultKind::Status {
            status,
            retry_after: Some(retry_after.to_owned()),
        }
        .into()
    }

    /// Only for so many requests.
    #[must_use]
    pub fn times(self, times: u32) -> Fault {
        Fault {
            times: Some(times),
            ..self
        }
    }

    /// With the request carried out before.
    #[must_use]
    pub fn after_processing(self) -> Fault {
        Fault {
            after_processing: true,
            ..self
        }
    }

    /// Spoils an answer; there is none if the request was not carried out.
    pub(super) fn spoil(&self, answer: Option<Response>) -> Response {
        match &self.kind {
            FaultKind::Status {
                status,
                retry_after,
            } => {
                let problem = super::answer::problem(*status, "a fault on demand");
                match retry_after {
                    Some(value) => problem.with_header("retry-after", value.clone()),
                    None => problem,
                }
            }
            FaultKind::Says { status, detail } => super::answer::problem(*status, detail),
            FaultKind::MaxSamples { .. } => super::answer::problem(413, "a fault on demand"),
            FaultKind::Redirect { status, location } => {
                Response::text(*status, "elsewhere").with_header("location", location.clone())
            }
            FaultKind::Garbage => Response::text(200, "<html><body>It works!</body></html>"),
            FaultKind::WrongShape => {
                Response::json(200, r#"[{"protocol":null},"pending_actions",-1]"#)
            }
            FaultKind::NotHttp => whole(answer).misbehaving(Misbehaviour::Garbage(
                b"\x00\x01SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec(),
            )),
            FaultKind::Truncated => half(answer, Misbehaviour::CutBody),
            FaultKind::Reset => half(answer, Misbehaviour::ResetBody),
            FaultKind::Slow { interval_ms } => {
                whole(answer).misbehaving(Misbehaviour::Drip(Duration::from_millis(*interval_ms)))
            }
            FaultKind::Hang => whole(answer).misbehaving(Misbehaviour::Hang),
            FaultKind::Delay { ms } => {
                thread::sleep(Duration::from_millis(*ms));
                whole(answer)
            }
            FaultKind::Endless => Response::stream(200, |chunks| {
                loop {
                    chunks.write_all(&[b' '; 16 << 10])?;
                }
            })
            .with_header("content-type", "application/json"),
            FaultKind::LargeHeaders => whole(answer).with_header("x-padding", "x".repeat(10 << 20)),
            FaultKind::EndlessHeaders => endless_headers(),
            FaultKind::Bomb => Response::json(200, bomb()).with_header("content-encoding", "gzip"),
        }
    }

    /// Whether the request has to be carried out: said so, or nothing else is wrong than how it is answered.
    pub(super) fn needs_answer(&self, endpoint: Endpoint) -> bool {
        let spoils_form = matches!(
            self.kind,
            FaultKind::Slow { .. } | FaultKind::Delay { .. } | FaultKind::LargeHeaders
        );
        // An upgrade that is carried out cannot be spoilt after.
        spoils_form || (self.after_processing && endpoint != Endpoint::WebSocket)
    }
}

/// The answer, or one that stands for it.
fn whole(answer: Option<Response>) -> Response {
    answer.unwrap_or_else(|| Response::json(200, "{}"))
}

/// An answer with a body, of which half is sent. An answer without one gets one: there is nothing to cut else.
fn half(answer: Option<Response>, cut: fn(usize) -> Misbehaviour) -> Response {
    let answer = answer
        .filter(|answer| answer.body().len() > 1)
        .unwrap_or_else(|| {
            Response::json(
                200,
                r#"{"protocol":"1","lease_seconds":300,"pending_actions":0,"actions":[]}"#,
            )
        });
    let length = answer.body().len();
    answer.misbehaving(cut(length / 2))
}

fn endless_headers() -> Response {
    let mut response = Response::take_over(|mut connection| {
        let header = format!("x-padding: {}\r\n", "x".repeat(1000));
        let mut sent = connection.write_all(b"HTTP/1.1 200 OK\r\n");
        while sent.is_ok() {
            sent = connection.write_all(header.as_bytes());
        }
    });
    response.status = 200;
    response
}

/// Zeros, compressed once for all.
fn bomb() -> Vec<u8> {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = vec![0; 1 << 20];
        for _ in 0..256 {
            // Writing to memory does not fail.
            let _ = encoder.write_all(&zeros);
        }
        encoder.finish().unwrap_or_default()
    };
    BOMB.get_or_init(make).clone()
}
