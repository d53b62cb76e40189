//! Reading a file of the journal: what it says, what of it is torn, or that it is damaged.

use std::io::{self, BufRead, BufReader, Read};

use super::line::{self, MAX_LINE_BYTES};
use super::record::{FORMAT, Record};
use super::state::State;

/// What a file holds.
pub(super) enum Content {
    /// The state, and how many bytes at the end were never promised to be on the disk and are not whole.
    Good { state: State, torn_bytes: u64 },
    /// Something that was on the disk once is there no more, or it was never a journal.
    Damaged,
}

/// Reads a whole file, line by line.
pub(super) fn read(file: impl Read) -> io::Result<Content> {
    let mut lines = Lines {
        reader: BufReader::new(file),
        offset: 0,
    };
    let mut reading = Reading::default();
    let mut line = Vec::new();
    while let Some(offset) = lines.next(&mut line)? {
        if reading.add(offset, &line).is_err() {
            return Ok(Content::Damaged);
        }
    }
    Ok(match reading {
        Reading {
            state: Some(state),
            is_sealed: true,
            torn_from,
        } => {
            let torn_bytes = torn_from.map_or(0, |from| lines.offset - from);
            Content::Good { state, torn_bytes }
        }
        _ => Content::Damaged,
    })
}

#[derive(Default)]
struct Reading {
    state: Option<State>,
    /// The seal was read: everything before it is whole.
    is_sealed: bool,
    /// Where the first bad line begins.
    torn_from: Option<u64>,
}

struct IsDamaged;

impl Reading {
    fn add(&mut self, offset: u64, line: &[u8]) -> Result<(), IsDamaged> {
        let Some((synced, record)) = line::read(line) else {
            self.torn_from.get_or_insert(offset);
            return Ok(());
        };
        // Its writer had seen this much on the disk.
        if synced > self.torn_from.unwrap_or(offset) {
            return Err(IsDamaged);
        }
        if self.torn_from.is_some() {
            // A machine that dies may keep a later page and lose an earlier one. Nothing was promised of either.
            return Ok(());
        }
        match (&mut self.state, record) {
            (
                state @ None,
                Record::Journal {
                    format: FORMAT,
                    instance_id,
                },
            ) => {
                *state = Some(State::new(instance_id.into_owned()));
                Ok(())
            }
            (None, _) => Err(IsDamaged),
            (Some(_), Record::Sealed {}) if synced == offset && !self.is_sealed => {
                self.is_sealed = true;
                Ok(())
            }
            (Some(state), record) => state.apply(record).map_err(|_| IsDamaged),
        }
    }
}

/// The lines of a file with their offsets. One that is longer than a journal's can be is cut: it is bad anyhow.
struct Lines<R> {
    reader: BufReader<R>,
    offset: u64,
}

impl<R: Read> Lines<R> {
    fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Option<u64>> {
        let offset = self.offset;
        line.clear();
        let read = self
            .reader
            .by_ref()
            .take(MAX_LINE_BYTES as u64)
            .read_until(b'\n', line)?;
        self.offset += read as u64;
        if read == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
            self.offset += self.reader.skip_until(b'\n')? as u64;
        }
        Ok((read > 0).then_some(offset))
    }
}
