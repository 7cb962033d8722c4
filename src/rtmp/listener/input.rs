//! What a connection received and did not use yet, in buffers that connections lend each other: between
//! two reads nearly nothing is left, so that a few buffers, which stay in the processor's caches, do for
//! all. It does not know what the bytes mean.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// So little is kept without a buffer: the beginning of a chunk's header.
const KEPT_BYTES: usize = 32;
/// Buffers kept while nobody reads; more are only there while so many connections are at work at once.
const FREE_BUFFERS: usize = 8;

/// The buffers that nobody uses.
pub(super) struct Buffers {
    bytes: usize,
    free: Mutex<Vec<Box<[u8]>>>,
}

impl Buffers {
    /// None yet; each will have so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            bytes: bytes.max(2 * KEPT_BYTES),
            free: Mutex::default(),
        }
    }

    // Nothing under the lock can panic, so a poisoned one is whole.
    fn free(&self) -> MutexGuard<'_, Vec<Box<[u8]>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Box<[u8]> {
        let free = self.free().pop();
        free.unwrap_or_else(|| vec![0; self.bytes].into())
    }

    fn give_back(&self, buffer: Box<[u8]>) {
        let mut free = self.free();
        if free.len() < FREE_BUFFERS {
            free.push(buffer);
        }
    }
}

/// One connection's input.
#[derive(Default)]
pub(super) struct Input {
    kept: [u8; KEPT_BYTES],
    /// Empty while [`Self::kept`] is enough.
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
}

impl Input {
    /// What was received and not used.
    pub(super) fn unused(&self) -> &[u8] {
        let all = match self.buffer.is_empty() {
            true => &self.kept[..],
            false => &self.buffer,
        };
        &all[self.begin..self.end]
    }

    /// Where the next bytes go, at least one; [`Self::received`] tells how many came.
    pub(super) fn room(&mut self, buffers: &Buffers) -> &mut [u8] {
        let unused = self.begin..self.end;
        let len = unused.len();
        if self.buffer.is_empty() {
            let mut buffer = buffers.take();
            buffer[..len].copy_from_slice(&self.kept[unused]);
            self.buffer = buffer;
        } else if unused.start > 0 {
            self.buffer.copy_within(unused, 0);
        } else if len == self.buffer.len() {
            // Whoever uses the bytes wants more at once than any buffer has.
            let mut longer = vec![0; 2 * len];
            longer[..len].copy_from_slice(&self.buffer);
            self.buffer = longer.into();
        }
        (self.begin, self.end) = (0, len);
        &mut self.buffer[len..]
    }

    /// So many bytes came.
    pub(super) fn received(&mut self, bytes: usize) {
        self.end += bytes;
    }

    /// So many bytes were used.
    pub(super) fn used(&mut self, bytes: usize) {
        self.begin += bytes;
    }

    /// Nothing more can be used now: gives the buffer back if little is left in it.
    pub(super) fn settle(&mut self, buffers: &Buffers) {
        let len = self.end - self.begin;
        if self.buffer.is_empty() || len > KEPT_BYTES {
            return;
        }
        self.kept[..len].copy_from_slice(&self.buffer[self.begin..self.end]);
        (self.begin, self.end) = (0, len);
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.len() == buffers.bytes {
            buffers.give_back(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(input: &mut Input, buffers: &Buffers, bytes: &[u8]) {
        let room = input.room(buffers);
        room[..bytes.len()].copy_from_slice(bytes);
        input.received(bytes.len());
    }

    #[test]
    fn what_is_left_outlives_the_buffer() {
        let buffers = Buffers::new(100);
        let (mut one, mut two) = (Input::default(), Input::default());
        receive(&mut one, &buffers, b"abcdef");
        one.used(4);
        one.settle(&buffers);
        assert_eq!((one.unused(), buffers.free().len()), (&b"ef"[..], 1));
        receive(&mut two, &buffers, &[7; 99]);
        assert!(buffers.free().is_empty(), "lent again");
        two.used(10);
        two.settle(&buffers);
        assert_eq!(
            two.unused(),
            [7; 89],
            "too much to be kept without a buffer"
        );
        receive(&mut one, &buffers, b"gh");
        receive(&mut two, &buffers, b"x");
        assert_eq!(one.unused(), b"efgh");
        assert_eq!((two.unused().len(), two.unused()[89]), (90, b'x'));
    }

    #[test]
    fn there_is_always_room() {
        let buffers = Buffers::new(64);
        let mut input = Input::default();
        for n in 0..1000u32 {
            let room = input.room(&buffers);
            room[0] = n as u8;
            input.received(1);
        }
        let expected: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
        assert_eq!(input.unused(), expected);
        input.used(1000);
        input.settle(&buffers);
        assert!(
            buffers.free().is_empty(),
            "only buffers of one length are lent"
        );
    }

    #[test]
    fn few_buffers_are_kept() {
        let buffers = Buffers::new(64);
        let mut inputs: Vec<Input> = (0..2 * FREE_BUFFERS).map(|_| Input::default()).collect();
        for input in &mut inputs {
            receive(input, &buffers, b"a");
        }
        for input in &mut inputs {
            input.settle(&buffers);
        }
        assert_eq!(buffers.free().len(), FREE_BUFFERS);
        assert!(inputs.iter().all(|input| input.unused() == b"a"));
    }
}
