//! One copy of each value that many records share: namespaces, node names, owners, container shapes.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashSet;

/// Entries below which nothing is swept: the work would cost more than the memory.
const SMALL: usize = 256;

/// The values shared so far. One that no record uses any more is forgotten at the next sweep, so that churn does
/// not make the pool grow.
pub struct Pool<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// The count of entries at which the pool is swept next: twice what was in use the last time.
    sweep_at: usize,
}

impl<T: ?Sized + Eq + Hash> Default for Pool<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            sweep_at: SMALL,
        }
    }
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    /// The shared copy of `value`.
    pub fn share<'a, V>(&mut self, value: &'a V) -> Arc<T>
    where
        V: ?Sized + Eq + Hash,
        Arc<T>: Borrow<V> + From<&'a V>,
    {
        if let Some(shared) = self.values.get(value) {
            return Arc::clone(shared);
        }
        self.add(Arc::from(value))
    }

    /// The shared copy of an owned `value`.
    pub fn share_owned(&mut self, value: T) -> Arc<T>
    where
        T: Sized,
    {
        if let Some(shared) = self.values.get(&value) {
            return Arc::clone(shared);
        }
        self.add(Arc::new(value))
    }

    fn add(&mut self, value: Arc<T>) -> Arc<T> {
        if self.values.len() >= self.sweep_at {
            self.values.retain(|it| Arc::strong_count(it) > 1);
            self.sweep_at = (self.values.len() * 2).max(SMALL);
            self.values.shrink_to(self.sweep_at);
        }
        self.values.insert(Arc::clone(&value));
        value
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one() {
        let mut pool: Pool<str> = Pool::default();
        let (a, b) = (pool.share("default"), pool.share("default"));
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &pool.share("kube-system")));
    }

    #[test]
    fn churn_does_not_make_it_grow() {
        let mut pool: Pool<str> = Pool::default();
        let kept: Vec<_> = (0..100)
            .map(|n| pool.share(&*format!("kept-{n}")))
            .collect();
        for n in 0..100_000 {
            pool.share(&*format!("job-{n}"));
        }
        assert!(pool.len() <= SMALL, "{}", pool.len());
        assert!(kept.iter().all(|it| Arc::ptr_eq(it, &pool.share(&**it))));
    }
}
