//! What the watches of pods, nodes and replica sets do to the store.

use std::sync::Arc;
use std::time::Duration;

use super::node::{NodeObject, Requested};
use super::pod::PodObject;
use super::workload::ReplicaSetObject;
use super::{FORGOTTEN, REFUSED, Store};
use crate::kube::reflector::{FromProtobuf, MOMENT, Mirror};
use crate::timestamp::unix_seconds;

/// Pods.
pub struct PodMirror(pub Arc<Store>);

impl Mirror for PodMirror {
    type Object<'de> = PodObject<'de>;
    const PROTOBUF: Option<FromProtobuf<Self>> = Some(|it| PodObject::from_protobuf(it));
    const GATHER: Duration = MOMENT;

    fn version<'a>(object: &'a PodObject<'_>) -> &'a str {
        object.version()
    }

    fn list_began(&mut self) {
        let mut state = self.0.lock();
        state.pods.it_is(unix_seconds());
        state.pods.list_began();
    }

    fn applied(&mut self, object: PodObject<'_>) {
        self.0.lock().pods.applied(&object);
    }

    fn deleted(&mut self, object: PodObject<'_>) {
        self.0.lock().pods.deleted(&object);
    }

    fn list_ended(&mut self) {
        let mut state = self.0.lock();
        state.pods.list_ended();
        state.pods_unknown = false;
        drop(state);
        self.0.synced(|it| it.pods = true);
    }

    fn refused(&mut self, lasting: Duration) {
        let mut state = self.0.lock();
        if lasting >= FORGOTTEN {
            state.pods.list_began();
            state.pods.list_ended();
        }
        if lasting >= REFUSED {
            state.pods_unknown |= state.pods.is_empty();
            drop(state);
            self.0.synced(|it| it.pods = true);
        }
    }

    fn alive(&mut self) {
        self.0.touch();
    }
}

/// Nodes.
pub struct NodeMirror {
    store: Arc<Store>,
    generation: u32,
}

impl NodeMirror {
    /// Writes to `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            generation: 0,
        }
    }
}

impl Mirror for NodeMirror {
    type Object<'de> = NodeObject<'de>;
    const GATHER: Duration = MOMENT;

    fn version<'a>(object: &'a NodeObject<'_>) -> &'a str {
        object.version()
    }

    fn list_began(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    fn applied(&mut self, object: NodeObject<'_>) {
        let mut state = self.store.lock();
        let state = &mut *state;
        let mut node = object.record(self.generation, |it| state.pods.share(it));
        // As with pods: a node that came back under its name is another one, for the next collection.
        let before = state.nodes.get(&node.name).filter(|it| it.uid == node.uid);
        node.cycle = before.map_or(state.pods.cycle(), |it| it.cycle);
        // Of the collection under way, which may be about to report it.
        node.requested = before.map_or(Requested::default(), |it| it.requested);
        state.nodes.insert(Arc::clone(&node.name), node);
    }

    fn deleted(&mut self, object: NodeObject<'_>) {
        self.store.lock().nodes.remove(object.name());
    }

    fn list_ended(&mut self) {
        let generation = self.generation;
        self.store
            .lock()
            .nodes
            .retain(|_, it| it.generation == generation);
        self.store.synced(|it| it.nodes = true);
    }

    fn refused(&mut self, lasting: Duration) {
        if lasting >= FORGOTTEN {
            self.store.lock().nodes.clear();
        }
        if lasting >= REFUSED {
            self.store.synced(|it| it.nodes = true);
        }
    }

    fn alive(&mut self) {
        self.store.touch();
    }
}

/// Replica sets, for the deployments that own them.
pub struct ReplicaSetMirror(pub Arc<Store>);

impl Mirror for ReplicaSetMirror {
    type Object<'de> = ReplicaSetObject<'de>;
    const PROTOBUF: Option<FromProtobuf<Self>> = Some(|it| ReplicaSetObject::from_protobuf(it));
    const GATHER: Duration = MOMENT;

    fn version<'a>(object: &'a ReplicaSetObject<'_>) -> &'a str {
        object.version()
    }

    fn list_began(&mut self) {
        self.0.lock().owners.list_began();
    }

    fn applied(&mut self, object: ReplicaSetObject<'_>) {
        self.0.lock().owners.applied(&object);
    }

    fn deleted(&mut self, object: ReplicaSetObject<'_>) {
        self.0.lock().owners.deleted(&object);
    }

    fn list_ended(&mut self) {
        self.0.lock().owners.list_ended();
        self.0.synced(|it| it.owners = true);
    }

    fn alive(&mut self) {}
}
