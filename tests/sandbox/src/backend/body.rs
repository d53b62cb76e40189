//! The body of a request, as the protocol wants it (protocol, conventions and section 2).

use std::io::Read as _;

use flate2::bufread::GzDecoder;
use serde_json::Value;

use crate::http::Request;

use super::answer::Refusal;

/// More than the largest batch; what is larger is an attack.
const MAX_DECOMPRESSED: u64 = 64 << 20;
/// The body of a request that is not compressed.
pub(super) fn plain(request: &Request) -> Result<Value, Refusal> {
    if let Some(encoding) = request.header("content-encoding") {
        return Err(Refusal::broken(
            415,
            format!("Content-Encoding: expected none, got {encoding}"),
        ));
    }
    json_of(request, &request.body)
}

/// The JSON that these bytes of a request are.
pub(super) fn json_of(request: &Request, bytes: &[u8]) -> Result<Value, Refusal> {
    let kind = request.header("content-type").unwrap_or_default();
    if !kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
    {
        return Err(Refusal::broken(
            415,
            format!("Content-Type: expected application/json, got {kind:?}"),
        ));
    }
    serde_json::from_slice(bytes).map_err(|err| Refusal::broken(400, format!("body: {err}")))
}

/// What a gzip body holds.
pub(super) fn decompress(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut decoder = GzDecoder::new(bytes);
    let mut body = Vec::new();
    decoder
        .by_ref()
        .take(MAX_DECOMPRESSED + 1)
        .read_to_end(&mut body)
        .map_err(|err| Refusal::broken(400, format!("body: {err}")))?;
    if body.len() as u64 > MAX_DECOMPRESSED {
        return Err(Refusal::broken(413, "body: too large when decompressed"));
    }
    if !decoder.into_inner().is_empty() {
        return Err(Refusal::broken(400, "body: more than one gzip stream"));
    }
    Ok(body)
}
