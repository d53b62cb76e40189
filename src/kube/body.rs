//! What an answer holds, to be read as it comes.

use std::io::{self, Read};
use std::time::{Duration, Instant};

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

    /// What comes of it before its end, its first `most` bytes or the end of `limit`, whichever comes first.
    pub(super) fn beginning(self, most: u64, limit: Duration) -> Vec<u8> {
        let until = Instant::now() + limit;
        let mut text = Vec::new();
        let mut body = self.take(most);
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = body.read(&mut piece) {
            text.extend(&piece[..read]);
            if Instant::now() >= until {
                break;
            }
        }
        text
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
