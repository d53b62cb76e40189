//! When the youngest pods were made. What was measured before that is their predecessor's, who had the same name: the
//! Metrics API knows pods by their names alone, and tells of the old one until it has measured the new one.

use hashbrown::HashMap;

/// In seconds: how old a pod is of which no Metrics API tells what its predecessor used. metrics-server measures each
/// minute or more often (`--metric-resolution`).
const OLD: i64 = 300;

/// When the pods younger than that were made, by their slots, in seconds since 1970. All of them would take 16 bytes a
/// pod; so few need it that it takes next to nothing.
pub(super) struct Births {
    young: HashMap<u32, i64>,
    /// Who was made before this is old.
    since: i64,
}

impl Default for Births {
    /// Nobody is young before it is known what time it is.
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            since: i64::MAX,
        }
    }
}

impl Births {
    /// It is `now`, in seconds since 1970.
    pub(super) fn it_is(&mut self, now: i64) {
        self.since = now.saturating_sub(OLD);
        self.young.retain(|_, made| *made >= self.since);
        self.young.shrink_to(2 * self.young.len());
    }

    /// The pod in this slot was made then.
    pub(super) fn made(&mut self, slot: u32, at: Option<i64>) {
        match at.filter(|it| *it >= self.since) {
            Some(at) => drop(self.young.insert(slot, at)),
            None => self.gone(slot),
        }
    }

    /// The pod in this slot is gone.
    pub(super) fn gone(&mut self, slot: u32) {
        self.young.remove(&slot);
    }

    /// When the pod in this slot was made, if it is young.
    pub(super) fn of(&self, slot: u32) -> Option<i64> {
        self.young.get(&slot).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_young_are_known() {
        let mut births = Births::default();
        births.made(0, Some(1_000));
        assert_eq!(births.of(0), None, "no clock yet");
        births.it_is(1_300);
        for (slot, at) in [
            (0, Some(999)),
            (1, Some(1_000)),
            (2, Some(1_299)),
            (3, None),
        ] {
            births.made(slot, at);
        }
        let known = |births: &Births| (0..4).map(|it| births.of(it)).collect::<Vec<_>>();
        assert_eq!(known(&births), [None, Some(1_000), Some(1_299), None]);
        // Another pod takes the slot, and one leaves.
        births.made(2, Some(1_300));
        births.gone(1);
        assert_eq!(known(&births), [None, None, Some(1_300), None]);
        births.it_is(1_601);
        assert_eq!((births.of(2), births.young.capacity()), (None, 0));
    }
}
