//! How answers are encoded: what form the client accepts, and compression as the real server does it.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::object::Form;
use super::protobuf;
use super::status::{Result, Status};
use crate::http::{Chunks, Request, Response};

/// The real server compresses from here on, and sends anything smaller as it is.
const GZIP_THRESHOLD: usize = 128 << 10;
/// The real server's level; it was 4 before Kubernetes 1.26.
const GZIP_LEVEL: u32 = 1;

/// What a client wants an answer to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Objects, or their metadata alone.
    pub form: Form,
    /// In protobuf instead of JSON.
    pub protobuf: bool,
}

/// The first form that the client accepts and this server has as JSON; 406 if there is none.
pub(super) fn accepted_form(request: &Request) -> Result<Form> {
    accepted(request, |_| false).map(|it| it.form)
}

/// What the client accepts first of all that this server has: JSON always, protobuf of what `protobuf` says.
pub(super) fn accepted(request: &Request, protobuf: impl Fn(Form) -> bool) -> Result<Wanted> {
    let Some(accept) = request.header("accept") else {
        return Ok(Wanted {
            form: Form::Whole,
            protobuf: false,
        });
    };
    for offer in accept.split(',') {
        let mut parts = offer.split(';').map(str::trim);
        let is_protobuf = match parts.next().unwrap_or_default() {
            "" | "*/*" | "application/*" | "application/json" => false,
            protobuf::MEDIA_TYPE => true,
            _ => continue,
        };
        let form = match parts.find_map(|part| part.strip_prefix("as=")) {
            None => Form::Whole,
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Form::Metadata,
            // Tables are for kubectl, which accepts objects as well.
            Some(_) => continue,
        };
        if !is_protobuf || protobuf(form) {
            return Ok(Wanted {
                form,
                protobuf: is_protobuf,
            });
        }
    }
    Err(Status::generic(406, "406: Not Acceptable"))
}

/// A refusal, in the form that was asked for first.
pub(super) fn refusal(request: &Request, status: &Status) -> Response {
    let wanted = accepted(request, |_| true);
    if !wanted.is_ok_and(|it| it.protobuf) {
        return status.to_response();
    }
    let response = binary(request, status.code, protobuf::status(status));
    match status.retry_after {
        0 => response,
        seconds => response.with_header("retry-after", seconds.to_string()),
    }
}

/// A body in protobuf.
pub(super) fn binary(request: &Request, code: u16, body: Vec<u8>) -> Response {
    packed(request, code, body).with_header("content-type", protobuf::MEDIA_TYPE)
}

/// A body that is known already.
pub(super) fn whole(request: &Request, code: u16, json: Vec<u8>) -> Response {
    packed(request, code, json).with_header("content-type", "application/json")
}

fn packed(request: &Request, code: u16, body: Vec<u8>) -> Response {
    if !is_large(body.len()) || !accepts_gzip(request) {
        return Response::new(code, body).with_header("cache-control", "no-cache, private");
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
    // Writing to memory does not fail.
    let _ = encoder.write_all(&body);
    Response::new(code, encoder.finish().unwrap_or_default())
        .with_header("content-encoding", "gzip")
}

/// A body that is made while it is sent, because it is large.
pub(super) fn streamed(
    request: &Request,
    sent: Arc<AtomicU64>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Response {
    if !accepts_gzip(request) {
        return Response::stream(200, move |chunks| {
            let mut out = BufWriter::with_capacity(64 << 10, Counted { chunks, sent });
            write(&mut out)?;
            out.flush()
        })
        .with_header("content-type", "application/json");
    }
    Response::stream(200, move |chunks| {
        let out = BufWriter::with_capacity(64 << 10, Counted { chunks, sent });
        let mut encoder = GzEncoder::new(out, Compression::new(GZIP_LEVEL));
        write(&mut encoder)?;
        encoder.finish()?.flush()
    })
    .with_header("content-type", "application/json")
    .with_header("content-encoding", "gzip")
}

/// Whether a body of about this size is better streamed.
pub(super) fn is_large(bytes: usize) -> bool {
    bytes >= GZIP_THRESHOLD
}

fn accepts_gzip(request: &Request) -> bool {
    let accepted = request.header("accept-encoding").unwrap_or_default();
    accepted
        .split(',')
        .any(|it| it.trim() == "gzip" || it.trim().starts_with("gzip;"))
}

/// Counts what goes out, for the audit.
pub(super) struct Counted<'a, 'b> {
    /// Where it goes.
    pub chunks: &'a mut Chunks<'b>,
    /// How much it was so far.
    pub sent: Arc<AtomicU64>,
}

impl Write for Counted<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.chunks.write(buf)?;
        self.sent.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.chunks.flush()
    }
}
