//! Streams that were asked for lately, so that the most asked question costs no blocking thread.
//! It does not know SQL: what a write makes stale is told by the write.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::StreamDetails;
use crate::name::StreamUid;

/// Bytes that the texts of cached streams may take, about: room for 10,000 streams with a title.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// What a cached stream takes besides its texts.
const ROW_BYTES: usize = 768;

/// What a write made stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// Nothing that is cached.
    Nothing,
    /// This stream.
    Stream(StreamUid),
    /// Perhaps every stream: a channel's name is part of all of its streams.
    Streams,
}

/// A number that says when a read began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(u64);

/// The cache; clones share it.
#[derive(Clone, Default)]
pub(super) struct Cache {
    inner: Arc<RwLock<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Counts what was made stale.
    changes: u64,
    bytes: usize,
    rows: HashMap<StreamUid, Arc<StreamDetails>>,
}

impl Cache {
    /// The stream, if it is here; else the moment to give to [`Cache::keep`].
    pub(super) fn get(&self, uid: &StreamUid) -> Result<Arc<StreamDetails>, Moment> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        match inner.rows.get(uid) {
            Some(row) => Ok(Arc::clone(row)),
            None => Err(Moment(inner.changes)),
        }
    }

    /// Keeps what was read since `began`, unless anything changed since: it may be what changed.
    pub(super) fn keep(&self, began: Moment, row: &Arc<StreamDetails>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if Moment(inner.changes) != began {
            return;
        }
        let bytes = weight(row);
        while inner.bytes + bytes > CACHE_BYTES {
            let Some(any) = inner.rows.keys().next().cloned() else {
                return;
            };
            inner.drop_row(&any);
        }
        inner.drop_row(&row.uid);
        inner.bytes += bytes;
        inner.rows.insert(row.uid.clone(), Arc::clone(row));
    }

    /// Forgets what is stale. To be called after the commit and before its answer.
    pub(super) fn forget(&self, touch: &Touch) {
        if *touch == Touch::Nothing {
            return;
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.changes += 1;
        match touch {
            Touch::Stream(uid) => inner.drop_row(uid),
            _ => {
                inner.bytes = 0;
                inner.rows.clear();
            }
        }
    }
}

impl Inner {
    fn drop_row(&mut self, uid: &StreamUid) {
        if let Some(row) = self.rows.remove(uid) {
            self.bytes -= weight(&row);
        }
    }
}

fn weight(row: &StreamDetails) -> usize {
    ROW_BYTES + row.title.len() + row.description.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(description_bytes: usize) -> Arc<StreamDetails> {
        let description = "x".repeat(description_bytes);
        Arc::new(StreamDetails {
            description,
            ..StreamDetails::sample(StreamUid::random())
        })
    }

    fn keep(cache: &Cache, row: &Arc<StreamDetails>) {
        let began = cache.get(&row.uid).unwrap_err();
        cache.keep(began, row);
    }

    #[test]
    fn what_was_kept_is_there_until_it_is_stale() {
        let cache = Cache::default();
        let (one, two) = (row(0), row(0));
        keep(&cache, &one);
        keep(&cache, &two);
        cache.forget(&Touch::Nothing);
        assert!(Arc::ptr_eq(&cache.get(&one.uid).unwrap(), &one));
        cache.forget(&Touch::Stream(one.uid.clone()));
        assert!(cache.get(&one.uid).is_err());
        assert!(cache.get(&two.uid).is_ok());
        cache.forget(&Touch::Streams);
        assert!(cache.get(&two.uid).is_err());
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let cache = Cache::default();
        let old = row(0);
        let began = cache.get(&old.uid).unwrap_err();
        cache.forget(&Touch::Stream(old.uid.clone()));
        cache.keep(began, &old);
        assert!(cache.get(&old.uid).is_err());
    }

    #[test]
    fn it_stays_within_its_bytes() {
        let cache = Cache::default();
        let big = CACHE_BYTES / 4;
        for _ in 0..20 {
            keep(&cache, &row(big));
        }
        let inner = cache.inner.read().unwrap();
        assert_eq!(inner.rows.len(), 3);
        assert_eq!(inner.bytes, 3 * (big + ROW_BYTES));
        drop(inner);
        let huge = row(CACHE_BYTES);
        keep(&cache, &huge);
        assert!(cache.get(&huge.uid).is_err());
    }
}
