//! Compression of what is sent.

use flate2::{Compress, Compression, FlushCompress, Status};

/// A compressor whose tables are made once: they are larger than most batches.
pub(super) struct Zip(Compress);

/// The window of zlib's default.
const WINDOW_BITS: u8 = 15;

impl Zip {
    /// Its tables are made.
    pub(super) fn new() -> Self {
        Self(Compress::new_gzip(Compression::fast(), WINDOW_BITS))
    }

    /// `text` as gzip (RFC 1952).
    pub(super) fn gzip(&mut self, text: &[u8]) -> Vec<u8> {
        self.0.reset();
        let mut body = Vec::with_capacity(text.len() / 8 + 64);
        loop {
            let taken = usize::try_from(self.0.total_in()).unwrap_or(text.len());
            match self
                .0
                .compress_vec(&text[taken..], &mut body, FlushCompress::Finish)
            {
                Ok(Status::StreamEnd) | Err(_) => break,
                Ok(_) => body.reserve(body.capacity().max(1024)),
            }
        }
        body.shrink_to_fit();
        body
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn large_and_varied_text_survives() {
        let mut zip = Zip::new();
        let varied: String = (0..300_000_u32)
            .filter_map(|n| char::from_u32(33 + n.wrapping_mul(2_654_435_761) % 90))
            .collect();
        for text in [&varied, "", "again", &varied] {
            let mut read = String::new();
            GzDecoder::new(&zip.gzip(text.as_bytes())[..])
                .read_to_string(&mut read)
                .unwrap();
            assert!(read == text, "{} of {} bytes", read.len(), text.len());
        }
    }
}
