//! Removes what lost its owner or its namespace.

use std::collections::HashSet;

use super::super::object::str_at;
use super::super::resources::{RESOURCES, Resource};
use super::world::{World, controller};

/// What may own, and whose absence is therefore known.
const OWNERS: &[(&str, &str)] = &[
    ("", "replicationcontrollers"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("batch", "jobs"),
];

/// Deletes orphans, and empties namespaces that end.
pub(super) fn collect(world: &mut World<'_>) {
    let owners = OWNERS
        .iter()
        .map(|(group, plural)| Resource::named(group, plural));
    let alive: HashSet<Box<str>> = owners
        .flat_map(|owner| world.state.list(owner, ""))
        .map(|object| object.index.uid.clone())
        .collect();
    for resource in [
        Resource::named("", "pods"),
        Resource::named("apps", "replicasets"),
    ] {
        for object in world.list(resource) {
            let Some(owner) = controller(&object) else {
                continue;
            };
            let known = OWNERS.iter().any(|(group, plural)| {
                Resource::named(group, plural).kind == str_at(owner, "kind")
            });
            let orphaned = known && !alive.contains(str_at(owner, "uid"));
            if orphaned && object["metadata"]["deletionTimestamp"].is_null() {
                world.delete(resource, &object);
            }
        }
    }
    let namespaces = Resource::named("", "namespaces");
    for namespace in world.list(namespaces) {
        if !namespace["metadata"]["deletionTimestamp"].is_null() {
            empty(world, str_at(&namespace["metadata"], "name"));
        }
    }
}

fn empty(world: &mut World<'_>, namespace: &str) {
    let mut left = 0;
    for resource in RESOURCES.iter().filter(|resource| resource.namespaced) {
        let objects: Vec<_> = world.state.list(resource, namespace).cloned().collect();
        for object in objects {
            left += 1;
            let value = object.value(resource);
            if value["metadata"]["deletionTimestamp"].is_null() {
                world.delete(resource, &value);
            }
        }
    }
    if left == 0 {
        world
            .state
            .remove(Resource::named("", "namespaces"), namespace);
    }
}
