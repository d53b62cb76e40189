//! A list whose items are read as they come off the wire, one at a time.

use std::io::Read;

use super::super::stream::StreamError;
use super::super::window::{MAX_ENVELOPE, MAX_VALUE, Wait, Window};
use super::{Kind, MAGIC, Malformed, Tag, fields, varint};

/// Fields of runtime.Unknown, the frame around each object.
mod unknown {
    pub(super) const TYPE_META: u32 = 1;
    pub(super) const RAW: u32 = 2;
}

/// Fields of every list kind.
mod list_kind {
    pub(super) const METADATA: u32 = 1;
    pub(super) const ITEMS: u32 = 2;
}

/// A list's own metadata.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListMeta {
    /// The version from which a watch goes on.
    pub resource_version: String,
    /// Where the next page begins; empty on the last one.
    pub token: String,
}

/// Hands every item to `read`, and returns the list's metadata.
pub fn list<R: Read>(
    reader: R,
    mut read: impl FnMut(&[u8]) -> Result<(), Malformed>,
) -> Result<ListMeta, StreamError> {
    let mut frame = Frame {
        window: Window::new(reader),
        taken: 0,
    };
    if frame.bytes(MAGIC.len() as u64, MAX_ENVELOPE)? != MAGIC {
        return Err(Malformed("the answer does not begin as protobuf does").into());
    }
    let mut meta = ListMeta::default();
    let mut complete = false;
    while let Some(tag) = frame.tag()? {
        match (tag.number, tag.kind) {
            (unknown::TYPE_META, Kind::Bytes) => {
                let size = frame.varint()?;
                is_list(frame.bytes(size, MAX_ENVELOPE)?)?;
            }
            (unknown::RAW, Kind::Bytes) => {
                let size = frame.varint()?;
                let end = frame.taken.saturating_add(size);
                frame.items(end, &mut meta, &mut read)?;
                complete = true;
            }
            (_, kind) => frame.skip(&kind)?,
        }
    }
    if complete {
        Ok(meta)
    } else {
        Err(StreamError::Truncated)
    }
}

/// The kind's name is all that tells a list from a `Status` or a single object.
fn is_list(type_meta: &[u8]) -> Result<(), Malformed> {
    fields(type_meta, |number, value| {
        const KIND: u32 = 2;
        if number == KIND && !value.text()?.ends_with("List") {
            return Err(Malformed("the answer is no list"));
        }
        Ok(())
    })
}

/// The bytes of the answer, and how many of them are behind.
struct Frame<R> {
    window: Window<R>,
    taken: u64,
}

impl<R: Read> Frame<R> {
    /// Reads the list itself, which ends at `end`.
    fn items(
        &mut self,
        end: u64,
        meta: &mut ListMeta,
        read: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), StreamError> {
        while self.taken < end {
            let tag = self.tag()?.ok_or(StreamError::Truncated)?;
            match (tag.number, tag.kind) {
                (list_kind::METADATA, Kind::Bytes) => {
                    let size = self.varint()?;
                    *meta = list_meta(self.bytes(size, MAX_ENVELOPE)?)?;
                }
                (list_kind::ITEMS, Kind::Bytes) => {
                    let size = self.varint()?;
                    read(self.bytes(size, MAX_VALUE)?)?;
                }
                (_, kind) => self.skip(&kind)?,
            }
        }
        if self.taken == end {
            Ok(())
        } else {
            Err(Malformed("an item goes on behind the list's end").into())
        }
    }

    /// The next field's tag; `None` at the end.
    fn tag(&mut self) -> Result<Option<Tag>, StreamError> {
        if self.window.bytes().is_empty() && !self.window.fill(Wait::ForMuch)? {
            return Ok(None);
        }
        Ok(Some(Tag::of(self.varint()?)?))
    }

    fn varint(&mut self) -> Result<u64, StreamError> {
        loop {
            if let Some((number, taken)) = varint(self.window.bytes())? {
                self.window.take(taken);
                self.taken += taken as u64;
                return Ok(number);
            }
            self.more()?;
        }
    }

    /// The next `size` bytes, of which `most` are held whole.
    fn bytes(&mut self, size: u64, most: usize) -> Result<&[u8], StreamError> {
        let whole = usize::try_from(size).unwrap_or(usize::MAX);
        if whole > most {
            return Err(StreamError::TooLarge);
        }
        while self.window.bytes().len() < whole {
            self.more()?;
        }
        self.taken += size;
        Ok(self.window.take(whole))
    }

    /// Passes over a field that a later Kubernetes may have.
    fn skip(&mut self, kind: &Kind) -> Result<(), StreamError> {
        let mut left = match kind {
            Kind::Varint => return self.varint().map(drop),
            Kind::Fixed(size) => *size,
            Kind::Bytes => self.varint()?,
        };
        while left > 0 {
            if self.window.bytes().is_empty() {
                self.more()?;
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let taken = self.window.take(most).len() as u64;
            self.taken += taken;
            left -= taken;
        }
        Ok(())
    }

    fn more(&mut self) -> Result<(), StreamError> {
        if self.window.fill(Wait::ForMuch)? {
            Ok(())
        } else {
            Err(StreamError::Truncated)
        }
    }
}

/// meta/v1 ListMeta.
fn list_meta(message: &[u8]) -> Result<ListMeta, Malformed> {
    const RESOURCE_VERSION: u32 = 2;
    const CONTINUE: u32 = 3;
    let mut meta = ListMeta::default();
    fields(message, |number, value| {
        match number {
            RESOURCE_VERSION => value.text()?.clone_into(&mut meta.resource_version),
            CONTINUE => value.text()?.clone_into(&mut meta.token),
            _ => (),
        }
        Ok(())
    })?;
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use super::super::super::window::pieces::Pieces;
    use super::super::written::field;
    use super::*;

    /// A list as the server writes it, with a field of each wire type that is not known.
    fn text(kind: &str, items: &[&[u8]]) -> Vec<u8> {
        let meta = [field(1, b""), field(2, b"7"), field(3, b"next")].concat();
        let mut raw = [field(1, &meta), vec![0x48, 0x05, 0x55, 1, 2, 3, 4]].concat();
        for item in items {
            raw.extend(field(2, item));
        }
        raw.extend(field(9, &[0; 300]));
        let frame = [
            field(1, &[field(1, b"v1"), field(2, kind.as_bytes())].concat()),
            field(2, &raw),
            field(3, b""),
            field(4, b""),
        ];
        [MAGIC, &frame.concat()].concat()
    }

    fn read(bytes: &[u8], step: usize) -> Result<(Vec<Vec<u8>>, ListMeta), StreamError> {
        let mut items = Vec::new();
        let meta = list(Pieces(bytes, step), |item| {
            items.push(item.to_vec());
            Ok(())
        })?;
        Ok((items, meta))
    }

    #[test]
    fn items_are_read_whatever_the_pieces_they_come_in() {
        let large = vec![b'x'; 500_000];
        let text = text("PodList", &[b"a", b"", &large, b"d"]);
        for step in [1, 3, 7, 4096, 1 << 20] {
            let (items, meta) = read(&text, step).unwrap();
            assert_eq!(items, [&b"a"[..], b"", &large, b"d"], "step {step}");
            assert_eq!(
                (meta.resource_version.as_str(), meta.token.as_str()),
                ("7", "next")
            );
        }
    }

    #[test]
    fn an_answer_that_breaks_off_is_told_from_a_whole_one() {
        let text = text("PodList", &[b"first", b"second"]);
        // What follows the list is two empty fields.
        for end in 0..text.len() - 4 {
            let outcome = read(&text[..end], 5);
            assert!(matches!(outcome, Err(StreamError::Truncated)), "{end}");
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for bytes in [
            &b"{\"kind\":\"PodList\"}"[..],
            &text("Status", &[]),
            &text("Pod", &[]),
            &[MAGIC, &[0x0f]].concat(),
            &[MAGIC, &[0x12, 0x04, 0x12, 0x10], &[0; 16]].concat(),
        ] {
            let outcome = read(bytes, 5);
            assert!(
                matches!(outcome, Err(StreamError::Protobuf(_))),
                "{bytes:?}"
            );
        }
        // An item that says it is larger than any may be is not waited for.
        let frame = [MAGIC, &[0x12, 0xff, 0xff, 0xff, 0x7f]].concat();
        let huge = [&frame[..], &[0x12, 0xff, 0xff, 0xff, 0x3f]].concat();
        assert!(matches!(read(&huge, 5), Err(StreamError::TooLarge)));
    }
}
