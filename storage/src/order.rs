//! The order of writes to one key: what began later wins, also when an earlier write was given up
//! by its caller and finishes late. It does not know what a write does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::Key;

/// Writes under way, by key.
#[derive(Default)]
pub(crate) struct Order {
    writes: Mutex<Writes>,
}

#[derive(Default)]
struct Writes {
    begun: u64,
    keys: HashMap<Key, Arc<Mutex<u64>>>,
}

/// One write's place in the order of its key.
pub(crate) struct Turn {
    order: Arc<Order>,
    key: Key,
    number: u64,
    /// Number of the newest write that took effect.
    newest: Arc<Mutex<u64>>,
}

impl Order {
    /// Takes the next place for a write to `key`.
    pub(crate) fn begin(self: &Arc<Self>, key: &Key) -> Turn {
        let mut writes = lock(&self.writes);
        writes.begun += 1;
        let newest = writes.keys.entry(key.clone()).or_default();
        Turn {
            order: Arc::clone(self),
            key: key.clone(),
            newest: Arc::clone(newest),
            number: writes.begun,
        }
    }
}

impl Turn {
    /// Runs `write` unless a later write has taken effect already; then `None`, and the outcome is
    /// as if this one had been replaced at once.
    pub(crate) fn take<T, E>(&self, write: impl FnOnce() -> Result<T, E>) -> Result<Option<T>, E> {
        let mut newest = lock(&self.newest);
        if *newest > self.number {
            return Ok(None);
        }
        let done = write()?;
        *newest = self.number;
        Ok(Some(done))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut writes = lock(&self.order.writes);
        // The map's and this turn's own reference: nobody else is writing to the key.
        if Arc::strong_count(&self.newest) <= 2 {
            writes.keys.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_earlier_write_does_not_take_effect() {
        let order = Arc::new(Order::default());
        let key = Key::new("k").unwrap();
        let (first, second) = (order.begin(&key), order.begin(&key));
        assert_eq!(second.take(|| Ok::<_, ()>(2)), Ok(Some(2)));
        assert_eq!(first.take(|| Ok::<_, ()>(1)), Ok(None));
        drop((first, second));
        assert!(lock(&order.writes).keys.is_empty());
    }

    #[test]
    fn a_failed_write_leaves_the_earlier_one_its_effect() {
        let order = Arc::new(Order::default());
        let key = Key::new("k").unwrap();
        let (first, second) = (order.begin(&key), order.begin(&key));
        assert_eq!(second.take(|| Err::<(), _>("full")), Err("full"));
        assert_eq!(first.take(|| Ok::<_, ()>(1)), Ok(Some(1)));
    }
}
