//! What an API server, or whatever answers in its place, may send: any bytes as a list, a watch, a pod, a replica set,
//! usage and a refusal.
#![no_main]

use kubernetes_agent::cluster::pod::PodObject;
use kubernetes_agent::cluster::pods::Pods;
use kubernetes_agent::cluster::workload::ReplicaSetObject;
use kubernetes_agent::collector::usage::Measured;
use kubernetes_agent::kube::protobuf::{Events, list, status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut pods = Pods::default();
    let mut apply = |message: &[u8]| {
        let _ = ReplicaSetObject::from_protobuf(message);
        for what in [Measured::Pods, Measured::Nodes] {
            let _ = what.from_protobuf(message);
        }
        if let Ok(pod) = PodObject::from_protobuf(message) {
            pods.applied(&pod);
        }
    };
    let listed = list(bytes, |message| {
        apply(message);
        Ok(())
    });
    let mut events = Events::new(bytes);
    while let Ok(Some(())) = events.next(|event| {
        let _ = event.resource_version();
        let _ = status(event.framed);
        event.object().map(&mut apply)
    }) {}
    if listed.is_err() {
        apply(bytes);
    }
    let _ = status(bytes);
});
