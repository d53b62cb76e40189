//! Get, list, watch, discovery, usage.

use serde_json::json;

use super::super::{Availability, ExpiredWatch, MetricsMode, Options};
use super::{node, pod, start};

const PODS: &str = "/api/v1/pods";

fn options() -> Options {
    Options::default()
}

fn names(list: &serde_json::Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[test]
fn lists_in_consistent_pages_until_compacted() {
    let (server, client) = start(options());
    for name in ["a", "b", "c", "d", "e"] {
        server.create(pod("default", name, "n-1"));
    }
    let (_, first) = client.get("/api/v1/pods?limit=2");
    assert_eq!(
        (first["kind"].as_str(), names(&first)),
        (Some("PodList"), vec!["a", "b"])
    );
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    assert!(
        first["items"][0].get("kind").is_none(),
        "items of a list have no kind"
    );
    // What changes meanwhile is not in the list.
    server.create(pod("default", "bb", "n-1"));
    server.delete("pods", "default", "d");
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = client.get(&format!("{PODS}?limit=2&continue={token}"));
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    let third = second["metadata"]["continue"].as_str().unwrap();
    let (_, third) = client.get(&format!("{PODS}?limit=2&continue={third}"));
    assert_eq!(
        (names(&third), third["metadata"].get("continue")),
        (vec!["e"], None)
    );

    server.compact();
    let (code, gone) = client.get(&format!("{PODS}?limit=2&continue={token}"));
    assert_eq!((code, gone["reason"].as_str()), (410, Some("Expired")));
    let token = gone["metadata"]["continue"].as_str().unwrap();
    let (_, rest) = client.get(&format!("{PODS}?limit=9&continue={token}"));
    assert_eq!(names(&rest), ["bb", "c", "e"]);
}

#[test]
fn ignores_the_limit_at_version_zero() {
    let (server, client) = start(options());
    for name in ["a", "b", "c"] {
        server.create(pod("default", name, "n-1"));
    }
    let (_, list) = client.get("/api/v1/pods?limit=1&resourceVersion=0");
    assert_eq!(
        (names(&list).len(), list["metadata"].get("continue")),
        (3, None)
    );
    let code = |query: &str| client.get(&format!("{PODS}?{query}")).0;
    assert_eq!(code("resourceVersion=999999"), 504);
    assert_eq!(code("resourceVersion=1001&limit=1"), 410);
    assert_eq!(
        code("resourceVersion=1001&limit=1&resourceVersionMatch=NotOlderThan"),
        200
    );
    assert_eq!(code("resourceVersionMatch=Exact"), 422);
    assert_eq!(code("resourceVersion=soon"), 500);
}

#[test]
fn selects_by_fields_and_labels() {
    let (server, client) = start(options());
    server.create(pod("default", "a", "n-1"));
    server.create(pod("other", "b", "n-2"));
    let mut labelled = pod("other", "c", "n-1");
    labelled["metadata"]["labels"]["tier"] = "x".into();
    server.create(labelled);
    for (path, expected) in [
        (
            "/api/v1/pods?fieldSelector=spec.nodeName%3Dn-1",
            vec!["a", "c"],
        ),
        (
            "/api/v1/pods?fieldSelector=spec.nodeName%3Dn-1,metadata.namespace!=other",
            vec!["a"],
        ),
        ("/api/v1/namespaces/other/pods", vec!["b", "c"]),
        (
            "/api/v1/pods?labelSelector=app%20in%20(web),!tier",
            vec!["a", "b"],
        ),
        ("/api/v1/pods?fieldSelector=status.phase!=Running", vec![]),
    ] {
        assert_eq!(names(&client.get(path).1), expected, "{path}");
    }
    let (code, status) = client.get("/api/v1/pods?fieldSelector=spec.color%3Dred");
    assert_eq!(
        (code, status["message"].as_str()),
        (400, Some("field label not supported: spec.color"))
    );
}

#[test]
fn shows_metadata_alone() {
    let (server, client) = start(options());
    server.create(pod("default", "a", "n-1"));
    let accept = "Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1\r\n";
    let (_, list) = client.send("GET", PODS, accept, "").json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(
        (names(&list), list["items"][0].get("spec")),
        (vec!["a"], None)
    );
}

#[test]
fn lists_in_protobuf_what_the_agent_reads_so() {
    let (server, client) = start(options());
    server.create(pod("default", "a", "n-1"));
    let protobuf = "application/vnd.kubernetes.protobuf";
    let answer = |path: &str, accept: &str| {
        let answer = client.send("GET", path, &format!("Accept: {accept}\r\n"), "");
        (answer.code, answer.body.starts_with(b"k8s\0"))
    };
    assert_eq!(answer(PODS, protobuf), (200, true));
    let both = format!("{protobuf},application/json");
    assert_eq!(answer(PODS, &both), (200, true));
    for usage in ["pods", "nodes"] {
        let path = format!("/apis/metrics.k8s.io/v1beta1/{usage}");
        assert_eq!(answer(&path, &both), (200, true), "{usage}");
    }
    assert_eq!(answer("/api/v1/nodes", &both), (200, false));
    assert_eq!(answer("/api/v1/nodes", protobuf), (406, true));
    // A refusal has the form that was asked for, whatever it is about.
    assert_eq!(answer("/api/v1/pods?continue=x", &both), (400, true));
    assert_eq!(answer("/api/v1/pods?continue=x", "*/*"), (400, false));
}

#[test]
fn watches_in_protobuf_what_it_lists_so() {
    let (server, client) = start(options());
    let version = server.revision();
    let watch = |path: &str| {
        let path = format!("{path}?watch=1&resourceVersion={version}&timeoutSeconds=1");
        let accept = "Accept: application/vnd.kubernetes.protobuf,application/json\r\n";
        client.send("GET", &path, accept, "")
    };
    server.create(pod("default", "a", "n-1"));
    let answer = watch(PODS);
    assert!(
        answer
            .head
            .contains("application/vnd.kubernetes.protobuf;stream=watch")
    );
    // The length, the type, and the object in a frame of its own.
    let [a, b, c, d, event @ ..] = &answer.body[..] else {
        panic!("{}", answer.code);
    };
    assert_eq!(
        u32::from_be_bytes([*a, *b, *c, *d]) as usize,
        event.len(),
        "one event"
    );
    assert!(event.starts_with(b"\x0a\x05ADDED\x12"));
    let frame = event.windows(4).position(|it| it == b"k8s\0").unwrap();
    assert!(frame < 20 && event[frame..].starts_with(b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod"));
    assert!(watch("/api/v1/nodes").head.contains("application/json"));
}

#[test]
fn watches_from_a_version() {
    let (server, client) = start(options());
    server.create(pod("default", "a", "n-1"));
    let version = server.revision();
    let mut watch = client.watch(&format!("{PODS}?watch=true&resourceVersion={version}"));
    server.create(pod("default", "b", "n-1"));
    server.create(pod("default", "b", "n-1"));
    server.delete("pods", "default", "a");
    assert_eq!(watch.take(3), ["ADDED b", "MODIFIED b", "DELETED a"]);
    let mut all = client.watch(&format!("{PODS}?watch=1"));
    let (kind, object) = all.next().unwrap();
    assert_eq!(
        (kind.as_str(), object["kind"].as_str()),
        ("ADDED", Some("Pod"))
    );
    // A client that comes back hears what it missed.
    let mut late = client.watch(&format!("{PODS}?watch=1&resourceVersion={version}"));
    assert_eq!(late.take(3), ["ADDED b", "MODIFIED b", "DELETED a"]);
    server.drop_watches();
    assert!(watch.next().is_none() && all.next().is_none());
}

#[test]
fn tells_a_selecting_watch_what_enters_and_leaves() {
    let (server, client) = start(options());
    let version = server.revision();
    let path =
        format!("{PODS}?watch=true&resourceVersion={version}&fieldSelector=spec.nodeName%3Dn-1");
    let mut watch = client.watch(&path);
    server.create(pod("default", "a", ""));
    server.create(pod("default", "a", "n-1"));
    server.create(pod("default", "a", "n-2"));
    server.create(pod("default", "b", "n-1"));
    assert_eq!(watch.take(3), ["ADDED a", "DELETED a", "ADDED b"]);
}

#[test]
fn sends_bookmarks_and_ends_in_time() {
    let interval = std::time::Duration::from_millis(30);
    let (server, client) = start(Options {
        bookmark_interval: interval,
        ..options()
    });
    let mut watch = client.watch(
        "/api/v1/nodes?watch=true&allowWatchBookmarks=true&timeoutSeconds=5&resourceVersion=1000",
    );
    server.create(pod("default", "a", "n-1"));
    let version = server.revision().to_string();
    // Bookmarks show how far the server is, also where other resources changed.
    while watch.next().unwrap().1["metadata"]["resourceVersion"] != version.as_str() {}
    let mut bookmarks = 0;
    while let Some((kind, object)) = watch.next() {
        assert_eq!(
            (kind.as_str(), object["kind"].as_str()),
            ("BOOKMARK", Some("Node"))
        );
        bookmarks += 1;
    }
    assert!(bookmarks > 5, "{bookmarks}");
}

#[test]
fn says_in_both_ways_that_a_version_is_too_old() {
    let (server, client) = start(options());
    server.create(pod("default", "a", "n-1"));
    let old = server.revision();
    server.create(pod("default", "b", "n-1"));
    server.compact();
    let mut watch = client.watch(&format!("{PODS}?watch=true&resourceVersion={old}"));
    let (kind, status) = watch.next().unwrap();
    assert_eq!(
        (watch.code, kind.as_str(), &status["code"]),
        (200, "ERROR", &json!(410))
    );
    assert!(watch.next().is_none());

    let (server, client) = start(Options {
        expired_watch: ExpiredWatch::Http,
        ..options()
    });
    let old = server.revision();
    server.create(pod("default", "a", "n-1"));
    server.compact();
    let (code, status) = client.get(&format!("{PODS}?watch=true&resourceVersion={old}"));
    assert_eq!((code, status["reason"].as_str()), (410, Some("Expired")));
}

#[test]
fn says_what_there_is() {
    let (_server, client) = start(options());
    assert_eq!(client.get("/version").1["minor"], "20");
    assert_eq!(client.send("GET", "/readyz", "", "").body, b"ok");
    let eviction = |client: &super::Client| {
        let (_, list) = client.get("/api/v1");
        let all = list["resources"].as_array().unwrap().clone();
        all.into_iter()
            .find(|it| it["name"] == "pods/eviction")
            .unwrap()["version"]
            .clone()
    };
    assert_eq!(eviction(&client), "v1beta1");
    let (_newer, client) = start(Options {
        version: "v1.33.1".into(),
        ..options()
    });
    assert_eq!(eviction(&client), "v1");
    let (_, groups) = client.get("/apis");
    assert!(
        groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["name"] == "metrics.k8s.io")
    );
    assert_eq!(client.get("/apis/policy/v1").0, 200);
    assert_eq!(client.send("GET", "/apis/policy/v1beta1", "", "").code, 404);
}

#[test]
fn measures_what_runs() {
    let (server, client) = start(Options {
        metrics_resolution: std::time::Duration::from_millis(1),
        ..options()
    });
    server.create(node("n-1"));
    server.create(pod("default", "a", "n-1"));
    let mut pending = pod("default", "b", "");
    pending["status"]["phase"] = "Pending".into();
    server.create(pending);
    let path = "/apis/metrics.k8s.io/v1beta1/pods?limit=1";
    let (_, list) = client.get(path);
    assert_eq!(
        (names(&list), list["kind"].as_str()),
        (vec!["a"], Some("PodMetricsList"))
    );
    let container = &list["items"][0]["containers"][0];
    assert_eq!(container["name"], "main");
    assert!(container["usage"]["cpu"].as_str().unwrap().ends_with('n'));
    super::until("usage that moves", || {
        (client.get(path).1["items"][0]["containers"] != list["items"][0]["containers"])
            .then_some(())
    });
    let (code, one) = client.get("/apis/metrics.k8s.io/v1beta1/nodes/n-1");
    assert_eq!((code, one["kind"].as_str()), (200, Some("NodeMetrics")));
    let (code, none) = client.get("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/b");
    assert_eq!(
        (code, none["message"].as_str()),
        (
            404,
            Some("podmetrics.metrics.k8s.io \"default/b\" not found")
        )
    );
    assert_eq!(
        client.get("/apis/metrics.k8s.io/v1beta1/pods?watch=true").0,
        405
    );

    let written = json!({"metadata": {"name": "a"}, "timestamp": "2024-01-01T00:00:00Z", "window": "10s",
        "containers": [{"name": "main", "usage": {"cpu": "5m", "memory": "1Mi"}}]});
    assert_eq!(
        client
            .post(
                "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods",
                &written
            )
            .0,
        201
    );
    assert_eq!(
        client.get(path).1["items"][0]["containers"][0]["usage"]["cpu"],
        "5m"
    );

    server.set_metrics(MetricsMode {
        absent: vec!["n-1".into()],
        ..MetricsMode::default()
    });
    assert_eq!(
        client.get("/apis/metrics.k8s.io/v1beta1/nodes").1["items"],
        json!([])
    );
    server.set_metrics(MetricsMode {
        availability: Availability::Unavailable,
        ..MetricsMode::default()
    });
    assert_eq!(client.send("GET", path, "", "").code, 503);
    server.set_metrics(MetricsMode {
        availability: Availability::Missing,
        ..MetricsMode::default()
    });
    assert_eq!(client.send("GET", path, "", "").code, 404);
}

#[test]
fn refuses_strangers_and_unknown_paths() {
    let (server, client) = start(options());
    assert_eq!(client.with_token("wrong").get(PODS).0, 401);
    server.rotate_token("next");
    assert_eq!(client.get(PODS).1["reason"], "Unauthorized");
    let client = client.with_token("next");
    for (path, code) in [
        ("/api/v1/gadgets", 404),
        ("/api/v1/namespaces/default/pods/none", 404),
    ] {
        assert_eq!(client.get(path).0, code, "{path}");
    }
    assert_eq!(client.send("GET", "/nowhere", "", "").code, 404);
    server.deny("list", "pods");
    let (code, status) = client.get(PODS);
    assert_eq!((code, status["reason"].as_str()), (403, Some("Forbidden")));
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("cannot list resource \"pods\" in API group \"\" at the cluster scope")
    );
    assert_eq!(client.get("/api/v1/nodes").0, 200);
}
