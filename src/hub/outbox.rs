//! Frames on their way to one member: a queue bounded in frames and bytes. What does not fit is
//! dropped and counted, and the member is brought up to date when it has taken the rest, or cut when
//! it does not. It does not know sockets or rooms.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::wire::{Close, Frame};
use crate::config::Config;

/// What one queue may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Frames.
    pub frames: usize,
    /// Bytes.
    pub bytes: usize,
    /// How long it may stay full.
    pub grace: Duration,
}

impl Limits {
    /// As configured: `hub.queue_frames`, `hub.queue_bytes`, `hub.slow_grace`.
    pub fn of(config: &Config) -> Self {
        Self {
            frames: config.hub.queue_frames,
            bytes: config.hub.queue_bytes,
            grace: config.hub.slow_grace,
        }
    }
}

/// One member's queue.
#[derive(Debug)]
pub struct Outbox {
    limits: Limits,
    queue: Mutex<Queue>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Frames dropped since `full_since`.
    missed: u64,
    full_since: Option<Instant>,
    close: Option<(Close, String)>,
}

impl Outbox {
    /// An empty queue.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            queue: Mutex::default(),
            waker: AtomicWaker::new(),
        }
    }

    /// Queues a frame. `false`: it did not fit, and neither will the next ones until the member has
    /// taken all that waits.
    pub fn push(&self, frame: Frame) -> bool {
        let mut queue = self.lock();
        if queue.close.is_some() {
            return true;
        }
        let full = queue.frames.len() >= self.limits.frames
            || (queue.bytes + frame.len() > self.limits.bytes && !queue.frames.is_empty());
        if full || queue.missed > 0 {
            queue.missed += 1;
            if queue.full_since.is_none() {
                queue.full_since = Some(Instant::now());
                drop(queue);
                self.waker.wake();
            }
            return false;
        }
        let idle = queue.frames.is_empty();
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        drop(queue);
        if idle {
            self.waker.wake();
        }
        true
    }

    /// Queues what a newcomer is told, whatever its size: other limits bound it.
    pub fn greet(&self, frames: impl IntoIterator<Item = Frame>) {
        let mut queue = self.lock();
        for frame in frames {
            queue.bytes += frame.len();
            queue.frames.push_back(frame);
        }
        drop(queue);
        self.waker.wake();
    }

    /// Closes the socket once what waits is sent. The first reason counts.
    pub fn close(&self, close: Close, reason: String) {
        let mut queue = self.lock();
        queue.close.get_or_insert((close, reason));
        drop(queue);
        self.waker.wake();
    }

    /// Moves the next frames to send into `taken`, at most `most`.
    pub fn take(&self, taken: &mut VecDeque<Frame>, most: usize) {
        let mut locked = self.lock();
        let queue = &mut *locked;
        let count = queue.frames.len().min(most);
        for frame in queue.frames.drain(..count) {
            queue.bytes -= frame.len();
            taken.push_back(frame);
        }
        if queue.frames.is_empty() {
            // It is empty most of the time, in every socket.
            queue.frames = VecDeque::new();
        }
    }

    /// The close that is due: all that waited is sent, or the member did not take it in time.
    pub fn due(&self, now: Instant) -> Option<(Close, String)> {
        let queue = self.lock();
        if let Some(close) = queue.close.clone()
            && queue.frames.is_empty()
        {
            return Some(close);
        }
        let over = queue.full_since? + self.limits.grace;
        (over <= now && !queue.frames.is_empty()).then(|| (Close::TooSlow, String::new()))
    }

    /// When [`Outbox::due`] may have another answer without any push or take.
    pub fn due_at(&self) -> Option<Instant> {
        Some(self.lock().full_since? + self.limits.grace)
    }

    /// How many frames were dropped, once the member has taken all the others. It then begins anew.
    pub fn missed(&self) -> Option<u64> {
        let mut queue = self.lock();
        if queue.missed == 0 || !queue.frames.is_empty() {
            return None;
        }
        queue.full_since = None;
        Some(std::mem::take(&mut queue.missed))
    }

    /// Whether [`Outbox::missed`] has something to say.
    pub fn is_caught_up(&self) -> bool {
        let queue = self.lock();
        queue.missed > 0 && queue.frames.is_empty()
    }

    /// Who is woken when there is something to do.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(frames: usize, bytes: usize) -> Outbox {
        Outbox::new(Limits {
            frames,
            bytes,
            grace: Duration::from_secs(5),
        })
    }

    fn one(outbox: &Outbox) -> Option<Frame> {
        let mut taken = VecDeque::new();
        outbox.take(&mut taken, 1);
        taken.pop_front()
    }

    #[tokio::test(start_paused = true)]
    async fn frames_and_bytes_are_bounded() {
        let few = outbox(2, 1000);
        assert!(few.push("a".into()) && few.push("b".into()));
        assert!(!few.push("c".into()));
        let small = outbox(100, 10);
        assert!(small.push("a".repeat(50).into()), "one frame always fits");
        assert!(!small.push("b".into()));
        one(&small);
        assert!(!small.push("c".into()), "no gap inside what is taken");
        assert_eq!(small.missed(), Some(2));
        assert!(small.push("d".into()));
        assert_eq!(small.missed(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stays_full_for_the_grace_is_cut_and_who_catches_up_is_not() {
        let queue = outbox(1, 1000);
        assert!(queue.push("a".into()) && !queue.push("b".into()));
        let start = Instant::now();
        assert_eq!(queue.due_at(), Some(start + Duration::from_secs(5)));
        assert_eq!(queue.due(start + Duration::from_secs(4)), None);
        let (close, _) = queue.due(start + Duration::from_secs(5)).unwrap();
        assert_eq!(close, Close::TooSlow);
        one(&queue);
        assert_eq!(queue.due(start + Duration::from_secs(9)), None);
        assert_eq!(queue.missed(), Some(1));
        assert_eq!(queue.due_at(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_follows_what_waits() {
        let queue = outbox(9, 1000);
        queue.push("a".into());
        queue.close(Close::Ended, "over".into());
        queue.close(Close::Banned, String::new());
        queue.push("late".into());
        assert_eq!(queue.due(Instant::now()), None);
        assert!(one(&queue).is_some() && one(&queue).is_none());
        let due = queue.due(Instant::now());
        assert_eq!(due, Some((Close::Ended, "over".to_owned())));
    }
}
