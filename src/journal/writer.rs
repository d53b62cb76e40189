//! The file, and whether it can be trusted.

use std::io;
use std::path::{Path, PathBuf};

use super::error::IoFault;
use super::fs::Fs;
use super::line;
use super::record::Record;

/// The journal's file in `STATE_DIR`.
pub(super) const FILE: &str = "journal";
/// The file that is being written to take its place.
const NEW_FILE: &str = "journal.new";
/// A file is written anew once so many bytes, and as many again as it began with, have been appended. Little in
/// tests, so that short runs see all of it.
const SLACK_BYTES: u64 = if cfg!(test) { 1 << 10 } else { 256 << 10 };
/// A new file is written in pieces of about so many bytes.
const PIECE_BYTES: usize = if cfg!(test) { 512 } else { 64 << 10 };

/// Whether a record has to be on the disk before the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    Now,
    Later,
}

pub(super) struct Writer<F: Fs> {
    fs: F,
    folder: PathBuf,
    /// Open as long as every operation on it has succeeded.
    file: Result<OpenFile<F::File>, IoFault>,
}

struct OpenFile<T> {
    file: T,
    /// How long it is.
    bytes: u64,
    /// How much of it is on the disk for certain.
    synced: u64,
    /// How long it was when it got its name.
    began_with: u64,
}

impl<F: Fs> Writer<F> {
    /// A writer with a clean file of `records`. If that cannot be written, the writer has a fault from the start.
    pub(super) fn new<'a>(
        fs: F,
        folder: PathBuf,
        records: impl Iterator<Item = Record<'a>>,
    ) -> Self {
        let file = write_new(&fs, &folder, records).map_err(|failure| failure.fault);
        Self { fs, folder, file }
    }

    /// Why nothing can be written at present.
    pub(super) fn fault(&self) -> Option<&IoFault> {
        self.file.as_ref().err()
    }

    /// The length of which the disk has everything; a line about to be written says so.
    pub(super) fn synced(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.synced)
    }

    /// Appends one line. After an error nothing is appended until [`Writer::rewrite`] has succeeded: a torn line
    /// may stand at the end, and after a failed `fsync` nobody knows what the disk has.
    pub(super) fn append(&mut self, line: &str, durability: Durability) -> Result<(), IoFault> {
        let Self { fs, folder, file } = self;
        let open = file.as_mut().map_err(|fault| fault.clone())?;
        let written = try_append(fs, open, line, durability);
        written.map_err(|(operation, error)| {
            let fault = IoFault::new(operation, &folder.join(FILE), &error);
            *file = Err(fault.clone());
            fault
        })
    }

    /// True if the file should be written anew: there is a fault, or too much in it is of the past.
    pub(super) fn is_due(&self) -> bool {
        match &self.file {
            Ok(file) => file.bytes > 2 * file.began_with + SLACK_BYTES,
            Err(_) => true,
        }
    }

    /// Writes a clean file of `records` in place of the present one.
    pub(super) fn rewrite<'a>(
        &mut self,
        records: impl Iterator<Item = Record<'a>>,
    ) -> Result<(), IoFault> {
        match write_new(&self.fs, &self.folder, records) {
            Ok(file) => {
                self.file = Ok(file);
                Ok(())
            }
            Err(WriteFailure { fault, has_name }) => {
                // The old file is as good as before, unless nobody knows which of the two has its name.
                if has_name || self.file.is_err() {
                    self.file = Err(fault.clone());
                }
                Err(fault)
            }
        }
    }
}

fn try_append<F: Fs>(
    fs: &F,
    open: &mut OpenFile<F::File>,
    line: &str,
    durability: Durability,
) -> Result<(), (&'static str, io::Error)> {
    fs.append(&mut open.file, line.as_bytes())
        .map_err(|error| ("write", error))?;
    open.bytes += line.len() as u64;
    if durability == Durability::Now {
        fs.sync(&open.file).map_err(|error| ("sync", error))?;
        open.synced = open.bytes;
    }
    Ok(())
}

struct WriteFailure {
    fault: IoFault,
    /// True if the new file may have the journal's name already.
    has_name: bool,
}

/// Writes a file beside the journal, and gives it the journal's name once the disk has it.
fn write_new<'a, F: Fs>(
    fs: &F,
    folder: &Path,
    records: impl Iterator<Item = Record<'a>>,
) -> Result<OpenFile<F::File>, WriteFailure> {
    let (path, new_path) = (folder.join(FILE), folder.join(NEW_FILE));
    let failed = |operation, path: &Path, has_name| {
        let path = path.to_owned();
        move |error: io::Error| WriteFailure {
            fault: IoFault::new(operation, &path, &error),
            has_name,
        }
    };
    let (file, bytes) = write_content(fs, &new_path, records).map_err(|(operation, error)| {
        // It may be what filled the disk. If it cannot be removed either, the next attempt empties it.
        let _ = fs.remove(&new_path);
        failed(operation, &new_path, false)(error)
    })?;
    fs.rename(&new_path, &path)
        .map_err(failed("rename to", &path, true))?;
    fs.sync_folder(folder)
        .map_err(failed("sync", folder, true))?;
    Ok(OpenFile {
        file,
        bytes,
        synced: bytes,
        began_with: bytes,
    })
}

fn write_content<'a, F: Fs>(
    fs: &F,
    path: &Path,
    records: impl Iterator<Item = Record<'a>>,
) -> Result<(F::File, u64), (&'static str, io::Error)> {
    let mut file = fs.create(path).map_err(|error| ("create", error))?;
    let mut piece = String::new();
    let mut bytes = 0;
    let mut write = |piece: &mut String| {
        bytes += piece.len() as u64;
        fs.append(&mut file, piece.as_bytes())
            .map_err(|error| ("write", error))?;
        piece.clear();
        Ok(bytes)
    };
    for record in records {
        piece += &line::write(&record, 0);
        if piece.len() >= PIECE_BYTES {
            write(&mut piece)?;
        }
    }
    let before_seal = write(&mut piece)?;
    piece += &line::write(&Record::Sealed {}, before_seal);
    let bytes = write(&mut piece)?;
    fs.sync(&file).map_err(|error| ("sync", error))?;
    Ok((file, bytes))
}
