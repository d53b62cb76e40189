//! Create, update, patch, scale, delete.

use serde_json::{Value, json};

use super::super::Options;
use super::{node, pod, start};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "i:1"}, {"name": "side", "image": "s:1"}]},
            },
        },
    })
}

fn message(status: &Value) -> &str {
    status["message"].as_str().unwrap_or_default()
}

#[test]
fn creates_with_all_that_the_server_adds() {
    let (_server, client) = start(Options::default());
    let (code, created) = client.post(DEPLOYMENTS, &deployment("web"));
    assert_eq!(
        (code, created["metadata"]["generation"].as_i64()),
        (201, Some(1)),
        "{created}"
    );
    assert_eq!(created["spec"]["progressDeadlineSeconds"], 600);
    assert_eq!(created["metadata"]["managedFields"][0]["manager"], "test");
    let (code, status) = client.post(DEPLOYMENTS, &deployment("web"));
    assert_eq!(
        (code, status["reason"].as_str(), message(&status)),
        (
            409,
            Some("AlreadyExists"),
            "deployments.apps \"web\" already exists"
        )
    );
    assert_eq!(
        status["details"],
        json!({"name": "web", "group": "apps", "kind": "deployments"})
    );
    let (code, _) = client.post(&format!("{DEPLOYMENTS}?dryRun=All"), &deployment("dry"));
    assert_eq!(
        (code, client.get(&format!("{DEPLOYMENTS}/dry")).0),
        (201, 404)
    );
    let (code, status) = client.post(
        "/apis/apps/v1/namespaces/none/deployments",
        &deployment("x"),
    );
    assert_eq!(
        (code, message(&status)),
        (404, "namespaces \"none\" not found")
    );
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
    let (_, created) = client.post("/api/v1/namespaces/default/pods", &pod);
    assert!(
        created["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("x-")
    );
    assert_eq!(
        created["status"],
        json!({"phase": "Pending", "qosClass": "BestEffort"})
    );
}

#[test]
fn guards_updates_by_version_and_uid() {
    let (server, client) = start(Options::default());
    let (_, mut created) = client.post(DEPLOYMENTS, &deployment("web"));
    let path = format!("{DEPLOYMENTS}/web");
    created["spec"]["replicas"] = 3.into();
    let (code, updated) = client.put(&path, &created);
    assert_eq!(
        (code, updated["metadata"]["generation"].as_i64()),
        (200, Some(2))
    );
    let (code, status) = client.put(&path, &created);
    assert_eq!((code, status["reason"].as_str()), (409, Some("Conflict")));
    assert!(message(&status).contains("the object has been modified; please apply your changes"));
    let (code, _) = client.patch(&path, "merge", &json!({"metadata": {"uid": "other"}}));
    assert_eq!(code, 422);
    // What changes nothing makes no version.
    let before = server.revision();
    client.patch(&path, "merge", &json!({"spec": {"replicas": 3}}));
    assert_eq!(server.revision(), before);
    // Status is written apart.
    client.patch(&path, "merge", &json!({"status": {"replicas": 9}}));
    assert_eq!(server.revision(), before);
    let (_, status) = client.patch(
        &format!("{path}/status"),
        "merge",
        &json!({"status": {"replicas": 9}, "spec": {"replicas": 7}}),
    );
    assert_eq!(
        (&status["status"]["replicas"], &status["spec"]["replicas"]),
        (&json!(9), &json!(3))
    );
    assert_eq!(status["metadata"]["generation"], 2);
}

#[test]
fn patches_images_by_container_name() {
    let (_server, client) = start(Options::default());
    client.post(DEPLOYMENTS, &deployment("web"));
    let path = format!("{DEPLOYMENTS}/web?fieldManager=agent");
    let image = |name: &str, image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": name, "image": image}]}}}});
    let (code, patched) = client.patch(&path, "strategic-merge", &image("side", "s:2"));
    let containers = &patched["spec"]["template"]["spec"]["containers"];
    assert_eq!(
        (code, &containers[0]["image"], &containers[1]["image"]),
        (200, &json!("i:1"), &json!("s:2"))
    );
    assert_eq!(patched["metadata"]["managedFields"][1]["manager"], "agent");
    // An unknown name is appended, not refused: that is the API's trap.
    let (_, patched) = client.patch(&path, "strategic-merge", &image("new", "n:1"));
    assert_eq!(
        patched["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let refused = json!({"spec": {"template": {"spec": {"containers": [{"name": "newer"}]}}}});
    let (code, status) = client.patch(&path, "strategic-merge", &refused);
    assert_eq!(
        (code, status["details"]["causes"][0]["field"].as_str()),
        (422, Some("spec.template.spec.containers[0].image"))
    );
    let apply = client.send(
        "PATCH",
        &path,
        "Content-Type: application/apply-patch+yaml\r\n",
        "{}",
    );
    assert_eq!(apply.code, 415);
}

#[test]
fn scales_by_the_subresource() {
    let (server, client) = start(Options::default());
    client.post(DEPLOYMENTS, &deployment("web"));
    let path = format!("{DEPLOYMENTS}/web/scale");
    let (_, scale) = client.get(&path);
    assert_eq!(
        (
            scale["kind"].as_str(),
            &scale["spec"]["replicas"],
            &scale["status"]["selector"]
        ),
        (Some("Scale"), &json!(2), &json!("app=web"))
    );
    let version = scale["metadata"]["resourceVersion"].clone();
    let change = json!({"metadata": {"resourceVersion": version}, "spec": {"replicas": 5}});
    let (code, scaled) = client.patch(&path, "merge", &change);
    assert_eq!((code, &scaled["spec"]["replicas"]), (200, &json!(5)));
    assert_eq!(
        server.get("deployments", "default", "web").unwrap()["metadata"]["generation"],
        2
    );
    assert_eq!(client.patch(&path, "merge", &change).0, 409);
    let mut put = scaled.clone();
    put["spec"]["replicas"] = 1.into();
    assert_eq!(client.put(&path, &put).1["spec"]["replicas"], 1);
    let (code, status) = client.patch(&path, "merge", &json!({"spec": {"replicas": -1}}));
    assert_eq!((code, status["reason"].as_str()), (422, Some("Invalid")));
    let (code, _) = client.patch(
        &format!("{path}?dryRun=All"),
        "merge",
        &json!({"spec": {"replicas": 4}}),
    );
    assert_eq!(
        (code, client.get(&path).1["spec"]["replicas"].as_i64()),
        (200, Some(1))
    );
    let (_, scaled) = client.patch(&path, "merge", &json!({"spec": {"replicas": 0}}));
    assert_eq!(scaled["spec"], json!({}), "the server leaves a zero out");
    server.deny("patch", "deployments/scale");
    let (code, status) = client.patch(&path, "merge", &json!({"spec": {"replicas": 4}}));
    assert_eq!(code, 403);
    assert!(message(&status).contains("cannot patch resource \"deployments/scale\" in API group \"apps\" in the namespace \"default\""));
    let review = |subresource: &str| {
        let attributes = json!({"verb": "patch", "group": "apps", "resource": "deployments", "subresource": subresource, "namespace": "default"});
        let review = json!({"spec": {"resourceAttributes": attributes}});
        client
            .post(
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                &review,
            )
            .1["status"]["allowed"]
            .clone()
    };
    assert_eq!((review("scale"), review("")), (json!(false), json!(true)));
}

#[test]
fn refuses_what_is_invalid() {
    let (server, client) = start(Options::default());
    server.create(node("n-1"));
    let label = |key: &str, value: Value| {
        client.patch(
            "/api/v1/nodes/n-1",
            "merge",
            &json!({"metadata": {"labels": {key: value}}}),
        )
    };
    assert_eq!(label("example.com/tier", json!("gold")).0, 200);
    assert_eq!(
        label("example.com/tier", json!(null)).1["metadata"]["labels"].get("example.com/tier"),
        None
    );
    let (code, status) = label("tier", json!("not good"));
    assert_eq!(
        (
            code,
            message(&status).starts_with(
                "Node \"n-1\" is invalid: metadata.labels: Invalid value: \"not good\""
            )
        ),
        (422, true)
    );
    server.create(pod("default", "a", "n-1"));
    let (code, _) = client.patch(
        "/api/v1/namespaces/default/pods/a",
        "merge",
        &json!({"spec": {"nodeName": "n-2"}}),
    );
    assert_eq!(code, 422);
    let event =
        json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Node", "name": "n-1"}});
    assert_eq!(
        client.post("/api/v1/namespaces/default/events", &event).0,
        201
    );
    assert_eq!(
        client
            .post("/api/v1/namespaces/kube-system/events", &event)
            .0,
        422
    );
    assert_eq!(client.send("POST", DEPLOYMENTS, "", "{").code, 400);
    assert_eq!(client.post("/api/v1/nodes/n-1", &json!({})).0, 405);
    let (code, status) = client.post(
        DEPLOYMENTS,
        &json!({"apiVersion": "apps/v1beta2", "kind": "Deployment"}),
    );
    assert_eq!((code, status["reason"].as_str()), (400, Some("BadRequest")));
}

#[test]
fn deletes_pods_with_grace() {
    let (server, client) = start(Options::default());
    server.create(pod("default", "a", "n-1"));
    let path = "/api/v1/namespaces/default/pods/a";
    let delete = |path: &str, body: &str| client.send("DELETE", path, "", body).json();
    let (code, status) = delete(path, r#"{"preconditions":{"uid":"other"}}"#);
    assert_eq!(code, 409);
    assert!(
        message(&status)
            .contains("the UID in the precondition (other) does not match the UID in record")
    );
    assert_eq!(delete(path, r#"{"dryRun":["All"]}"#).0, 200);
    assert_eq!(
        client.get(path).1["metadata"].get("deletionTimestamp"),
        None
    );
    let (code, ending) = delete(path, "");
    assert_eq!(
        (code, &ending["metadata"]["deletionGracePeriodSeconds"]),
        (200, &json!(30))
    );
    assert_eq!(client.get(path).0, 200);
    delete(&format!("{path}?gracePeriodSeconds=0"), "");
    assert_eq!(client.get(path).0, 404);
    server.create(pod("default", "b", ""));
    delete("/api/v1/namespaces/default/pods/b", "");
    assert_eq!(
        client.get("/api/v1/namespaces/default/pods/b").0,
        404,
        "a pod without a node has nothing to end"
    );
}

#[test]
fn waits_for_finalizers() {
    let (server, client) = start(Options {
        delete_pods_at_once: true,
        ..Options::default()
    });
    let mut held = pod("default", "a", "n-1");
    held["metadata"]["finalizers"] = json!(["example.com/x"]);
    server.create(held);
    let path = "/api/v1/namespaces/default/pods/a";
    client.send("DELETE", path, "", "");
    assert!(client.get(path).1["metadata"]["deletionTimestamp"].is_string());
    client.patch(path, "merge", &json!({"metadata": {"finalizers": null}}));
    assert_eq!(client.get(path).0, 404);
}

#[test]
fn keeps_leases_as_leader_election_needs_them() {
    let (_server, client) = start(Options::default());
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}});
    let (code, mut held) = client.post(path, &lease);
    assert_eq!(code, 201);
    let path = format!("{path}/l");
    assert_eq!(
        client.put(&path, &lease).0,
        422,
        "an update needs a version"
    );
    held["spec"]["holderIdentity"] = "b".into();
    assert_eq!(client.put(&path, &held).0, 200);
    assert_eq!(client.put(&path, &held).0, 409);
}

#[test]
fn logs_every_write_before_it_answers() {
    let directory = std::env::temp_dir().join(format!("sandbox-audit-{}", std::process::id()));
    let log = Some(directory.clone());
    let (server, client) = start(Options {
        mutation_log: log,
        ..Options::default()
    });
    server.create(node("n-1"));
    let cordon = json!({"spec": {"unschedulable": true}});
    client.patch("/api/v1/nodes/n-1", "strategic-merge", &cordon);
    client.patch("/api/v1/nodes/n-1?dryRun=All", "strategic-merge", &cordon);
    client.patch("/api/v1/nodes/none", "strategic-merge", &cordon);
    client.get("/api/v1/nodes/n-1");
    let text = std::fs::read_to_string(&directory).unwrap();
    std::fs::remove_file(&directory).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(
        (&lines[0]["verb"], &lines[0]["name"], &lines[0]["userAgent"]),
        (&json!("patch"), &json!("n-1"), &json!("test/1"))
    );
    assert_eq!(server.audit().writes().len(), 1);
    assert_eq!(
        (
            server.audit().count("patch", "nodes"),
            server.audit().count("", "")
        ),
        (3, 4)
    );
    assert!(server.audit().entries()[1].dry_run);
}
