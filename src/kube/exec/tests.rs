use super::*;
use crate::kube::kubeconfig::User;
use crate::thread::stop;

fn sh(script: &str) -> (Exec, Access) {
    let exec: Exec = serde_json::from_value(serde_json::json!({
        "command": "sh", "args": ["-c", script], "apiVersion": "client.authentication.k8s.io/v1",
        "env": [{"name": "GIVEN", "value": "yes"}], "provideClusterInfo": true, "installHint": "get sh",
    }))
    .unwrap();
    let access = Access {
        server: "https://h".to_owned(),
        ca: None,
        insecure: false,
        user: User::Anonymous,
    };
    (exec, access)
}

fn run_script(script: &str) -> Result<Credential, String> {
    let (exec, access) = sh(script);
    let (_guard, stop) = stop::pair();
    run(&exec, &access, &stop)
}

#[test]
fn a_plugin_sees_its_variables_and_the_cluster() {
    let found = run_script(
        r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"server":"https://h"' || exit 3
           echo "{\"status\":{\"token\":\"t-$GIVEN\",\"expirationTimestamp\":\"2030-01-01T00:00:00Z\"}}""#,
    )
    .unwrap();
    assert_eq!(found.token.unwrap().expose(), "t-yes");
    assert_eq!(found.expires.unwrap().year(), 2030);
}

#[test]
fn a_failing_plugin_is_named_and_its_output_is_not() {
    for (script, expected) in [
        ("echo secret; exit 7", "exit status: 7"),
        ("echo secret", "no ExecCredential"),
        ("echo '{\"status\":{}}'", "neither token nor certificate"),
        (
            "echo '{\"status\":{\"clientKeyData\":\"secret\"}}'",
            "without certificate",
        ),
    ] {
        let why = run_script(script).unwrap_err();
        assert!(why.contains(expected) && !why.contains("secret"), "{why}");
    }
    let (mut exec, access) = sh("");
    exec.command = "/no/such/plugin".to_owned();
    let (_guard, stop) = stop::pair();
    assert!(run(&exec, &access, &stop).unwrap_err().contains("get sh"));
}

#[test]
fn a_plugin_that_hangs_ends_with_the_agent() {
    let (exec, access) = sh("exec sleep 1000");
    let (guard, stop) = stop::pair();
    drop(guard);
    assert_eq!(run(&exec, &access, &stop).unwrap_err(), "stopping");
}

fn within(script: &str, millis: u64) -> Result<Credential, String> {
    let (exec, access) = sh(script);
    let (_guard, stop) = stop::pair();
    let limits = Limits {
        time: Duration::from_millis(millis),
        ..LIMITS
    };
    run_within(&exec, &access, limits, &stop)
}

#[test]
fn a_plugin_that_hangs_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
    let why = within(&script, 3_000).unwrap_err();
    assert!(why.contains("did not end"), "{why}");
    let pid = std::fs::read_to_string(pid).unwrap();
    // Killed is not yet gone; and whoever adopted it may never look for it.
    let ended = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.map_or(true, |it| it.contains(") Z "))
    };
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while !ended() {
        assert!(std::time::Instant::now() < until, "it lives on");
        std::thread::yield_now();
    }
}

#[test]
fn a_plugin_that_prints_without_end_is_killed() {
    for script in ["yes", "yes >&2"] {
        let why = within(script, 60_000).unwrap_err();
        assert!(why.contains("printed more than"), "{why}");
    }
}

#[test]
fn what_a_plugin_leaves_behind_holds_nobody_up() {
    let script = r#"sleep 5 & echo '{"status":{"token":"t"}}'"#;
    let found = within(script, 60_000).unwrap();
    assert_eq!(found.token.unwrap().expose(), "t");
}

#[test]
fn a_complaint_is_short_and_shows_no_secret() {
    let script = r#"echo "log in first, GIVEN=$GIVEN $(printf %041d 7)" >&2; exit 1"#;
    let why = run_script(script).unwrap_err();
    assert!(
        why.ends_with("status: 1: log in first, GIVEN=... ..."),
        "{why}"
    );
    let why = run_script("yes no | head -n 9999 >&2; exit 1").unwrap_err();
    assert!(why.len() < 400, "{why}");
}
