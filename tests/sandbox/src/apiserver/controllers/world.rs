//! What controllers see, and how they change it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::create::create_object;
use super::super::defaults::counts_generations;
use super::super::delete::{DeleteOptions, delete_object};
use super::super::object::str_at;
use super::super::options::Options;
use super::super::resources::Resource;
use super::super::store::State;
use super::super::write::Writer;
use super::ControllerOptions;

/// What controllers remember from pass to pass.
#[derive(Default)]
pub(super) struct Memory {
    /// Objects that were read before, with their versions.
    read: HashMap<(usize, Box<str>), (u64, Arc<Value>)>,
    /// When something was first seen, by what it is and the uid.
    since: HashMap<(&'static str, String), Instant>,
    /// When there will be something to do though nothing changes.
    pub due: Option<Instant>,
}

/// The cluster during one pass.
pub(super) struct World<'a> {
    /// All objects.
    pub state: &'a mut State,
    /// How pods come and go.
    pub options: &'a ControllerOptions,
    server: &'a Options,
    memory: &'a mut Memory,
}

impl<'a> World<'a> {
    /// Looks at a store.
    pub(super) fn new(
        state: &'a mut State,
        memory: &'a mut Memory,
        options: &'a ControllerOptions,
        server: &'a Options,
    ) -> World<'a> {
        World {
            state,
            options,
            server,
            memory,
        }
    }

    /// The objects of a resource.
    pub(super) fn list(&mut self, resource: &'static Resource) -> Vec<Arc<Value>> {
        let table = resource.table();
        let read = &mut self.memory.read;
        let objects = self.state.list(resource, "");
        objects
            .map(|object| {
                let place = (table, object.key.clone());
                match read.get(&place) {
                    Some((revision, value)) if *revision == object.revision => Arc::clone(value),
                    _ => {
                        let value = Arc::new(object.value(resource));
                        read.insert(place, (object.revision, Arc::clone(&value)));
                        value
                    }
                }
            })
            .collect()
    }

    /// The pods of each owner's uid.
    pub(super) fn pods_by_owner(&mut self) -> HashMap<String, Vec<Arc<Value>>> {
        let mut owned: HashMap<String, Vec<Arc<Value>>> = HashMap::new();
        for pod in self.list(Resource::named("", "pods")) {
            if let Some(owner) = controller(&pod) {
                owned
                    .entry(str_at(owner, "uid").to_owned())
                    .or_default()
                    .push(pod);
            }
        }
        owned
    }

    /// Stores a changed object; as a new generation if its spec changed.
    pub(super) fn put(&mut self, resource: &'static Resource, mut object: Value) {
        if counts_generations(resource) {
            let key = key(resource, &object);
            let old = self
                .state
                .get(resource, &key)
                .map(|old| old.value(resource));
            if let Some(old) = old.filter(|old| old["spec"] != object["spec"]) {
                object["metadata"]["generation"] =
                    (old["metadata"]["generation"].as_i64().unwrap_or(1) + 1).into();
            }
        }
        self.state.put(resource, object);
    }

    /// Creates an object as the API would. One that cannot be is left out: the next pass tries again.
    pub(super) fn create(&mut self, resource: &'static Resource, object: Value) {
        let writer = Writer {
            manager: "kube-controller-manager".to_owned(),
            subresource: String::new(),
            dry_run: false,
        };
        let _ = create_object(self.state, resource, object, &writer);
    }

    /// Deletes an object as the API would: a pod gets its grace.
    pub(super) fn delete(&mut self, resource: &'static Resource, object: &Value) {
        let _ = delete_object(
            self.state,
            resource,
            &key(resource, object),
            &DeleteOptions::default(),
            self.server,
        );
    }

    /// Removes an object at once.
    pub(super) fn remove(&mut self, resource: &'static Resource, object: &Value) {
        self.state.remove(resource, &key(resource, object));
    }

    /// Whether something has lasted so long; if not, the controllers come back when it has.
    pub(super) fn has_lasted(
        &mut self,
        what: &'static str,
        object: &Value,
        long: Duration,
    ) -> bool {
        let uid = str_at(&object["metadata"], "uid").to_owned();
        let due = *self
            .memory
            .since
            .entry((what, uid))
            .or_insert_with(Instant::now)
            + long;
        if due > Instant::now() {
            self.come_back(due);
            return false;
        }
        true
    }

    /// Has the controllers look again then.
    pub(super) fn come_back(&mut self, at: Instant) {
        self.memory.due = Some(self.memory.due.map_or(at, |due| due.min(at)));
    }
}

/// The owner that controls an object.
pub(super) fn controller(object: &Value) -> Option<&Value> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)
}

/// A pod that counts as one: neither ended nor ending.
pub(super) fn is_active(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && !matches!(str_at(&pod["status"], "phase"), "Succeeded" | "Failed")
}

/// The key of an object.
pub(super) fn key(resource: &Resource, object: &Value) -> String {
    resource.key(
        str_at(&object["metadata"], "namespace"),
        str_at(&object["metadata"], "name"),
    )
}

/// A number or a percentage of a whole, rounded up or down.
pub(super) fn share(value: &Value, of: i64, round_up: bool) -> i64 {
    let Some(percent) = value.as_str().and_then(|text| text.strip_suffix('%')) else {
        return value
            .as_i64()
            .or_else(|| value.as_str()?.parse().ok())
            .unwrap_or(0);
    };
    let hundredths = percent.parse::<i64>().unwrap_or(0) * of;
    if round_up {
        (hundredths + 99).div_euclid(100)
    } else {
        hundredths.div_euclid(100)
    }
}

/// A condition of an object, by its type.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|it| it["type"] == kind)
}

/// Sets a condition of a status; its times change with its meaning.
pub(super) fn set_condition(
    status: &mut Value,
    kind: &str,
    value: bool,
    reason: &str,
    message: &str,
    now: &str,
) {
    let value = if value { "True" } else { "False" };
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let old = conditions.iter().position(|it| it["type"] == kind);
    let mut new = serde_json::json!({
        "type": kind, "status": value, "reason": reason, "message": message, "lastTransitionTime": now,
    });
    if let Some(old) = old {
        if conditions[old]["status"] == value {
            new["lastTransitionTime"] = conditions[old]["lastTransitionTime"].clone();
        }
        let same = ["status", "reason", "message"]
            .iter()
            .all(|member| conditions[old][*member] == new[*member]);
        if same {
            return;
        }
        conditions[old] = new;
    } else {
        conditions.push(new);
    }
    status["conditions"] = conditions.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_shares_as_the_api_rounds_them() {
        for (value, of, up, expected) in [
            (Value::from("25%"), 10, true, 3),
            (Value::from("25%"), 10, false, 2),
            (Value::from("0%"), 10, true, 0),
            (Value::from(3), 10, true, 3),
            (Value::Null, 10, true, 0),
        ] {
            assert_eq!(share(&value, of, up), expected, "{value} of {of}");
        }
    }
}
