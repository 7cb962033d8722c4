//! Objects in memory under a byte budget; they end with the process. It does not know which object
//! could be spared: over the budget a put is refused, and whoever puts decides what to delete.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};

use crate::{Answer, Error, Key, Listed, Meta, Object, Store, cut_to};

/// Objects in memory. Bodies are kept as the slices they came in, so that they cost nothing more
/// while whoever put them holds them too.
pub struct Memory {
    budget_bytes: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    objects: BTreeMap<Key, Stored>,
    bytes: u64,
}

struct Stored {
    body: Vec<Bytes>,
    size: u64,
    modified: SystemTime,
}

impl Memory {
    /// A store of at most `budget_bytes` bytes of bodies.
    pub fn new(budget_bytes: u64) -> Self {
        Self {
            budget_bytes,
            held: Mutex::default(),
        }
    }

    /// Bytes of bodies held now.
    pub fn bytes(&self) -> u64 {
        self.held().bytes
    }

    // No code that can panic runs under the lock, so a poisoned one is still whole.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_now(&self, key: &Key, body: &[Bytes]) -> Result<(), Error> {
        let size: u64 = body.iter().map(|piece| piece.len() as u64).sum();
        let mut held = self.held();
        let before = held.objects.get(key).map_or(0, |old| old.size);
        let after = (held.bytes - before).saturating_add(size);
        if after > self.budget_bytes {
            let budget = self.budget_bytes;
            return Err(Error::Full(format!(
                "{size} bytes more are over the memory budget of {budget}"
            )));
        }
        held.bytes = after;
        let stored = Stored {
            body: body.to_vec(),
            size,
            modified: SystemTime::now(),
        };
        held.objects.insert(key.clone(), stored);
        Ok(())
    }

    fn get_now(&self, key: &Key, range: Option<Range<u64>>) -> Result<Object, Error> {
        let (pieces, size, modified) = {
            let held = self.held();
            let stored = held
                .objects
                .get(key)
                .ok_or_else(|| Error::NotFound(key.to_string()))?;
            (stored.body.clone(), stored.size, stored.modified)
        };
        let range = cut_to(range, size)?;
        Ok(Object {
            body: joined(&pieces, range),
            size,
            modified,
        })
    }
}

/// The part of the concatenation of `pieces` inside `range`; shares the piece when it is in one.
fn joined(pieces: &[Bytes], range: Range<u64>) -> Bytes {
    let mut parts = Vec::new();
    let mut start = 0;
    for piece in pieces {
        let end = start + piece.len() as u64;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            parts.push(piece.slice((from - start) as usize..(to - start) as usize));
        }
        start = end;
    }
    if parts.len() <= 1 {
        return parts.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity((range.end - range.start) as usize);
    for part in parts {
        whole.extend_from_slice(&part);
    }
    whole.freeze()
}

impl Store for Memory {
    fn put<'a>(&'a self, key: &'a Key, body: &'a [Bytes], _meta: Meta) -> Answer<'a, ()> {
        Box::pin(async move { self.put_now(key, body) })
    }

    fn get<'a>(&'a self, key: &'a Key, range: Option<Range<u64>>) -> Answer<'a, Object> {
        Box::pin(async move { self.get_now(key, range) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>> {
        Box::pin(async move {
            if !prefix.is_empty() {
                Key::new(prefix)?;
            }
            let held = self.held();
            let under = held.objects.iter().filter(|(key, _)| key.is_under(prefix));
            Ok(under
                .map(|(key, stored)| Listed {
                    key: key.clone(),
                    size: stored.size,
                    modified: stored.modified,
                })
                .collect())
        })
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut held = self.held();
            for key in keys {
                if let Some(gone) = held.objects.remove(key) {
                    held.bytes -= gone.size;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{META, contract};

    #[tokio::test]
    async fn passes_the_contract() {
        contract(|| Memory::new(1 << 20)).await;
    }

    #[tokio::test]
    async fn past_the_budget_a_put_is_refused_and_changes_nothing() {
        let store = Memory::new(10);
        let (a, b) = (Key::new("a").unwrap(), Key::new("b").unwrap());
        store
            .put(&a, &[Bytes::from_static(b"123456")], META)
            .await
            .unwrap();
        let refused = store.put(&b, &[Bytes::from_static(b"12345")], META).await;
        assert!(matches!(refused, Err(Error::Full(_))));
        assert!(matches!(store.get(&b, None).await, Err(Error::NotFound(_))));
        // Replacing counts the difference, not the sum.
        store
            .put(&a, &[Bytes::from_static(b"1234567890")], META)
            .await
            .unwrap();
        store.delete(&[a]).await.unwrap();
        assert_eq!(store.bytes(), 0);
        store
            .put(&b, &[Bytes::from_static(b"1234567890")], META)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn one_piece_is_shared_not_copied() {
        let store = Memory::new(100);
        let key = Key::new("a").unwrap();
        let body = Bytes::from(vec![7; 50]);
        store
            .put(&key, std::slice::from_ref(&body), META)
            .await
            .unwrap();
        let got = store.get(&key, Some(10..20)).await.unwrap();
        assert_eq!(got.body.as_ptr(), body[10..].as_ptr());
    }
}
