//! The records, and what of them a collection reports.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;

use super::node::{Node, Requested};
use super::pods::Pods;
use super::workload::Owners;

/// The records, behind the store's lock.
#[derive(Default)]
pub struct State {
    /// Every pod.
    pub pods: Pods,
    /// Every node by its name.
    pub nodes: HashMap<Arc<str>, Node>,
    /// Which deployment owns which replica set.
    pub owners: Owners,
    /// The agent may not read pods: what a node's pods ask for is not known.
    pub pods_unknown: bool,
    pub(super) synced: Synced,
    /// When a list or watch last brought anything.
    pub(super) last_read: Option<Instant>,
}

/// Which resources were listed completely at least once.
#[derive(Default, Clone, Copy)]
pub(super) struct Synced {
    pub(super) pods: bool,
    pub(super) nodes: bool,
    pub(super) owners: bool,
}

impl State {
    /// A collection begins, of the pods and nodes that are known now, each of which is reported once at most.
    ///
    /// What comes while it runs waits for the next one, also under a name that was there before: usage that was read
    /// before it came is not its own.
    pub fn begin_cycle(&mut self) {
        self.pods.begin_cycle();
        self.sum_requests();
    }

    /// Sums up anew what the pods of each node ask for.
    fn sum_requests(&mut self) {
        for node in self.nodes.values_mut() {
            node.requested = Requested::default();
        }
        for pod in self.pods.iter().filter(|it| !it.phase.is_terminal()) {
            let Some(node) = pod.node.as_ref().and_then(|it| self.nodes.get_mut(it)) else {
                continue;
            };
            let sum = &mut node.requested;
            sum.cpu = sum.cpu.saturating_add(pod.shape.requested_cpu);
            sum.memory = sum.memory.saturating_add(pod.shape.requested_memory);
            sum.pods += 1;
        }
    }

    /// The node of this name, if this collection has not reported it yet; from now on it counts as reported.
    pub fn report_node(&mut self, name: &str) -> Option<&Node> {
        let cycle = self.pods.cycle();
        let node = self.nodes.get_mut(name)?;
        (std::mem::replace(&mut node.cycle, cycle) != cycle).then_some(node)
    }

    /// The nodes that this collection has not reported yet.
    pub fn unreported_nodes(&self) -> Vec<Arc<str>> {
        let nodes = self.nodes.values();
        let unreported = nodes.filter(|it| it.cycle != self.pods.cycle());
        unreported.map(|it| Arc::clone(&it.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::cluster::Store;
    use crate::cluster::mirror::NodeMirror;
    use crate::kube::reflector::Mirror;

    #[test]
    fn a_node_is_reported_once_a_cycle_and_one_that_comes_meanwhile_in_the_next() {
        let store = Store::new();
        let mut mirror = NodeMirror::new(store.clone());
        let mut apply = |name: &str, uid: &str| {
            let text = format!(r#"{{"metadata":{{"name":"{name}","uid":"{uid}"}}}}"#);
            mirror.applied(serde_json::from_str(&text).unwrap());
        };
        apply("a", "1");
        apply("b", "2");
        let pod = r#"{"metadata":{"name":"p"},"spec":{"nodeName":"a","containers":[]}}"#;
        let pod = serde_json::from_str(pod).unwrap();
        store.lock().pods.applied(&pod);
        store.lock().begin_cycle();
        apply("a", "1");
        let sum = store.lock().nodes["a"].requested.pods;
        assert_eq!(sum, 1, "a change keeps what its pods ask for");
        assert!(store.lock().report_node("a").is_some());
        assert!(store.lock().report_node("a").is_none(), "once");
        apply("a", "1");
        assert!(store.lock().report_node("a").is_none(), "only changed");
        apply("b", "3");
        apply("c", "4");
        assert!(store.lock().report_node("b").is_none(), "another b");
        assert!(store.lock().report_node("c").is_none(), "not there yet");
        assert_eq!(store.lock().unreported_nodes().len(), 0);
        store.lock().begin_cycle();
        assert_eq!(store.lock().unreported_nodes().len(), 3);
    }
}
