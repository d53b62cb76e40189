//! The file operations of the journal: few, so that a test can let each of them fail and let the machine die at each.

use std::io;
use std::path::Path;

/// A place for files. [`Disk`](super::Disk) is the real one.
pub trait Fs {
    /// An open file, to be appended to.
    type File;
    /// An open file, to be read from its start.
    type Reader: io::Read;
    /// A lock that holds until it is dropped.
    type Lock;

    /// Makes a folder with its parents; no error if it is there.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Locks a file, which is made if it is not there. `None` if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;
    /// Opens a file to read it; `None` if it is not there.
    fn open(&self, path: &Path) -> io::Result<Option<Self::Reader>>;
    /// Makes an empty file, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Appends. After an error any part of `bytes` may have been written.
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Returns once the content is on the disk.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Gives a file another name, in place of the one that may have it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a folder, in any order. A name that is no UTF-8 is left out.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Returns once the names in a folder are on the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}
