//! The file operations on a real disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::fs::Fs;

/// The files of the operating system. Only the agent's own user may read what is made here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Fs for Disk {
    type File = File;
    type Reader = File;
    type Lock = File;

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<File>> {
        let mut for_writing = OpenOptions::new();
        for_writing
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = match for_writing.open(path) {
            // A file that is there can be locked on a read-only file system too; for one that is not, that it is
            // read-only is the reason.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                File::open(path).map_err(|_| error)?
            }
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Option<File>> {
        match File::open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn files_and_names() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        assert!(Disk.open(&a).unwrap().is_none());
        let mut file = Disk.create(&a).unwrap();
        Disk.append(&mut file, b"one").unwrap();
        Disk.append(&mut file, b"two").unwrap();
        Disk.sync(&file).unwrap();
        Disk.rename(&a, &b).unwrap();
        Disk.sync_folder(folder.path()).unwrap();
        let mut text = String::new();
        Disk.open(&b)
            .unwrap()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "onetwo");
        assert_eq!(Disk.list(folder.path()).unwrap(), ["b"]);
        Disk.create(&b).unwrap();
        assert_eq!(fs::read(&b).unwrap(), b"");
        Disk.remove(&b).unwrap();
        assert!(Disk.list(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn nobody_else_may_read() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("x/y");
        Disk.create_folder(&folder).unwrap();
        Disk.create_folder(&folder).unwrap();
        Disk.create(&folder.join("a")).unwrap();
        let _lock = Disk.lock(&folder.join("lock")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("a")), 0o600);
        assert_eq!(mode(&folder.join("lock")), 0o600);
    }

    #[test]
    fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Disk.lock(&path).unwrap();
        assert!(first.is_some());
        assert!(Disk.lock(&path).unwrap().is_none());
        drop(first);
        // A process that another test is starting has a copy of every descriptor for a moment, locks included.
        let deadline = Instant::now() + Duration::from_secs(10);
        while Disk.lock(&path).unwrap().is_none() {
            assert!(Instant::now() < deadline, "it is locked still");
            std::thread::yield_now();
        }
    }
}
