//! Reads from the store: at most `limits.store_reads` at once, and one for all who want the same
//! object. It does not know what is in an object, and keeps nothing.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use storage::{Error, Key, Object, Store};
use tokio::{
    sync::{Semaphore, watch},
    time::error::Elapsed,
};

use super::{Missing, meters};

/// Objects waited for at once, for each read that may run; more are refused.
const WAITING_PER_READ: usize = 8;

/// An object's bytes and when it was put.
pub(super) type Outcome = Result<(Bytes, SystemTime), Missing>;
type Flights = Mutex<HashMap<Key, watch::Receiver<Option<Outcome>>>>;

/// The reading side of a store.
pub(super) struct Reads {
    store: Arc<dyn Store>,
    deadline: Duration,
    at_once: Arc<Semaphore>,
    waiting: usize,
    flights: Arc<Flights>,
}

impl Reads {
    /// `reads` is `limits.store_reads`, `deadline` `limits.store_deadline`.
    pub(super) fn new(store: Arc<dyn Store>, reads: usize, deadline: Duration) -> Self {
        Self {
            store,
            deadline,
            at_once: Arc::new(Semaphore::new(reads.max(1))),
            waiting: reads.max(1) * WAITING_PER_READ,
            flights: Arc::default(),
        }
    }

    /// The whole object.
    pub(super) async fn get(&self, key: &Key) -> Outcome {
        let mut flight = self.join(key)?;
        match flight.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(Missing::Unavailable)),
            Err(_) => Err(Missing::Unavailable),
        }
    }

    /// A part of an object, for one who asks alone.
    pub(super) async fn part(&self, key: &Key, range: Range<u64>) -> Result<Bytes, Missing> {
        let read = async {
            let _permit = self.at_once.acquire().await;
            self.store.get(key, Some(range)).await
        };
        meters::store_read();
        let outcome = tokio::time::timeout(self.deadline, read).await;
        outcome_of(key, outcome).map(|(body, _)| body)
    }

    fn join(&self, key: &Key) -> Result<watch::Receiver<Option<Outcome>>, Missing> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(key) {
            return Ok(flight.clone());
        }
        if flights.len() >= self.waiting {
            return Err(Missing::Unavailable);
        }
        let (done, flight) = watch::channel(None);
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        let (store, at_once) = (Arc::clone(&self.store), Arc::clone(&self.at_once));
        let (deadline, key, flights) = (self.deadline, key.clone(), Arc::clone(&self.flights));
        // A task of its own: who asked first may go away while others wait.
        tokio::spawn(async move {
            let read = async {
                let _permit = at_once.acquire().await;
                store.get(&key, None).await
            };
            meters::store_read();
            let outcome = outcome_of(&key, tokio::time::timeout(deadline, read).await);
            let mut flights = flights.lock().unwrap_or_else(PoisonError::into_inner);
            flights.remove(&key);
            drop(flights);
            let _ = done.send(Some(outcome));
        });
        Ok(flight)
    }
}

fn outcome_of(key: &Key, read: Result<Result<Object, Error>, Elapsed>) -> Outcome {
    match read {
        Ok(Ok(object)) => Ok((object.body, object.modified)),
        Ok(Err(Error::NotFound(_))) => Err(Missing::NotFound),
        Ok(Err(error)) => {
            tracing::warn!(object = %key, %error, "storage could not be read");
            Err(Missing::Unavailable)
        }
        Err(_) => {
            tracing::warn!(object = %key, "storage could not be read in time");
            Err(Missing::Unavailable)
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::{
        contract::META,
        fault::{Fault, Faulty, Op},
        memory::Memory,
    };

    use super::*;

    async fn store() -> Arc<Faulty> {
        let store = Arc::new(Faulty::new(Arc::new(Memory::new(1 << 20))));
        for name in ["a", "b"] {
            let key = Key::new(name).unwrap();
            store
                .put(&key, &[Bytes::from_static(b"x")], META)
                .await
                .unwrap();
        }
        store
    }

    #[tokio::test]
    async fn many_readers_make_one_read() {
        let store = store().await;
        let reads = Reads::new(store.clone(), 2, Duration::from_secs(1));
        store.always(Op::Get, Fault::Hang);
        let key = Key::new("a").unwrap();
        let (one, two, ()) = tokio::join!(reads.get(&key), reads.get(&key), async {
            while store.calls(Op::Get) == 0 {
                tokio::task::yield_now().await;
            }
            store.release();
        });
        assert_eq!(
            (&one.unwrap().0[..], &two.unwrap().0[..]),
            (&b"x"[..], &b"x"[..])
        );
        assert_eq!(store.calls(Op::Get), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_or_fails_is_unavailable_and_absence_is_not() {
        let store = store().await;
        let reads = Reads::new(store.clone(), 2, Duration::from_secs(1));
        let (a, none) = (Key::new("a").unwrap(), Key::new("none").unwrap());
        store.next(Op::Get, Fault::Hang);
        assert_eq!(reads.get(&a).await, Err(Missing::Unavailable));
        store.next(Op::Get, Fault::Io(std::io::ErrorKind::PermissionDenied));
        assert_eq!(reads.get(&a).await, Err(Missing::Unavailable));
        assert_eq!(reads.get(&none).await, Err(Missing::NotFound));
        assert!(reads.get(&a).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_waiting_are_refused() {
        let store = store().await;
        let reads = Reads::new(store.clone(), 1, Duration::from_secs(1));
        store.always(Op::Get, Fault::Hang);
        let keys: Vec<_> = (0..WAITING_PER_READ)
            .map(|n| Key::new(&n.to_string()).unwrap())
            .collect();
        let waiting: Vec<_> = keys.iter().map(|key| reads.join(key).unwrap()).collect();
        assert_eq!(
            reads.get(&Key::new("more").unwrap()).await,
            Err(Missing::Unavailable)
        );
        assert!(
            reads.join(&keys[0]).is_ok(),
            "joining a read that runs costs nothing"
        );
        drop(waiting);
    }
}
