//! Writes of which nobody knows what became: no answer came, so the server may still hold them and let
//! them land after their key's delete. Such a key is deleted once more, later. It does not know how.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::Key;

/// Keys remembered. What is more is not deleted twice.
const KEYS: usize = 10_000;

/// Keys with a write in doubt. A later write of the key that was answered ends no doubt: the one before
/// it may still land.
#[derive(Default)]
pub(super) struct Doubts(Mutex<HashSet<Key>>);

impl Doubts {
    fn keys(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write got no answer.
    pub(super) fn note(&self, key: &Key) {
        let mut keys = self.keys();
        if keys.len() < KEYS {
            keys.insert(key.clone());
        }
    }

    /// Those of `deleted` that may come back; they are forgotten here.
    pub(super) fn settle(&self, deleted: &[Key]) -> Vec<Key> {
        let mut keys = self.keys();
        let doubted = deleted.iter().filter(|key| keys.remove(key));
        doubted.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_is_settled_once_and_there_are_only_so_many() {
        let doubts = Doubts::default();
        let key = |n: usize| Key::new(&format!("k{n}")).unwrap();
        doubts.note(&key(1));
        assert_eq!(doubts.settle(&[key(1), key(2)]), [key(1)]);
        assert_eq!(doubts.settle(&[key(1)]), []);
        (0..2 * KEYS).for_each(|n| doubts.note(&key(n)));
        assert_eq!(doubts.keys().len(), KEYS);
    }
}
