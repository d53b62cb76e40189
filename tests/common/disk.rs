//! A small disk of its own for STATE_DIR, which can be full or read-only: a tmpfs in a mount namespace.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Set where mounts must be possible, as in `.ci/run`: a test that needs them may not be skipped there.
const REQUIRED: &str = "KUBERNETES_AGENT_TEST_MOUNTS";
const BYTES: u64 = 256 << 10;
/// What the disk gives at once.
pub const PAGE: usize = 4096;

/// The disk; gone when dropped, with all that is on it.
pub struct Disk {
    /// Holds the namespace. It ends with its standard input, so with this process on whatever road.
    holder: Child,
    /// How to enter the namespace.
    enter: Vec<String>,
    folder: PathBuf,
}

impl Disk {
    /// Mounts one at `folder`, in a namespace of its own. None where that is not allowed: the test is skipped.
    pub fn mount(folder: &Path) -> Option<Self> {
        // Root may mount by itself; others in a user namespace, where the kernel lets them have one.
        let disk = Self::mount_with(folder, &[]).or_else(|| Self::mount_with(folder, &["--user"]));
        if disk.is_none() {
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "{REQUIRED} is set, and nothing can be mounted"
            );
            eprintln!("skipped: nothing can be mounted here; .ci/run does this test as root");
        }
        disk
    }

    fn mount_with(folder: &Path, kinds: &[&str]) -> Option<Self> {
        let as_root: &[&str] = if kinds.is_empty() {
            &[]
        } else {
            &["--map-root-user"]
        };
        let mount = format!(
            "mount -t tmpfs -o size={BYTES},mode=700 none \"$0\" && echo mounted && exec cat"
        );
        let mut holder = Command::new("unshare")
            .arg("--mount")
            .args(kinds)
            .args(as_root)
            .args(["sh", "-c", &mount])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut said = String::new();
        let out = holder.stdout.take().expect("its output");
        let _ = BufReader::new(out).read_line(&mut said);
        let mut enter = vec!["nsenter".to_owned(), "--mount".to_owned()];
        enter.extend(kinds.iter().map(|it| (*it).to_owned()));
        if !kinds.is_empty() {
            enter.push("--preserve-credentials".to_owned());
        }
        enter.push(format!("--target={}", holder.id()));
        let disk = Self {
            holder,
            enter,
            folder: folder.to_owned(),
        };
        (said.trim() == "mounted").then_some(disk)
    }

    /// What a command is prefixed with to see the disk.
    pub fn enter(&self) -> &[String] {
        &self.enter
    }

    /// A file on it, as a process outside the namespace finds it.
    pub fn file(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.folder.strip_prefix("/").expect("an absolute path"))
            .join(name)
    }

    /// Takes all the room there is.
    pub fn fill(&self) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.file("filler"))
            .expect("a file");
        loop {
            match file.write_all(&[0; PAGE]) {
                Ok(()) => (),
                Err(err) if err.kind() == ErrorKind::StorageFull => return,
                Err(err) => panic!("failed to fill the disk: {err}"),
            }
        }
    }

    /// Gives it back.
    pub fn free(&self) {
        File::create(self.file("filler")).expect("the filler is emptied");
    }

    /// Makes it read-only, or writable again.
    pub fn set_read_only(&self, read_only: bool) {
        let options = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let done = Command::new(&self.enter[0])
            .args(&self.enter[1..])
            .args(["mount", "-o", options])
            .arg(&self.folder)
            .status();
        assert!(done.is_ok_and(|it| it.success()), "mount -o {options}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
