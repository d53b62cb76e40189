//! What an answer holds, to be read as it comes.

use std::io::{self, Read};

use prometheus::IntCounter;
use ureq::http::{HeaderMap, header};

use super::protobuf;

/// An answer's body.
pub struct Body {
    inner: ureq::BodyReader<'static>,
    /// Grows with the bytes that come off the wire.
    received: IntCounter,
    protobuf: bool,
}

impl Body {
    /// The body that came with `headers`; `received` counts its bytes.
    pub(super) fn new(headers: &HeaderMap, body: ureq::Body, received: IntCounter) -> Self {
        let kind = headers.get(header::CONTENT_TYPE);
        Self {
            inner: body.into_with_config().limit(u64::MAX).reader(),
            received,
            protobuf: kind
                .and_then(|it| it.to_str().ok())
                .is_some_and(|it| it.starts_with(protobuf::MEDIA_TYPE)),
        }
    }

    /// Whether the server says that it is protobuf.
    pub fn is_protobuf(&self) -> bool {
        self.protobuf
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.received.inc_by(read as u64);
        Ok(read)
    }
}
