//! All pods, found by namespace and name, visited in order of their slots.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::births::Births;
use super::intern::Pool;
use super::pod::{Pod, PodObject, Shape};
use super::uid::Uid;
use super::workload::{self, Owner};

/// The records of all pods.
///
/// The index holds slot numbers alone, so that a name is kept once: 5 bytes a pod instead of a second key.
#[derive(Default)]
pub struct Pods {
    slots: Vec<Option<Pod>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    texts: Pool<str>,
    owners: Pool<Owner>,
    shapes: Pool<Shape>,
    births: Births,
    generation: u16,
    /// The collection under way, or the last one.
    cycle: u16,
    /// The slot after the one last found: lists of pods and of usage come in the same order.
    next: usize,
}

impl Pods {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// It is `now`, in seconds since 1970.
    pub fn it_is(&mut self, now: i64) {
        self.births.it_is(now);
    }

    /// A list begins.
    pub fn list_began(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// The list is complete: what it did not bring is gone.
    pub fn list_ended(&mut self) {
        for slot in 0..self.slots.len() {
            if self.slots[slot]
                .as_ref()
                .is_some_and(|it| it.generation != self.generation)
            {
                self.remove_slot(slot);
            }
        }
    }

    /// A collection begins. Its number comes again only after more of them than any record outlasts unreported.
    pub fn begin_cycle(&mut self) {
        self.cycle = self.cycle.wrapping_add(1);
    }

    /// The number of the collection under way, or of the last one.
    pub fn cycle(&self) -> u16 {
        self.cycle
    }

    /// A pod exists so.
    pub fn applied(&mut self, object: &PodObject<'_>) {
        let meta = &object.metadata;
        let found = self.find(&meta.namespace, &meta.name);
        let shape = self
            .shapes
            .share_owned(object.spec.shape(|it| self.texts.share(it)));
        let texts = &mut self.texts;
        let history = object.status.history(&shape, |it| texts.share(it));
        let owner = workload::controller(&meta.owner_references);
        let uid = Uid::new(&meta.uid);
        // A pod of the same name but another UID is another pod. As every new one it is for the next collection.
        let before = found
            .and_then(|slot| self.slots[slot].as_ref())
            .filter(|it| it.uid == uid);
        let pod = Pod {
            cycle: before.map_or(self.cycle, |it| it.cycle),
            namespace: self.texts.share(&*meta.namespace),
            name: (*meta.name).into(),
            uid,
            node: object
                .spec
                .node_name
                .as_deref()
                .filter(|it| !it.is_empty())
                .map(|it| self.texts.share(it)),
            owner: owner.map(|it| self.owners.share_owned(it)),
            shape,
            history,
            phase: object.status.phase(),
            qos: object.status.qos(),
            ready: object.status.ready(),
            generation: self.generation,
        };
        let slot = match found {
            Some(slot) => {
                self.slots[slot] = Some(pod);
                slot
            }
            None => self.insert(pod),
        };
        self.births.made(number(slot), meta.creation_timestamp);
    }

    /// A pod is gone. Its successor under the same name is not, where that is known already.
    pub fn deleted(&mut self, object: &PodObject<'_>) {
        let meta = &object.metadata;
        let is_same = |it: &Pod| it.uid == Uid::new(&meta.uid);
        if let Some(slot) = self.find(&meta.namespace, &meta.name)
            && self.slots[slot].as_ref().is_some_and(is_same)
        {
            self.remove_slot(slot);
        }
    }

    /// The pod of this name, if this collection has not reported it yet; from now on it counts as reported. With it,
    /// if it is young, comes when it was made, in seconds since 1970: what was measured before is not its own.
    pub fn report(&mut self, namespace: &str, name: &str) -> Option<(&Pod, Option<i64>)> {
        let cycle = self.cycle;
        let slot = match self.slots.get(self.next) {
            Some(Some(pod)) if *pod.name == *name && *pod.namespace == *namespace => self.next,
            _ => self.find(namespace, name)?,
        };
        self.next = slot + 1;
        let pod = self.slots[slot].as_mut()?;
        let made = self.births.of(number(slot));
        (std::mem::replace(&mut pod.cycle, cycle) != cycle).then_some((pod, made))
    }

    /// The next pod at or after the slot `cursor` that this collection has not reported yet, which from now on counts
    /// as reported; moves the cursor on. `None` when all were visited.
    pub fn report_next(&mut self, cursor: &mut usize) -> Option<&Pod> {
        let cycle = self.cycle;
        let rest = self.slots.get(*cursor..)?;
        let at = rest
            .iter()
            .position(|it| it.as_ref().is_some_and(|it| it.cycle != cycle));
        let Some(at) = at else {
            *cursor = self.slots.len();
            return None;
        };
        let slot = *cursor + at;
        *cursor = slot + 1;
        let pod = self.slots[slot].as_mut()?;
        pod.cycle = cycle;
        Some(pod)
    }

    /// Every pod.
    pub fn iter(&self) -> impl Iterator<Item = &Pod> {
        self.slots.iter().flatten()
    }

    fn hash(hasher: &DefaultHashBuilder, namespace: &str, name: &str) -> u64 {
        hasher.hash_one((namespace, name))
    }

    fn find(&self, namespace: &str, name: &str) -> Option<usize> {
        let hash = Self::hash(&self.hasher, namespace, name);
        self.index
            .find(hash, |&slot| {
                self.slots[slot as usize]
                    .as_ref()
                    .is_some_and(|it| *it.name == *name && *it.namespace == *namespace)
            })
            .map(|&slot| slot as usize)
    }

    fn insert(&mut self, pod: Pod) -> usize {
        let hash = Self::hash(&self.hasher, &pod.namespace, &pod.name);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            number(self.slots.len() - 1)
        });
        self.slots[slot as usize] = Some(pod);
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, slot, |&slot| {
            let pod = slots[slot as usize].as_ref();
            pod.map_or(0, |it| Self::hash(hasher, &it.namespace, &it.name))
        });
        slot as usize
    }

    fn remove_slot(&mut self, slot: usize) {
        let Some(pod) = self.slots[slot].take() else {
            return;
        };
        let hash = Self::hash(&self.hasher, &pod.namespace, &pod.name);
        let slot = number(slot);
        self.births.gone(slot);
        if let Ok(entry) = self.index.find_entry(hash, |&it| it == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }

    /// The shared copy of a text that a record elsewhere holds too.
    pub fn share(&mut self, text: &str) -> Arc<str> {
        self.texts.share(text)
    }
}

/// A slot's number, as the index writes it.
fn number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, name: &str, uid: &str) -> String {
        format!(
            r#"{{"metadata":{{"namespace":"{namespace}","name":"{name}","uid":"{uid}"}},"spec":{{"nodeName":"n","containers":[{{"name":"c"}}]}}}}"#
        )
    }

    fn apply(pods: &mut Pods, namespace: &str, name: &str, uid: &str) {
        pods.applied(&serde_json::from_str(&pod(namespace, name, uid)).unwrap());
    }

    fn rest(pods: &mut Pods) -> Vec<String> {
        let mut cursor = 0;
        let mut names = Vec::new();
        while let Some(pod) = pods.report_next(&mut cursor) {
            names.push(pod.name.to_string());
        }
        names
    }

    #[test]
    fn each_pod_is_reported_once_a_cycle() {
        let mut pods = Pods::default();
        for (namespace, name, uid) in [("a", "x", "1"), ("b", "x", "2"), ("b", "y", "3")] {
            apply(&mut pods, namespace, name, uid);
        }
        pods.begin_cycle();
        assert_eq!(pods.report("b", "x").unwrap().0.uid.to_string(), "2");
        assert!(pods.report("b", "x").is_none() && pods.report("c", "x").is_none());
        assert_eq!(rest(&mut pods), ["x", "y"]);
        assert_eq!(rest(&mut pods).len(), 0);
        pods.begin_cycle();
        assert_eq!(rest(&mut pods).len(), 3);
    }

    #[test]
    fn what_comes_within_a_cycle_is_for_the_next_one() {
        let mut pods = Pods::default();
        apply(&mut pods, "a", "x", "1");
        apply(&mut pods, "a", "y", "2");
        pods.begin_cycle();
        // A new one, and a successor, whose name is still measured as its predecessor was.
        apply(&mut pods, "a", "z", "3");
        apply(&mut pods, "a", "y", "4");
        assert!(pods.report("a", "z").is_none() && pods.report("a", "y").is_none());
        assert_eq!(rest(&mut pods), ["x"]);
        // A change of one that was there is no reason to report it again, nor is its disappearance for a while.
        apply(&mut pods, "a", "x", "1");
        pods.deleted(&serde_json::from_str(&pod("a", "z", "3")).unwrap());
        apply(&mut pods, "a", "z", "3");
        assert_eq!(rest(&mut pods).len(), 0);
        pods.begin_cycle();
        assert_eq!(rest(&mut pods).len(), 3);
    }

    #[test]
    fn a_young_pod_comes_with_when_it_was_made() {
        let mut pods = Pods::default();
        pods.it_is(1_000_000);
        let apply = |pods: &mut Pods, name: &str, uid: &str, made: &str| {
            let text = format!(
                r#"{{"metadata":{{"namespace":"a","name":"{name}","uid":"{uid}","creationTimestamp":{made}}},"spec":{{"containers":[]}}}}"#
            );
            pods.applied(&serde_json::from_str(&text).unwrap());
        };
        apply(&mut pods, "old", "1", r#""1970-01-01T00:00:05Z""#);
        apply(&mut pods, "young", "2", r#""1970-01-12T13:46:30.9Z""#);
        apply(&mut pods, "unknown", "3", "null");
        let made = |pods: &mut Pods| {
            pods.begin_cycle();
            ["old", "young", "unknown"].map(|it| pods.report("a", it).and_then(|(_, made)| made))
        };
        assert_eq!(made(&mut pods), [None, Some(999_990), None]);
        // A successor in the same slot has its own time.
        apply(&mut pods, "old", "4", r#""1970-01-12T13:46:40Z""#);
        assert_eq!(made(&mut pods), [Some(1_000_000), Some(999_990), None]);
        pods.it_is(1_000_295);
        assert_eq!(made(&mut pods), [Some(1_000_000), None, None]);
    }

    #[test]
    fn news_of_the_end_of_a_predecessor_leaves_the_successor_alone() {
        let mut pods = Pods::default();
        apply(&mut pods, "a", "x", "2");
        pods.deleted(&serde_json::from_str(&pod("a", "x", "1")).unwrap());
        assert_eq!(pods.len(), 1);
        pods.deleted(&serde_json::from_str(&pod("a", "x", "2")).unwrap());
        assert_eq!(pods.len(), 0);
    }

    #[test]
    fn a_list_removes_what_it_does_not_bring_and_slots_are_used_again() {
        let mut pods = Pods::default();
        for n in 0..100 {
            apply(&mut pods, "a", &format!("p{n}"), "1");
        }
        pods.list_began();
        for n in 50..100 {
            apply(&mut pods, "a", &format!("p{n}"), "1");
        }
        pods.list_ended();
        assert_eq!(pods.len(), 50);
        pods.begin_cycle();
        assert!(pods.report("a", "p0").is_none() && pods.report("a", "p99").is_some());
        for n in 0..50 {
            apply(&mut pods, "b", &format!("p{n}"), "1");
        }
        assert_eq!((pods.len(), pods.slots.len()), (100, 100));
        pods.deleted(&serde_json::from_str(&pod("b", "p7", "1")).unwrap());
        pods.begin_cycle();
        assert!(pods.report("b", "p7").is_none() && pods.report("b", "p8").is_some());
        assert_eq!(pods.len(), 99);
    }

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Pod>() <= 112, "{}", size_of::<Pod>());
        assert_eq!(size_of::<Pod>(), size_of::<Option<Pod>>());
    }
}
