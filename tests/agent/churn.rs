//! A cluster that changes all the time: nothing is missed, and nothing is kept of what has gone.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::collector::{compare, idle, uids, uids_of};
use crate::common::agent::{Agent, Setup};
use crate::common::cluster::Cluster;
use crate::common::{eventually, expected, settles};
use sandbox::backend::{Backend, KeepSamples, Kind, Options};
use serde_json::{Value, json};

/// Changes of pods a second.
const RATE: usize = 500;
/// Of a second, the time between two bursts.
const BURSTS: usize = 50;

/// A number from the environment, for runs that are to take longer.
fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(default)
}

/// Calls `step` with its number, so many times a second, for so many seconds.
fn paced(per_second: usize, seconds: u64, mut step: impl FnMut(usize)) {
    let began = Instant::now();
    for number in 0..per_second * usize::try_from(seconds).unwrap() {
        step(number);
        let due = Duration::from_secs(1) * u32::try_from(number + 1).unwrap()
            / u32::try_from(per_second).unwrap();
        thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

/// Nanoseconds of processor time that all threads of the process have used.
fn processor(agent: &Agent) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
    let used = tasks.filter_map(|it| {
        let text = fs::read_to_string(it.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    used.sum()
}

/// Resident memory of the process in KiB.
fn memory(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let number = line.and_then(|it| it.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

/// The newest cycle holds the pods that the server has, no others, each as it is there.
fn up_to_date(cluster: &Cluster, backend: &Backend) -> Result<(), String> {
    let (pods, sets) = (
        cluster.server.list("pods", ""),
        cluster.server.list("replicasets", ""),
    );
    let newest = backend
        .cycles()
        .into_iter()
        .rfind(|it| it.count(Kind::Node) > 0);
    let newest = newest.ok_or("no cycle yet")?;
    let (there, seen) = (uids_of(&pods), uids(&newest, Kind::Pod, ""));
    let only = |some: &BTreeSet<String>, others| some.difference(others).count();
    if there != seen {
        return Err(format!(
            "{} pods are missing, {} are gone and still reported",
            only(&there, &seen),
            only(&seen, &there)
        ));
    }
    compare(
        &pods,
        &backend.last_samples(Kind::Pod),
        |it| expected::pod(it, &sets, None),
        idle,
    )
}

#[test]
fn five_hundred_changes_a_second_and_none_is_missed() {
    let seconds = variable("KUBERNETES_AGENT_TEST_CHURN", 3);
    let cluster = Cluster::with(50, 2_000);
    let backend = Backend::start(Options::default()).unwrap();
    let interval = if seconds > 10 { "5" } else { "1" };
    let setup = Setup::new(cluster.kubeconfig(), &backend).with("COLLECTION_INTERVAL", interval);
    let mut agent = setup.start();
    eventually("the first cycle", || {
        backend.sample_count(Kind::Pod) >= 2_000
    });

    let (busy, steps) = (
        processor(&agent),
        BURSTS * usize::try_from(seconds).unwrap(),
    );
    paced(BURSTS, seconds, |step| {
        let changed = cluster.server.churn(RATE / BURSTS, 1);
        assert_eq!(changed, RATE / BURSTS + 1);
        // What happens to watches meanwhile, on a server that forgets, too.
        if step == steps / 3 {
            cluster.server.drop_watches();
        }
        if step == steps / 2 {
            cluster.server.stop();
            cluster.server.churn(RATE, 0);
            cluster.server.compact();
            cluster.server.restart().unwrap();
        }
    });
    let used = Duration::from_nanos(processor(&agent) - busy);
    eprintln!(
        "{} changes in {seconds} s took the agent {:.2} processor seconds, {:.1} % of a core",
        RATE * usize::try_from(seconds).unwrap(),
        used.as_secs_f64(),
        used.as_secs_f64() * 100.0 / f64::from(u32::try_from(seconds).unwrap())
    );

    settles("the cluster as it is at the end", || {
        up_to_date(&cluster, &backend)
    });
    agent.stop();
    backend.assert_no_violations();
}

/// A day of a cluster of 1,000 pods, a minute a second: each minute 1 % of the pods change, 20 events happen and
/// those of an hour ago go, each hour a Deployment comes and one goes.
#[test]
#[ignore = "takes 24 minutes"]
fn a_day_of_changes_leaves_the_memory_as_it_was() {
    let seconds = variable("KUBERNETES_AGENT_TEST_DAY", 24 * 60);
    let hour = usize::try_from(seconds / 24).unwrap();
    let cluster = Cluster::with(20, 1_000);
    let backend = Backend::start(Options {
        keep_samples: KeepSamples::LastPerObject,
        keep_heartbeats: 10,
        ..Options::default()
    });
    let backend = backend.unwrap();
    let setup = Setup::new(cluster.kubeconfig(), &backend).with("LOG_LEVEL", "info");
    let mut agent = setup.start();
    eventually("the first cycle", || {
        backend.sample_count(Kind::Pod) >= 1_000
    });
    let mut hours = Vec::new();
    paced(1, seconds, |minute| {
        cluster.server.churn(10, 4);
        for number in 0..20 {
            cluster.server.create(event(minute, number));
            if let Some(earlier) = minute.checked_sub(hour) {
                cluster
                    .server
                    .delete("events", "default", &format!("e-{earlier}-{number}"));
            }
        }
        if (minute + 1) % hour == 0 {
            hours.push(memory(&agent));
            eprintln!("hour {}: {} KiB", hours.len(), hours[hours.len() - 1]);
            workload(&cluster, hours.len());
        }
    });
    settles("the cluster as it is at the end", || {
        let there = cluster.server.count("pods");
        let cycles = backend.cycles();
        let newest = cycles.iter().rfind(|it| it.count(Kind::Node) > 0);
        let seen = newest.map_or(0, |it| it.count(Kind::Pod));
        if seen == there {
            Ok(())
        } else {
            Err(format!("{seen} of {there} pods"))
        }
    });
    agent.stop();
    backend.assert_no_violations();
    let (first, last) = (hours[0], hours[hours.len() - 1]);
    assert!(last * 10 <= first * 11, "{first} KiB became {last} KiB");
}

fn event(minute: usize, number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("e-{minute}-{number}"), "namespace": "default"},
        "type": "Normal", "reason": format!("Reason{}", number % 5), "message": format!("minute {minute}"),
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": format!("p-{minute}"), "uid": "u"},
        "source": {"component": "test"}, "count": 1,
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:01Z",
    })
}

/// A ReplicaSet of a new Deployment with ten pods, in place of the one of the hour before.
fn workload(cluster: &Cluster, hour: usize) {
    let server = &cluster.server;
    let name = |hour: usize| format!("release-{hour}");
    if let Some(earlier) = hour.checked_sub(1) {
        for number in 0..10 {
            server.delete("pods", "default", &format!("{}-{number}", name(earlier)));
        }
        server.delete("replicasets", "default", &name(earlier));
    }
    let owner = |kind: &str, name: &str, uid: &Value| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
    let set = server.create(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name(hour), "namespace": "default",
            "ownerReferences": owner("Deployment", &name(hour), &json!(format!("d-{hour}"))),
        },
        "spec": {"replicas": 10},
    }));
    for number in 0..10 {
        server.create(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("{}-{number}", name(hour)), "namespace": "default",
                "ownerReferences": owner("ReplicaSet", &name(hour), &set["metadata"]["uid"]),
            },
            "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": format!("app:{hour}")}]},
            "status": {"phase": "Running", "qosClass": "BestEffort"},
        }));
    }
}
