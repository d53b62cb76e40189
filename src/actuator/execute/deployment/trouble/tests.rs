use super::*;

fn trouble(metadata: &Value, status: &Value) -> Option<String> {
    let pod = json!({"metadata": metadata, "status": status});
    serde_json::from_value::<Pod>(pod).unwrap().trouble()
}

#[test]
fn what_holds_a_pod_up() {
    let not_ready = json!({"type": "Ready", "status": "False", "reason": "ContainersNotReady"});
    let with = |containers: Value| json!({"phase": "Pending", "conditions": [not_ready], "containerStatuses": containers});
    let waiting =
        |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    let main = |state: Value, more: Value| {
        let mut it = json!({"name": "main", "ready": false, "state": state});
        for (key, value) in more.as_object().unwrap() {
            it[key] = value.clone();
        }
        with(json!([it]))
    };
    let ended = json!({"terminated": {"reason": "Error", "exitCode": 2, "message": "hidden"}});
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let unschedulable = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu.",
    });
    let cases = [
        (
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
            None,
        ),
        (
            json!({"phase": "Pending", "conditions": [unschedulable]}),
            Some("Unschedulable: 0/3 nodes are available: 3 Insufficient cpu."),
        ),
        (
            main(
                waiting("ImagePullBackOff", "Back-off pulling a:2"),
                json!({}),
            ),
            Some("container main: ImagePullBackOff: Back-off pulling a:2"),
        ),
        (
            main(
                waiting("CrashLoopBackOff", "back-off 10s"),
                json!({"lastState": ended}),
            ),
            Some("container main: CrashLoopBackOff: back-off 10s (Error, exit code 2)"),
        ),
        (
            main(ended.clone(), json!({})),
            Some("container main: Error, exit code 2"),
        ),
        (
            main(waiting("ContainerCreating", ""), json!({})),
            Some("container main is not ready"),
        ),
        (
            main(running, json!({})),
            Some("container main is not ready"),
        ),
        (json!({"phase": "Pending"}), Some("it is Pending")),
        (
            json!({
                "phase": "Pending", "conditions": [not_ready],
                "initContainerStatuses": [
                    {"name": "first", "ready": true, "state": {"terminated": {"exitCode": 0}}},
                    {"name": "setup", "ready": false, "state": waiting("ErrImagePull", "not found")},
                ],
                "containerStatuses": [{"name": "main", "state": waiting("PodInitializing", "")}],
            }),
            Some("container setup: ErrImagePull: not found"),
        ),
    ];
    for (status, expected) in cases {
        let found = trouble(&json!({"name": "web-1"}), &status);
        assert_eq!(found.as_deref(), expected, "{status}");
    }
    let ending = json!({"name": "web-1", "deletionTimestamp": "2026-01-01T00:00:00Z"});
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    assert_eq!(
        trouble(&ending, &ready).as_deref(),
        Some("it is still ending")
    );
}
