//! The network policy, enforced: this node's network plugin knows none, so the rules of the installed object are
//! made into ones of the kernel, in the pod's own network namespace, where addresses are not translated yet.

use std::process::Command;

use sandbox::backend::Backend;
use serde_json::Value;

use crate::common::eventually;
use crate::confinement::process;
use crate::node::{NAMESPACE, Node, backend, output};

/// The agent starts and works under the policy, and nothing else leaves the pod.
pub(crate) fn holds(node: &Node, own: &Backend, pod: &str) {
    let policy = node.json(&format!("networkpolicy -n {NAMESPACE} ml-agent"));
    let other = backend(node);
    let folder = process(pod);
    let namespace = format!("--net={}", folder.join("ns/net").display());
    let inside = |words: &[&str]| {
        let mut command = Command::new("nsenter");
        command.arg(&namespace).args(words);
        command
    };
    // Not a word is said, which the backend would have to judge.
    let reaches = |backend: &Backend| {
        let url = backend.url();
        let address = url.trim_start_matches("http://").replace(':', "/");
        let connect = format!("< /dev/tcp/{address}");
        let tried = inside(&["timeout", "2", "bash", "-c", &connect]).output();
        tried.unwrap().status.success()
    };
    let both = [("the other backend", &other), ("its own", own)];
    for (name, backend) in both {
        eventually(&format!("{name} is reached"), || reaches(backend));
    }

    let allow = |words: &str| {
        let rule = format!("iptables --wait --append OUTPUT {words}");
        output(&mut inside(&rule.split(' ').collect::<Vec<_>>()));
    };
    allow("--out-interface lo --jump ACCEPT");
    allow("--match conntrack --ctstate ESTABLISHED --ctdir REPLY --jump ACCEPT");
    for rule in list(&policy["spec"]["egress"]) {
        // There is no DNS in this cluster whose pods could be selected.
        let blocks = list(&rule["to"]).filter_map(|it| it["ipBlock"]["cidr"].as_str());
        for cidr in blocks.filter(|it| !it.contains(':')) {
            for port in list(&rule["ports"]) {
                let protocol = port["protocol"].as_str().unwrap().to_lowercase();
                allow(&format!(
                    "--destination {cidr} --protocol {protocol} --dport {} --jump ACCEPT",
                    port["port"]
                ));
            }
        }
    }
    allow("--jump DROP");
    assert!(!reaches(&other), "another port is still reached");
    eventually("its own is reached", || reaches(own));
    output(&mut inside(&["iptables", "--wait", "--zero", "OUTPUT"]));

    // A new container in the same network namespace: everything is dialled anew.
    let run = |own: &Backend| own.batches().last().map(|it| it.run_id.clone());
    let (before, pid) = (run(own), folder.file_name().unwrap().to_str().unwrap());
    output(Command::new("kill").args(["-s", "TERM", pid]));
    eventually("samples of the next run", || run(own) != before);
    eventually("ready again", || {
        let pod = node.json(&format!("pod -n {NAMESPACE} {pod}"));
        let status = &pod["status"]["containerStatuses"][0];
        status["ready"] == true && status["restartCount"] == 1
    });
    let folder = process(pod);
    let namespace = format!("--net={}", folder.join("ns/net").display());
    let rules = [
        "iptables",
        "--wait",
        "--list",
        "OUTPUT",
        "--verbose",
        "--numeric",
        "--exact",
    ];
    let counted = output(Command::new("nsenter").arg(namespace).args(rules));
    let dropped = counted.lines().find(|it| it.contains(" DROP ")).unwrap();
    assert_eq!(dropped.split_whitespace().next(), Some("0"), "{counted}");
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
