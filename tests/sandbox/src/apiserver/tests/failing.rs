//! Failures on demand, and the switches of other processes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::{ControllerOptions, Effect, Fault, Options};
use super::client::Client;
use super::{node, pod, start, until};

const PODS: &str = "/api/v1/pods";

#[test]
fn fails_as_often_as_asked() {
    let (server, client) = start(Options::default());
    let busy = Effect::Status {
        code: 503,
        retry_after: Some(7),
    };
    server.set_fault(Fault::on("list", "pods", busy).times(2).skip(1));
    let codes = || client.send("GET", PODS, "", "").code;
    assert_eq!([codes(), codes()], [200, 503]);
    assert_eq!(client.get("/api/v1/nodes").0, 200);
    let answer = client.send("GET", PODS, "", "");
    assert!(answer.head.contains("retry-after: 7\r\n"));
    assert_eq!(answer.json().1["details"]["retryAfterSeconds"], 7);
    assert_eq!(codes(), 200);
    server.set_fault(Fault::status("", "", 500));
    assert_eq!([codes(), codes()], [500, 500]);
    server.clear_faults();
    assert_eq!(codes(), 200);
    let throttled = Effect::Text {
        code: 429,
        retry_after: Some("1".into()),
        text: "Too many requests, please try again later.\n".into(),
    };
    server.set_fault(Fault::on("", "", throttled).times(1));
    let answer = client.send("GET", PODS, "", "");
    assert_eq!(
        (answer.code, answer.head.contains("text/plain")),
        (429, true)
    );
    assert_eq!(server.audit().counts()["list pods 500"], 2);
}

#[test]
fn breaks_bodies() {
    let (server, client) = start(Options::default());
    server.create(pod("default", "a", "n-1"));
    let raw = || {
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        let token = server.token().unwrap();
        write!(
            stream,
            "GET {PODS} HTTP/1.1\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        .unwrap();
        let mut text = Vec::new();
        let end = stream.read_to_end(&mut text);
        (String::from_utf8_lossy(&text).into_owned(), end.is_ok())
    };
    server.set_fault(Fault::on("list", "pods", Effect::Cut(10)).times(1));
    let (text, ended) = raw();
    assert!(text.ends_with(r#"{"kind":"P"#) && ended, "{text}");
    server.set_fault(Fault::on("list", "pods", Effect::Reset(10)).times(1));
    assert!(!raw().1);
    server.set_fault(Fault::on("list", "pods", Effect::Garbage).times(1));
    assert!(raw().0.starts_with("SSH-2.0"));
    server.set_fault(Fault::on("list", "pods", Effect::NotJson).times(1));
    assert!(client.send("GET", PODS, "", "").body.starts_with(b"<html>"));
    server.set_fault(Fault::on("list", "pods", Effect::Delay(50)).times(1));
    let began = Instant::now();
    assert_eq!(client.get(PODS).0, 200);
    assert!(began.elapsed() >= Duration::from_millis(50));
    // A watch that dies in the middle of an event.
    server.set_fault(Fault::on("watch", "pods", Effect::Reset(100)).times(1));
    let other = Client::new(server.addr(), server.token());
    let answer = std::panic::catch_unwind(move || other.watch(&format!("{PODS}?watch=1")).next());
    assert!(answer.is_err() || answer.unwrap().is_none());
}

#[test]
fn restarts_with_all_it_had() {
    let (server, client) = start(Options::default());
    server.create(pod("default", "a", "n-1"));
    let mut watch = client.watch(&format!("{PODS}?watch=1"));
    assert_eq!(watch.take(1), ["ADDED a"]);
    server.stop();
    assert!(watch.next().is_none());
    assert!(TcpStream::connect(server.addr()).is_err());
    server.restart().unwrap();
    assert_eq!(client.get(PODS).1["items"].as_array().unwrap().len(), 1);
}

#[test]
fn is_switched_by_other_processes() {
    let (server, admin) = start(Options::default());
    let client = Client::new(server.addr(), server.token());
    let admin = admin.with_token("none needed");
    let (code, state) = admin.post("/sim/populate?nodes=2&pods=20&small=1", &Value::Null);
    assert_eq!((code, &state["objects"]["pods"]), (200, &json!(20)));
    admin.post(
        "/sim/faults",
        &json!({"verb": "list", "times": 1, "effect": {"status": {"code": 503, "retry_after": 1}}}),
    );
    assert_eq!(admin.get("/sim/faults").1.as_array().unwrap().len(), 1);
    assert_eq!([client.get(PODS).0, client.get(PODS).0], [503, 200]);
    assert_eq!(admin.post("/sim/faults", &json!({"verbs": "list"})).0, 400);
    assert_eq!(admin.post("/sim/token", &json!({"token": "new"})).0, 200);
    assert_eq!(client.get(PODS).0, 401);
    let client = client.with_token("new");
    admin.put("/sim/metrics", &json!({"availability": "missing"}));
    assert_eq!(
        client
            .send("GET", "/apis/metrics.k8s.io/v1beta1/pods", "", "")
            .code,
        404
    );
    admin.post("/sim/deny", &json!({"verb": "get"}));
    assert_eq!(client.get("/api/v1/nodes/node-1").0, 403);
    let before = server.revision();
    let (_, changed) = admin.post("/sim/churn?pods=10&nodes=2", &Value::Null);
    assert_eq!(changed["changed"], 12);
    assert!(server.revision() >= before + 12);
    assert_eq!(server.count("pods"), 20);
    admin.post("/sim/compact", &Value::Null);
    let mut watch = client.watch(&format!("{PODS}?watch=1&resourceVersion={before}"));
    assert_eq!(watch.next().unwrap().0, "ERROR");
    assert_eq!(admin.post("/sim/objects", &node("extra")).0, 200);
    admin.post("/sim/controllers", &json!(ControllerOptions::default()));
    admin.send("DELETE", "/sim/controllers", "", "");
    let (_, audit) = admin.get("/sim/audit?verb=list&resource=pods");
    assert_eq!(audit["entries"].as_array().unwrap().len(), 3);
    assert_eq!(admin.get("/sim/counts").1["list pods 503"], 1);
    // It may be down before its answer is sent.
    let _ = std::panic::catch_unwind(move || admin.post("/sim/down?ms=1000", &Value::Null));
    until("it is down", || {
        TcpStream::connect(server.addr()).is_err().then_some(())
    });
    until("it is up", || {
        TcpStream::connect(server.addr()).is_ok().then_some(())
    });
    assert_eq!(client.get(PODS).0, 200);
}

#[test]
fn says_how_to_reach_it() {
    let directory = std::env::temp_dir().join(format!("sandbox-kubeconfig-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    let (server, _client) = start(Options {
        tls: true,
        ..Options::default()
    });
    let path = server.kubeconfig_with_token_file(&directory).unwrap();
    let config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cluster = &config["clusters"][0]["cluster"];
    assert!(
        cluster["server"]
            .as_str()
            .unwrap()
            .starts_with("https://127.0.0.1:")
    );
    assert!(cluster["certificate-authority-data"].is_string());
    assert_eq!(read("token"), server.token().unwrap());
    server.service_account(&directory).unwrap();
    assert!(read("ca.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    let path = server.kubeconfig(&directory).unwrap();
    let config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(config["users"][0]["user"]["token"], server.token().unwrap());
    std::fs::remove_dir_all(&directory).unwrap();
}
