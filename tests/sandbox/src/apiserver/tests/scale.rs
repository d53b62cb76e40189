//! Generated clusters.

use std::collections::HashSet;

use super::super::object::Object;
use super::super::resources::Resource;
use super::super::{Options, Population};
use super::start;

#[test]
fn generates_what_it_says_it_does() {
    let (server, _client) = start(Options::default());
    server.populate(10, 600, &Population::default());
    let pods = server.list("pods", "");
    let sizes: usize = pods.iter().map(|pod| pod.to_string().len()).sum();
    let average = sizes / pods.len();
    assert!((6000..10_000).contains(&average), "{average}");
    let uids: HashSet<_> = pods
        .iter()
        .map(|pod| pod["metadata"]["uid"].clone())
        .collect();
    assert_eq!((uids.len(), server.count("nodes")), (600, 10));
    let phases: HashSet<_> = pods
        .iter()
        .map(|pod| pod["status"]["phase"].to_string())
        .collect();
    assert_eq!(phases.len(), 3, "{phases:?}");
    for kind in [
        "deployments",
        "replicasets",
        "statefulsets",
        "daemonsets",
        "poddisruptionbudgets",
    ] {
        assert!(server.count(kind) > 0, "{kind}");
    }
    // What is written by hand must be read as the same: index and all.
    let resource = Resource::named("", "pods");
    for object in server.api.store.read().list(resource, "") {
        let again = Object::new(resource, object.revision, object.value(resource));
        assert_eq!(
            (&again.key, &again.index.uid),
            (&object.key, &object.index.uid)
        );
        assert_eq!(again.index.fields, object.index.fields);
        assert_eq!(again.index.usage, object.index.usage);
        assert_eq!(again.index.labels.len(), object.index.labels.len());
        assert_eq!(
            again.index.started > 0,
            object.index.started > 0,
            "{}",
            object.key
        );
    }
}

#[test]
fn gives_every_pod_an_owner_that_exists() {
    let (server, _client) = start(Options::default());
    server.populate(5, 300, &Population::default());
    let owners: HashSet<_> = [
        "replicasets",
        "statefulsets",
        "daemonsets",
        "jobs",
        "deployments",
    ]
    .iter()
    .flat_map(|kind| server.list(kind, ""))
    .map(|it| it["metadata"]["uid"].clone())
    .collect();
    for object in server
        .list("pods", "")
        .iter()
        .chain(&server.list("replicasets", ""))
    {
        assert!(
            owners.contains(&object["metadata"]["ownerReferences"][0]["uid"]),
            "{object:#}"
        );
    }
}

/// The size of Kubernetes' own limits. Run it alone: `cargo test -p sandbox --release -- --ignored --nocapture full_size`.
#[test]
#[ignore = "takes gigabytes and half a minute"]
fn holds_a_cluster_of_full_size() {
    use std::time::Instant;
    let (server, client) = start(Options::default());
    let began = Instant::now();
    server.populate(5_000, 150_000, &Population::default());
    println!("populated in {:?}", began.elapsed());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!(
        "{}",
        status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap()
    );
    let (mut path, mut bytes, mut pods, began) =
        ("/api/v1/pods?limit=500".to_owned(), 0, 0, Instant::now());
    loop {
        let answer = client.send("GET", &path, "", "");
        bytes += answer.body.len();
        let (_, list) = answer.json();
        pods += list["items"].as_array().unwrap().len();
        let Some(token) = list["metadata"]["continue"].as_str() else {
            break;
        };
        path = format!("/api/v1/pods?limit=500&continue={token}");
    }
    println!("{pods} pods, {bytes} bytes in {:?}", began.elapsed());
    let sent = || server.audit().entries().last().unwrap().bytes;
    let began = Instant::now();
    client.send("GET", "/api/v1/namespaces/billing-prod/pods", "", "");
    let plain = sent();
    client.send(
        "GET",
        "/api/v1/namespaces/billing-prod/pods",
        "Accept-Encoding: gzip\r\n",
        "",
    );
    println!("gzip {plain} -> {} in {:?}", sent(), began.elapsed());
    let began = Instant::now();
    client.send("GET", "/apis/metrics.k8s.io/v1beta1/pods", "", "");
    println!("usage: {} bytes in {:?}", sent(), began.elapsed());
    let began = Instant::now();
    client.send(
        "GET",
        "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-7",
        "",
        "",
    );
    println!("one node's pods: {} bytes in {:?}", sent(), began.elapsed());
    let began = Instant::now();
    server.churn(1_500, 50);
    println!("1 % churned in {:?}", began.elapsed());
    assert_eq!(pods, 150_000);
}
