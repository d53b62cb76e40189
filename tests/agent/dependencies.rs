//! What must never be part of the agent: an async runtime, OpenSSL, a second TLS or HTTP stack.

use std::process::Command;

const UNWANTED: [&str; 14] = [
    "tokio",
    "async-std",
    "smol",
    "async-executor",
    "futures-executor",
    "openssl",
    "openssl-sys",
    "aws-lc-rs",
    "aws-lc-sys",
    "native-tls",
    "hyper",
    "reqwest",
    "kube",
    "h2",
];

#[test]
fn the_agent_depends_on_nothing_unwanted() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "tree",
            "-e",
            "normal,build",
            "-p",
            "kubernetes-agent",
            "--offline",
            "--locked",
            "--prefix",
            "none",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).expect("text");
    let names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(
        names.contains(&"ureq") && names.contains(&"rustls"),
        "the tree was read:\n{tree}"
    );
    let found: Vec<_> = UNWANTED.iter().filter(|it| names.contains(it)).collect();
    assert!(found.is_empty(), "{found:?} in:\n{tree}");
}
