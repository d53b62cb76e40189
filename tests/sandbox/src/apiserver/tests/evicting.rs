//! Evictions and budgets.

use serde_json::{Value, json};

use super::super::{ApiServer, Options};
use super::client::Client;
use super::{pod, start};

fn budget(name: &str, allowed: i64) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default", "generation": 1},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 2 + allowed, "desiredHealthy": 2, "expectedPods": 3},
    })
}

fn evict(client: &Client, name: &str, options: &Value) -> (u16, Value) {
    let eviction = json!({
        "apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"},
        "deleteOptions": options,
    });
    client.post(
        &format!("/api/v1/namespaces/default/pods/{name}/eviction"),
        &eviction,
    )
}

fn exists(server: &ApiServer, name: &str) -> bool {
    server.get("pods", "default", name).is_some()
}

fn options() -> Options {
    Options {
        delete_pods_at_once: true,
        ..Options::default()
    }
}

#[test]
fn evicts_while_the_budget_allows_it() {
    let (server, client) = start(options());
    for name in ["a", "b"] {
        server.create(pod("default", name, "n-1"));
    }
    server.create(budget("web", 1));
    assert_eq!(evict(&client, "a", &json!({"dryRun": ["All"]})).0, 201);
    assert!(exists(&server, "a"));
    let (code, status) = evict(&client, "a", &Value::Null);
    assert_eq!(
        (code, status["status"].as_str(), exists(&server, "a")),
        (201, Some("Success"), false)
    );
    let status = &server
        .get("poddisruptionbudgets", "default", "web")
        .unwrap()["status"];
    assert_eq!(status["disruptionsAllowed"], 0);
    assert!(status["disruptedPods"]["a"].is_string());
    let answer = client.send(
        "POST",
        "/api/v1/namespaces/default/pods/b/eviction",
        "",
        r#"{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"b"}}"#,
    );
    assert!(!answer.head.contains("retry-after"));
    let (code, status) = answer.json();
    assert_eq!(
        (code, status["reason"].as_str()),
        (429, Some("TooManyRequests"))
    );
    let cause = &status["details"]["causes"][0];
    assert_eq!(cause["reason"], "DisruptionBudget");
    assert_eq!(
        cause["message"],
        "The disruption budget web needs 2 healthy pods and has 3 currently"
    );
    assert_eq!(evict(&client, "b", &json!({"dryRun": ["All"]})).0, 429);
}

#[test]
fn waits_for_a_budget_that_is_not_yet_counted() {
    let (server, client) = start(Options {
        version: "v1.24.0".into(),
        ..options()
    });
    server.create(pod("default", "a", "n-1"));
    let mut stale = budget("web", 1);
    stale["metadata"]["generation"] = 2.into();
    server.create(stale);
    let eviction = r#"{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"a"}}"#;
    let answer = client.send(
        "POST",
        "/api/v1/namespaces/default/pods/a/eviction",
        "",
        eviction,
    );
    assert!(
        answer.head.contains("retry-after: 10\r\n"),
        "{}",
        answer.head
    );
    let (code, status) = answer.json();
    assert_eq!(
        (code, &status["details"]["retryAfterSeconds"]),
        (429, &json!(10))
    );
    let mut negative = budget("web", -1);
    negative["status"]["observedGeneration"] = 1.into();
    server.create(negative);
    assert_eq!(evict(&client, "a", &Value::Null).1["reason"], "Forbidden");
}

#[test]
fn refuses_two_budgets_as_the_real_server_does() {
    let (server, client) = start(options());
    server.create(pod("default", "a", "n-1"));
    server.create(budget("one", 1));
    server.create(budget("two", 1));
    let (code, status) = evict(&client, "a", &Value::Null);
    assert_eq!(
        (code, status.get("reason"), exists(&server, "a")),
        (500, None, true)
    );
    assert_eq!(
        status["message"],
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    );
}

#[test]
fn skips_budgets_for_what_disrupts_nobody() {
    let (server, client) = start(options());
    server.create(budget("web", 0));
    for phase in ["Pending", "Succeeded", "Failed"] {
        let mut idle = pod("default", "a", "n-1");
        idle["status"]["phase"] = phase.into();
        server.create(idle);
        assert_eq!(
            (evict(&client, "a", &Value::Null).0, exists(&server, "a")),
            (201, false),
            "{phase}"
        );
    }
    // Not ready: it may go if the others are enough, or the budget does not mind.
    let mut unready = pod("default", "a", "n-1");
    unready["status"]["conditions"][0]["status"] = "False".into();
    server.create(unready.clone());
    assert_eq!(evict(&client, "a", &Value::Null).0, 201);
    let mut short = budget("web", 0);
    short["status"]["currentHealthy"] = 1.into();
    server.create(short.clone());
    server.create(unready);
    assert_eq!(evict(&client, "a", &Value::Null).0, 429);
    short["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow".into();
    server.create(short);
    assert_eq!(evict(&client, "a", &Value::Null).0, 201);
}

#[test]
fn holds_preconditions() {
    let (server, client) = start(options());
    let uid = server.create(pod("default", "a", "n-1"))["metadata"]["uid"].clone();
    let (code, status) = evict(&client, "a", &json!({"preconditions": {"uid": "other"}}));
    assert_eq!((code, status["reason"].as_str()), (409, Some("Conflict")));
    assert_eq!(
        evict(&client, "a", &json!({"preconditions": {"uid": uid}})).0,
        201
    );
    assert_eq!(evict(&client, "a", &Value::Null).0, 404);
    let misnamed =
        json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "b"}});
    let (code, status) = client.post("/api/v1/namespaces/default/pods/a/eviction", &misnamed);
    assert_eq!(
        (code, status["message"].as_str()),
        (
            400,
            Some("name in URL does not match name in Eviction object")
        )
    );
    let newer = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
    assert_eq!(
        client
            .post("/api/v1/namespaces/default/pods/a/eviction", &newer)
            .0,
        400
    );
    assert_eq!(
        client.get("/api/v1/namespaces/default/pods/a/eviction").0,
        405
    );
}

#[test]
fn creates_nothing_in_a_namespace_that_ends() {
    let (server, client) = start(options());
    server.create(pod("ending", "a", "n-1"));
    client.send("DELETE", "/api/v1/namespaces/ending", "", "");
    assert_eq!(
        server.get("namespaces", "", "ending").unwrap()["status"]["phase"],
        "Terminating"
    );
    let eviction =
        json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "a"}});
    let (code, status) = client.post("/api/v1/namespaces/ending/pods/a/eviction", &eviction);
    assert_eq!(
        (code, &status["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
}

#[test]
fn takes_both_bodies_since_1_22() {
    let (server, client) = start(Options {
        version: "v1.30.0".into(),
        ..options()
    });
    for (name, version) in [("a", "policy/v1"), ("b", "policy/v1beta1")] {
        server.create(pod("default", name, "n-1"));
        let eviction =
            json!({"apiVersion": version, "kind": "Eviction", "metadata": {"name": name}});
        let path = format!("/api/v1/namespaces/default/pods/{name}/eviction");
        assert_eq!(
            (client.post(&path, &eviction).0, exists(&server, name)),
            (201, false),
            "{version}"
        );
    }
}
