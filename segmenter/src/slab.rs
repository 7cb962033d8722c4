//! Slabs: memory of one size for transport packets, used again by whoever writes next. All streams together
//! fill and drop many megabytes a second, and an allocator splits and joins what it is given back. It does
//! not know packets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::ts::PACKET;

/// Bytes of a slab, just below 64 KiB.
pub(crate) const SLAB_BYTES: usize = 348 * PACKET;
/// A slab with fewer bytes in it is not kept for them, but they are copied out of it.
const KEPT_BYTES: usize = SLAB_BYTES / 4 * 3;
/// Slabs kept while nobody uses them, 4 MiB; more go back to the allocator.
const FREE_SLABS: usize = 64;

/// Of all segmenters of the process.
pub(crate) static SLABS: Slabs = Slabs::new();

/// The slabs that nobody uses.
pub(crate) struct Slabs {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Slabs {
    const fn new() -> Self {
        Self {
            free: Mutex::new(Vec::new()),
        }
    }

    // Nothing under the lock can panic, so a poisoned one is whole.
    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty slab, with room for [`SLAB_BYTES`].
    pub(crate) fn take(&self) -> Vec<u8> {
        let used = self.free().pop();
        used.unwrap_or_else(|| Vec::with_capacity(SLAB_BYTES))
    }

    /// What was written. A slab comes back when its last reader is gone; one with little in it at once, and
    /// that moves, so that no more memory is held than a third more than there are bytes.
    pub(crate) fn seal(&'static self, slab: Vec<u8>) -> Bytes {
        if slab.len() >= KEPT_BYTES {
            return Bytes::from_owner(Read(slab, self));
        }
        let bytes = Bytes::copy_from_slice(&slab);
        self.give_back(slab);
        bytes
    }

    fn give_back(&self, mut slab: Vec<u8>) {
        slab.clear();
        let mut free = self.free();
        if free.len() < FREE_SLABS {
            free.push(slab);
        }
    }
}

/// A slab that is read.
struct Read(Vec<u8>, &'static Slabs);

impl AsRef<[u8]> for Read {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        self.1.give_back(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_stays_and_its_memory_comes_back() {
        static SLABS: Slabs = Slabs::new();
        let mut slab = SLABS.take();
        slab.resize(KEPT_BYTES, 7);
        let full = SLABS.seal(slab);
        let part = full.slice(5..9);
        drop(full);
        assert_eq!(SLABS.free().len(), 0, "somebody still reads it");
        let mut slab = SLABS.take();
        slab.resize(KEPT_BYTES - 1, 3);
        let short = SLABS.seal(slab);
        assert_eq!(SLABS.free().len(), 1);
        assert_eq!(
            (&part[..], &short[..]),
            (&[7; 4][..], &[3; KEPT_BYTES - 1][..])
        );
        drop(part);
        assert_eq!(SLABS.free().len(), 2);
        let again = SLABS.take();
        assert!(again.is_empty() && again.capacity() >= SLAB_BYTES);
        assert_eq!(SLABS.free().len(), 1);
    }

    #[test]
    fn few_are_kept() {
        static SLABS: Slabs = Slabs::new();
        let slabs: Vec<_> = (0..2 * FREE_SLABS).map(|_| SLABS.take()).collect();
        slabs.into_iter().for_each(|slab| SLABS.give_back(slab));
        assert_eq!(SLABS.free().len(), FREE_SLABS);
    }
}
