//! All objects, their one version counter, and the changes that watches are told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::object::Object;
use super::random::Random;
use super::resources::{RESOURCES, Resource};

/// How many lists can be read page by page at once; etcd keeps five minutes of them.
const MAX_SNAPSHOTS: usize = 16;

/// The store, shared by all threads.
pub(super) struct Store {
    state: Mutex<State>,
    changed: Condvar,
}

/// What the store holds, while it is locked.
pub(super) struct State {
    /// The newest version there is, of any object.
    pub revision: u64,
    /// A source of ids and names.
    pub random: Random,
    tables: Vec<Table>,
    history: usize,
}

#[derive(Default)]
struct Table {
    objects: BTreeMap<Box<str>, Arc<Object>>,
    events: VecDeque<Event>,
    /// Of the changes up to this version nothing is known any more.
    floor: u64,
    snapshots: VecDeque<(u64, Arc<[Arc<Object>]>)>,
}

/// A change of one object.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Its version.
    pub revision: u64,
    /// The object before; none if it was created.
    pub before: Option<Arc<Object>>,
    /// The object after, or as it was last, with the deletion's version, if it was deleted.
    pub after: Arc<Object>,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// What a watch hears when it waits.
pub(super) struct News {
    /// The changes since.
    pub events: Vec<Event>,
    /// The version up to which they are complete.
    pub revision: u64,
    /// Whether some of them are no longer known, so that the watch cannot go on.
    pub expired: bool,
}

impl Store {
    /// An empty store that remembers so many changes of each resource.
    pub(super) fn new(history: usize) -> Store {
        let tables = RESOURCES.iter().map(|_| Table::default()).collect();
        // Versions start well above zero, so that nobody takes them for counts.
        let state = State {
            revision: 1000,
            random: Random::from_process(),
            tables,
            history,
        };
        Store {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// The state, locked, to read.
    pub(super) fn read(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state at once for everybody, and wakes the watches.
    pub(super) fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.read());
        self.changed.notify_all();
        changed
    }

    /// Wakes all who wait, so that they look again whether to go on.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Waits until a resource changed after a version, or some time passed.
    pub(super) fn wait(&self, resource: &Resource, after: u64, patience: Duration) -> News {
        let table = resource.table();
        let deadline = Instant::now() + patience;
        let mut state = self.read();
        loop {
            let news = state.tables[table].since(after, state.revision);
            let left = deadline.saturating_duration_since(Instant::now());
            if news.expired || !news.events.is_empty() || left.is_zero() {
                return news;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until anything changed after a version, or some time passed. Returns the newest version.
    pub(super) fn wait_any(&self, after: u64, patience: Duration) -> u64 {
        let state = self.read();
        let waited = self
            .changed
            .wait_timeout_while(state, patience, |state| state.revision <= after);
        waited.unwrap_or_else(PoisonError::into_inner).0.revision
    }
}

impl Table {
    fn since(&self, after: u64, revision: u64) -> News {
        let expired = after < self.floor;
        let from = self.events.partition_point(|event| event.revision <= after);
        let events = if expired {
            Vec::new()
        } else {
            self.events.range(from..).cloned().collect()
        };
        News {
            events,
            revision,
            expired,
        }
    }

    fn record(&mut self, event: Event, history: usize) {
        self.events.push_back(event);
        while self.events.len() > history {
            self.floor = self
                .events
                .pop_front()
                .map_or(self.floor, |event| event.revision);
        }
    }
}

impl State {
    /// An object, by resource and key.
    pub(super) fn get(&self, resource: &Resource, key: &str) -> Option<&Arc<Object>> {
        self.tables[resource.table()].objects.get(key)
    }

    /// The objects of a resource in the order of their keys; of one namespace, or of all if it is empty.
    pub(super) fn list<'a>(
        &'a self,
        resource: &Resource,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let prefix = if namespace.is_empty() {
            String::new()
        } else {
            format!("{namespace}/")
        };
        let objects = &self.tables[resource.table()].objects;
        let from: Box<str> = prefix.as_str().into();
        objects
            .range(from..)
            .take_while(move |(key, _)| key.starts_with(&prefix))
            .map(|(_, object)| object)
    }

    /// How many objects a resource has.
    pub(super) fn count(&self, resource: &Resource) -> usize {
        self.tables[resource.table()].objects.len()
    }

    /// Stores an object, new or changed, under the next version.
    pub(super) fn put(&mut self, resource: &'static Resource, value: Value) -> Arc<Object> {
        self.revision += 1;
        let object = Arc::new(Object::new(resource, self.revision, value));
        let table = &mut self.tables[resource.table()];
        let before = table
            .objects
            .insert(object.key.clone(), Arc::clone(&object));
        let after = Arc::clone(&object);
        table.record(
            Event {
                revision: self.revision,
                before,
                after,
                deleted: false,
            },
            self.history,
        );
        object
    }

    /// Removes an object. Returns it as it was last, with the version of its deletion.
    pub(super) fn remove(&mut self, resource: &'static Resource, key: &str) -> Option<Arc<Object>> {
        let table = &mut self.tables[resource.table()];
        let before = table.objects.remove(key)?;
        self.revision += 1;
        let last = Arc::new(Object::new(resource, self.revision, before.value(resource)));
        let after = Arc::clone(&last);
        table.record(
            Event {
                revision: self.revision,
                before: Some(before),
                after,
                deleted: true,
            },
            self.history,
        );
        Some(last)
    }

    /// Stores many new objects at once, whose JSON holds their versions already: from the present one upwards, the
    /// last of them `revision`. Watches from before do not learn of them: their version is too old.
    pub(super) fn load(
        &mut self,
        resource: &Resource,
        objects: impl IntoIterator<Item = Object>,
        revision: u64,
    ) {
        let table = &mut self.tables[resource.table()];
        table.objects.extend(
            objects
                .into_iter()
                .map(|object| (object.key.clone(), Arc::new(object))),
        );
        table.events.clear();
        table.floor = revision;
        self.revision = revision;
    }

    /// The oldest version a watch of this resource can start from.
    pub(super) fn floor(&self, resource: &Resource) -> u64 {
        self.tables[resource.table()].floor
    }

    /// Forgets every change and every snapshot up to now.
    pub(super) fn compact(&mut self) {
        for table in &mut self.tables {
            table.events.clear();
            table.floor = self.revision;
            table.snapshots.clear();
        }
    }

    /// The objects of a resource as they were at a version, which must be the present or one that a list is being
    /// read at.
    pub(super) fn snapshot(
        &mut self,
        resource: &Resource,
        revision: u64,
    ) -> Option<Arc<[Arc<Object>]>> {
        let present = self.revision;
        let table = &mut self.tables[resource.table()];
        if let Some((_, objects)) = table.snapshots.iter().find(|(at, _)| *at == revision) {
            return Some(Arc::clone(objects));
        }
        if revision != present {
            return None;
        }
        let objects: Arc<[Arc<Object>]> = table.objects.values().cloned().collect();
        table.snapshots.push_back((revision, Arc::clone(&objects)));
        if table.snapshots.len() > MAX_SNAPSHOTS {
            table.snapshots.pop_front();
        }
        Some(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str) -> Value {
        json!({"metadata": {"namespace": "a", "name": name, "uid": name}})
    }

    #[test]
    fn tells_changes_in_order_until_it_forgets_them() {
        let pods = Resource::named("", "pods");
        let store = Store::new(2);
        let start = store.read().revision;
        store.write(|state| {
            state.put(pods, pod("x"));
            state.put(pods, pod("x"));
        });
        let news = store.wait(pods, start, Duration::ZERO);
        assert_eq!(
            news.events
                .iter()
                .map(|event| event.before.is_some())
                .collect::<Vec<_>>(),
            [false, true]
        );
        store.write(|state| state.remove(pods, "a/x")).unwrap();
        assert!(store.wait(pods, start, Duration::ZERO).expired);
        let news = store.wait(pods, start + 2, Duration::ZERO);
        assert!(news.events[0].deleted && news.revision == start + 3);
        assert_eq!(news.events[0].after.revision, start + 3);
        store.write(State::compact);
        assert!(store.wait(pods, start + 2, Duration::ZERO).expired);
    }

    #[test]
    fn lists_one_namespace() {
        let pods = Resource::named("", "pods");
        let store = Store::new(10);
        store.write(|state| {
            for (namespace, name) in [("a", "2"), ("a-b", "1"), ("a", "1"), ("b", "1")] {
                state.put(
                    pods,
                    json!({"metadata": {"namespace": namespace, "name": name}}),
                );
            }
        });
        let state = store.read();
        let keys = |namespace: &str| {
            state
                .list(pods, namespace)
                .map(|it| it.key.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(keys("a"), ["a/1", "a/2"]);
        // As etcd orders them: `-` before `/`.
        assert_eq!(keys(""), ["a-b/1", "a/1", "a/2", "b/1"]);
    }

    #[test]
    fn keeps_a_list_as_it_was() {
        let pods = Resource::named("", "pods");
        let store = Store::new(10);
        store.write(|state| {
            state.put(pods, pod("x"));
            let at = state.revision;
            assert_eq!(state.snapshot(pods, at).unwrap().len(), 1);
            state.put(pods, pod("y"));
            assert_eq!(state.snapshot(pods, at).unwrap().len(), 1);
            assert!(state.snapshot(pods, at - 1).is_none());
            state.compact();
            assert!(state.snapshot(pods, at).is_none());
        });
    }
}
