//! What the kernel says of the agent's process.

use std::fs;
use std::path::{Path, PathBuf};

use sandbox::backend::Options;

/// The folder in /proc of the agent in this pod.
pub(crate) fn process(pod: &str) -> PathBuf {
    let of_pod = |folder: &Path| {
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&format!("POD_NAME={pod}\0"))
    };
    let mut processes = fs::read_dir("/proc").unwrap().flatten().map(|it| it.path());
    processes
        .find(|it| of_pod(it))
        .expect("the agent's process")
}

/// Not root, no capability, no way to more, system calls filtered, nothing to write to but its state.
pub(crate) fn confined(pod: &str) {
    let process = process(pod);
    let status = fs::read_to_string(process.join("status")).unwrap();
    for line in [
        "Uid:\t65532\t65532\t65532\t65532",
        "Gid:\t65532\t65532\t65532\t65532",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line:?} in:\n{status}");
    }
    let mounts = fs::read_to_string(process.join("mountinfo")).unwrap();
    let root = mounts.lines().find(|it| it.split(' ').nth(4) == Some("/"));
    let options = root.and_then(|it| it.split(' ').nth(5)).unwrap_or_default();
    assert!(options.split(',').any(|it| it == "ro"), "{root:?}");
    // Secrets stand in files alone.
    let environment = fs::read(process.join("environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains(&Options::default().secret_key));
}
