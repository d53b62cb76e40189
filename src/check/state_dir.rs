//! STATE_DIR: writable, and with room. Its lock is not taken, and a running agent's files are not touched.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::report::Line;
use crate::resources::disk;

const NAME: &str = "state_dir";
/// Written and removed.
const PROBE: &str = "check.probe";
/// As much as a busy hour writes between two compactions of the journal.
const PROBE_BYTES: usize = 64 << 10;
/// The outbox alone may hold 4 MiB, and a compaction writes the journal a second time.
const ADVISED: u64 = 16 << 20;

pub(super) fn look(folder: &Path) -> Line {
    let shown = folder.display();
    if let Err(err) = write(folder) {
        return Line::failed(
            NAME,
            format!("{shown} cannot be written: {err}"),
            remedy(&err),
        );
    }
    let (free, _) = disk(folder);
    let mib = free >> 20;
    // Zero is what sysinfo says of a file system that it does not know; the probe has just found room.
    if free > 0 && free < ADVISED {
        let found = format!("{shown} can be written, {mib} MiB are free");
        let remedy =
            "make room on that volume, or a larger one: the journal of actions needs some MiB";
        return Line::warning(NAME, found, remedy);
    }
    let room = if free > 0 {
        format!(", {mib} MiB are free")
    } else {
        String::new()
    };
    Line::ok(NAME, format!("{shown} can be written{room}"))
}

/// Writes a file as the journal is written, and removes it, and the folder if it was not there before.
fn write(folder: &Path) -> io::Result<()> {
    let is_new = !folder.exists();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let path = folder.join(PROBE);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(&vec![b'x'; PROBE_BYTES])?;
            file.sync_data()
        });
    let removed = match fs::remove_file(&path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    };
    if is_new {
        let _ = fs::remove_dir(folder);
    }
    written.and(removed)
}

fn remedy(err: &io::Error) -> String {
    let todo = match err.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: make room on that volume, or a larger one (the chart's value state.sizeLimit)"
        }
        io::ErrorKind::PermissionDenied => {
            "let the agent's user (65532 in the pod) write there, as fsGroup 65532 does, or set STATE_DIR to a folder \
             of its own"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount a volume there that can be written (an emptyDir will do), or set STATE_DIR to one"
        }
        _ => "set STATE_DIR to a folder that can be written",
    };
    format!("{todo}; until then no action is executed, everything else goes on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Outcome;

    #[test]
    fn nothing_is_left_behind() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state");
        assert_eq!(look(&folder).outcome, Outcome::Ok);
        assert!(!folder.exists());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("journal"), "kept").unwrap();
        assert_eq!(look(&folder).outcome, Outcome::Ok);
        let left: Vec<_> = fs::read_dir(&folder).unwrap().collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn a_full_disk_is_told_from_others() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join(PROBE)).unwrap();
        let line = look(folder.path());
        assert_eq!(line.outcome, Outcome::Failed);
        assert!(line.remedy.unwrap().contains("the disk is full"));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let line = look(&file);
        assert_eq!(line.outcome, Outcome::Failed);
        assert!(line.remedy.unwrap().contains("STATE_DIR"));
    }
}
