//! The order of writes to one key: what began later wins, also when an earlier write was given up
//! by its caller and finishes late. It does not know what a write does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::Key;

/// Writes under way, by key.
#[derive(Default)]
pub(crate) struct Order {
    writes: Mutex<Writes>,
}

#[derive(Default)]
struct Writes {
    begun: u64,
    keys: HashMap<Key, Arc<Slot>>,
}

/// One key.
#[derive(Default)]
struct Slot {
    /// Number of the newest write that took effect.
    newest: Mutex<u64>,
    /// Held during a write that takes time.
    busy: Arc<tokio::sync::Mutex<()>>,
}

/// One write's place in the order of its key.
pub(crate) struct Turn {
    order: Arc<Order>,
    key: Key,
    number: u64,
    slot: Arc<Slot>,
}

impl Order {
    /// Takes the next place for a write to `key`.
    pub(crate) fn begin(self: &Arc<Self>, key: &Key) -> Turn {
        let mut writes = lock(&self.writes);
        writes.begun += 1;
        let slot = writes.keys.entry(key.clone()).or_default();
        Turn {
            order: Arc::clone(self),
            key: key.clone(),
            slot: Arc::clone(slot),
            number: writes.begun,
        }
    }
}

impl Turn {
    /// Runs `write` unless a later write has taken effect already; then `None`, and the outcome is
    /// as if this one had been replaced at once.
    pub(crate) fn take<T, E>(&self, write: impl FnOnce() -> Result<T, E>) -> Result<Option<T>, E> {
        let mut newest = lock(&self.slot.newest);
        if *newest > self.number {
            return Ok(None);
        }
        let done = write()?;
        *newest = self.number;
        Ok(Some(done))
    }

    /// For a write that takes time: waits until no other write to the key is under way. `None` when
    /// a later one has taken effect already; else the key is this write's until the guard is gone.
    pub(crate) async fn alone(&self) -> Option<OwnedMutexGuard<()>> {
        let guard = Arc::clone(&self.slot.busy).lock_owned().await;
        (*lock(&self.slot.newest) < self.number).then_some(guard)
    }

    /// Notes that the write took effect.
    pub(crate) fn done(&self) {
        let mut newest = lock(&self.slot.newest);
        *newest = self.number.max(*newest);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut writes = lock(&self.order.writes);
        // The map's and this turn's own reference: nobody else is writing to the key.
        if Arc::strong_count(&self.slot) <= 2 {
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

    #[tokio::test]
    async fn writes_that_take_time_are_one_at_a_time_and_the_late_one_is_left_out() {
        let order = Arc::new(Order::default());
        let key = Key::new("k").unwrap();
        let (first, second) = (order.begin(&key), order.begin(&key));
        let alone = second.alone().await.unwrap();
        let mut waits = std::pin::pin!(first.alone());
        let now = tokio::time::timeout(std::time::Duration::ZERO, &mut waits).await;
        assert!(now.is_err(), "the key is taken");
        second.done();
        drop(alone);
        assert!(waits.await.is_none());
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
