//! A store that delays, fails or hangs on command, over any other: how tests make a disk full or
//! a network slow. It does not know which backend it spoils.

use std::{
    collections::{HashMap, VecDeque},
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{Answer, Error, Key, Listed, Meta, Object, Store};

/// A call of [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// [`Store::put`].
    Put,
    /// [`Store::get`].
    Get,
    /// [`Store::list`].
    List,
    /// [`Store::delete`].
    Delete,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the call goes through.
    None,
    /// The call goes through after this long.
    Delay(Duration),
    /// [`Error::Full`].
    Full,
    /// [`Error::Io`] of this kind.
    Io(io::ErrorKind),
    /// No answer until [`Faulty::release`], then the call goes through.
    Hang,
}

#[derive(Default)]
struct Script {
    next: HashMap<Op, VecDeque<Fault>>,
    always: HashMap<Op, Fault>,
    calls: HashMap<Op, usize>,
}

/// A store that answers by a script.
pub struct Faulty {
    store: Arc<dyn Store>,
    script: Mutex<Script>,
    released: Notify,
}

impl Faulty {
    /// A decorator without faults over `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            script: Mutex::default(),
            released: Notify::new(),
        }
    }

    /// Adds what happens to the next call of `op` for which nothing is planned yet.
    pub fn next(&self, op: Op, fault: Fault) {
        self.script().next.entry(op).or_default().push_back(fault);
    }

    /// What happens to every call of `op` for which nothing is planned by [`Faulty::next`].
    pub fn always(&self, op: Op, fault: Fault) {
        self.script().always.insert(op, fault);
    }

    /// Lets every call that hangs now go through.
    pub fn release(&self) {
        self.released.notify_waiters();
    }

    /// Calls of `op` so far, faulty ones included.
    pub fn calls(&self, op: Op) -> usize {
        self.script().calls.get(&op).copied().unwrap_or(0)
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fault(&self, op: Op) -> Result<(), Error> {
        // Enabled before the script is read: a release right after is not missed.
        let mut released = std::pin::pin!(self.released.notified());
        released.as_mut().enable();
        let fault = {
            let mut script = self.script();
            *script.calls.entry(op).or_default() += 1;
            let planned = script.next.get_mut(&op).and_then(VecDeque::pop_front);
            planned.or_else(|| script.always.get(&op).copied())
        };
        match fault.unwrap_or(Fault::None) {
            Fault::None => Ok(()),
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Fault::Full => Err(Error::Full("by the test's script".into())),
            Fault::Io(kind) => Err(Error::Io(kind.into())),
            Fault::Hang => {
                released.await;
                Ok(())
            }
        }
    }
}

impl Store for Faulty {
    fn put<'a>(&'a self, key: &'a Key, body: &'a [Bytes], meta: Meta) -> Answer<'a, ()> {
        Box::pin(async move {
            self.fault(Op::Put).await?;
            self.store.put(key, body, meta).await
        })
    }

    fn get<'a>(&'a self, key: &'a Key, range: Option<Range<u64>>) -> Answer<'a, Object> {
        Box::pin(async move {
            self.fault(Op::Get).await?;
            self.store.get(key, range).await
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>> {
        Box::pin(async move {
            self.fault(Op::List).await?;
            self.store.list(prefix).await
        })
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, ()> {
        Box::pin(async move {
            self.fault(Op::Delete).await?;
            self.store.delete(keys).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::{META, contract},
        memory::Memory,
    };

    #[tokio::test]
    async fn without_faults_it_passes_the_contract() {
        contract(|| Faulty::new(Arc::new(Memory::new(1 << 20)))).await;
    }

    #[tokio::test]
    async fn follows_the_script() {
        let store = Arc::new(Faulty::new(Arc::new(Memory::new(100))));
        let key = Key::new("k").unwrap();
        store.next(Op::Put, Fault::Full);
        store.always(Op::Put, Fault::Hang);
        assert!(matches!(
            store.put(&key, &[], META).await,
            Err(Error::Full(_))
        ));
        let mut put = store.put(&key, &[], META);
        assert!(
            tokio::time::timeout(Duration::ZERO, &mut put)
                .await
                .is_err()
        );
        store.release();
        put.await.unwrap();
        assert_eq!(store.calls(Op::Put), 2);
    }
}
