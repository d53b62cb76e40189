//! What an answer holds, to be read as it comes.

use std::io::{self, Read};

use flate2::read::GzDecoder;
use prometheus::IntCounter;
use ureq::http::{HeaderMap, header};

use super::protobuf;

/// An answer's body.
pub struct Body {
    bytes: Bytes,
    protobuf: bool,
}

enum Bytes {
    /// As they came.
    Plain(Counted),
    /// To be unpacked.
    Gzip(Box<GzDecoder<Counted>>),
}

impl Body {
    /// The body that came with `headers`; `count` grows with the bytes that come off the wire.
    pub(super) fn new(headers: &HeaderMap, body: ureq::Body, count: IntCounter) -> Self {
        let header = |name| headers.get(name).and_then(|it| it.to_str().ok());
        let gzip =
            header(header::CONTENT_ENCODING).is_some_and(|it| it.eq_ignore_ascii_case("gzip"));
        let body = Counted {
            inner: body.into_with_config().limit(u64::MAX).reader(),
            bytes: count,
        };
        Self {
            bytes: if gzip {
                Bytes::Gzip(Box::new(GzDecoder::new(body)))
            } else {
                Bytes::Plain(body)
            },
            protobuf: header(header::CONTENT_TYPE)
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
        match &mut self.bytes {
            Bytes::Plain(bytes) => bytes.read(into),
            Bytes::Gzip(bytes) => bytes.read(into),
        }
    }
}

/// Counts the bytes that come off the wire.
struct Counted {
    inner: ureq::BodyReader<'static>,
    bytes: IntCounter,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.bytes.inc_by(read as u64);
        Ok(read)
    }
}
