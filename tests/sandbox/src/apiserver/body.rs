//! How answers are encoded, in the form that the client accepts. The agent asks for none compressed.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::object::Form;
use super::protobuf;
use super::status::{Result, Status};
use crate::http::{Chunks, Request, Response};

/// From here on a body is made while it is sent.
const LARGE: usize = 128 << 10;

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
    let response = binary(status.code, protobuf::status(status));
    match status.retry_after {
        0 => response,
        seconds => response.with_header("retry-after", seconds.to_string()),
    }
}

/// A body in protobuf.
pub(super) fn binary(code: u16, body: Vec<u8>) -> Response {
    plain(code, body).with_header("content-type", protobuf::MEDIA_TYPE)
}

/// A body that is known already.
pub(super) fn whole(code: u16, json: Vec<u8>) -> Response {
    plain(code, json).with_header("content-type", "application/json")
}

fn plain(code: u16, body: Vec<u8>) -> Response {
    Response::new(code, body).with_header("cache-control", "no-cache, private")
}

/// A body that is made while it is sent, because it is large.
pub(super) fn streamed(
    sent: Arc<AtomicU64>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Response {
    Response::stream(200, move |chunks| {
        let mut out = BufWriter::with_capacity(64 << 10, Counted { chunks, sent });
        write(&mut out)?;
        out.flush()
    })
    .with_header("content-type", "application/json")
}

/// Whether a body of about this size is better streamed.
pub(super) fn is_large(bytes: usize) -> bool {
    bytes >= LARGE
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
