//! One stream's way to the store: an ordered queue under `limits.archive_bytes` and the task that
//! empties it. It does not know what is listed; nothing live waits for it longer than it wants to.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use storage::{Error, Key, Meta, Store};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{meters, stored};
use crate::name::SegmentName;

/// First wait after a failed write; it doubles.
const RETRY: Duration = Duration::from_millis(200);
/// Longest wait after a failed write.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Counted against the limit for every job, so that empty ones are bounded too.
const JOB_BYTES: u64 = 256;
/// Attempts when the stream is over and nobody waits for its objects.
const LAST_ATTEMPTS: u32 = 3;
/// Deletes waiting at once. What is more is left in the store until the next start, which deletes
/// what no window lists.
const DELETES: usize = 10_000;
/// A full store refuses new publishers so long after it last said so.
const FULL_FOR: Duration = Duration::from_secs(15);

/// How the store is doing, all streams together.
#[derive(Debug, Default)]
pub(super) struct Health {
    state: Mutex<State>,
    /// A write found no room.
    filled: Notify,
    backlog_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    trouble: Option<String>,
    full_at: Option<Instant>,
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store answered as it should.
    pub(super) fn well(&self) {
        *self.state() = State::default();
    }

    pub(super) fn failed(&self, text: String, full: bool) {
        let mut state = self.state();
        state.trouble = Some(text);
        state.full_at = full.then(Instant::now);
        if full {
            self.filled.notify_one();
        }
    }

    /// Waits until a write finds no room; at once when one did since the last call.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Only what comes from now on counts.
    pub(super) fn forget_filled(&self) {
        let _ = self.filled.notified().now_or_never();
    }

    /// What is wrong, if anything.
    pub(super) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// The store said lately that it is full.
    pub(super) fn is_full(&self) -> bool {
        self.state()
            .full_at
            .is_some_and(|at| at.elapsed() < FULL_FOR)
    }

    fn backlog(&self, add: u64, take: u64) {
        self.backlog_bytes.fetch_add(add, Ordering::Relaxed);
        let before = self.backlog_bytes.fetch_sub(take, Ordering::Relaxed);
        meters::archive_backlog(before - take);
    }
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The store has it.
    Stored,
    /// It was dropped from the queue and will not be stored.
    Abandoned,
}

/// Told of each segment's fate.
pub(super) type OnFate = Box<dyn Fn(&SegmentName, Fate) + Send + Sync>;
/// Asked for so many bytes when the store is full; answers the objects to delete first.
pub(super) type MakeRoom = Box<dyn Fn(u64) -> Vec<Key> + Send + Sync>;

/// What an archive works with.
pub(super) struct Setup {
    pub store: Arc<dyn Store>,
    pub health: Arc<Health>,
    /// For log lines.
    pub stream: String,
    /// `limits.archive_bytes`.
    pub limit_bytes: u64,
    /// `limits.store_deadline`.
    pub deadline: Duration,
    /// Where viewers fetch stored objects.
    pub base: stored::Base,
    pub on_fate: OnFate,
    pub make_room: MakeRoom,
}

enum Work {
    Segment(SegmentName, Option<oneshot::Sender<()>>),
    /// Replaced while it waits by a newer object of the same key.
    Latest,
    /// The same; written with what the store has then.
    Playlist,
    Delete(Vec<Key>),
}

struct Job {
    number: u64,
    work: Work,
    /// Of the object; unused by a delete.
    key: Option<Key>,
    body: Arc<[Bytes]>,
    meta: Meta,
    bytes: u64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: u64,
    next_number: u64,
    /// The job that the task is at.
    working: Option<u64>,
    closed: bool,
}

struct Inner {
    setup: Setup,
    queue: Mutex<Queue>,
    /// Behind the newest segment that was abandoned; 0 when none was.
    lost: AtomicU64,
    changed: Notify,
    idle: Notify,
}

/// The queue's handle. When it is dropped the task stores what is left and ends.
pub(super) struct Archive {
    inner: Arc<Inner>,
}

impl Archive {
    /// An empty queue and its task.
    pub(super) fn start(setup: Setup) -> Self {
        let inner = Arc::new(Inner {
            setup,
            queue: Mutex::default(),
            lost: AtomicU64::new(0),
            changed: Notify::new(),
            idle: Notify::new(),
        });
        tokio::spawn(run(Arc::clone(&inner)));
        Self { inner }
    }

    /// Queues a segment; the receiver resolves when it is stored, and fails when it never will be.
    pub(super) fn segment(
        &self,
        name: SegmentName,
        key: Key,
        body: Arc<[Bytes]>,
        meta: Meta,
    ) -> oneshot::Receiver<()> {
        let (stored, waits) = oneshot::channel();
        self.add(Work::Segment(name, Some(stored)), Some(key), body, meta);
        waits
    }

    /// Queues a playlist of which only the newest counts. It is stored after the segments queued
    /// before it, without those that were abandoned (media rule 29), and before every delete.
    pub(super) fn playlist(&self, key: Key, text: Bytes, meta: Meta) {
        self.add(Work::Playlist, Some(key), Arc::new([text]), meta);
    }

    /// Queues an object of which only the newest counts.
    pub(super) fn latest(&self, key: Key, body: Bytes, meta: Meta) {
        self.add(Work::Latest, Some(key), Arc::new([body]), meta);
    }

    /// Queues deletes, so that no put queued earlier brings an object back.
    pub(super) fn delete(&self, mut keys: Vec<Key>) {
        if !keys.is_empty() {
            // One job for all that wait, or an outage would gather them without end.
            let waiting = self.inner.queue().take_deletes();
            let freed = waiting.iter().map(|job| job.bytes).sum();
            self.inner.setup.health.backlog(0, freed);
            for job in waiting {
                if let Work::Delete(more) = job.work {
                    keys.extend(more);
                }
            }
            keys.truncate(DELETES);
            let meta = Meta {
                content_type: "",
                cache_control: "",
            };
            self.add(Work::Delete(keys), None, Arc::new([]), meta);
        }
    }

    fn add(&self, work: Work, key: Option<Key>, body: Arc<[Bytes]>, meta: Meta) {
        let bytes = JOB_BYTES + body.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let dropped = {
            let mut queue = self.inner.queue();
            queue.next_number += 1;
            let number = queue.next_number;
            let mut dropped = queue.displace(&work, key.as_ref());
            // What the stored playlist lists may go only when a newer one is stored.
            let deletes = match work {
                Work::Playlist => queue.take_deletes(),
                _ => Vec::new(),
            };
            queue.bytes += bytes;
            queue.jobs.push_back(Job {
                number,
                work,
                key,
                body,
                meta,
                bytes,
            });
            for job in deletes {
                queue.bytes += job.bytes;
                queue.jobs.push_back(job);
            }
            dropped.extend(queue.overflow(self.inner.setup.limit_bytes));
            dropped
        };
        let gone = dropped.iter().map(|job| job.bytes).sum();
        self.inner.setup.health.backlog(bytes, gone);
        for job in dropped {
            self.inner.abandon(job);
        }
        self.inner.changed.notify_one();
    }

    /// Resolves when nothing is queued.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.inner.idle.notified();
            if self.inner.queue().jobs.is_empty() {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.inner.queue().closed = true;
        self.inner.changed.notify_one();
    }
}

impl Queue {
    /// Takes out what a new job makes pointless.
    fn displace(&mut self, work: &Work, key: Option<&Key>) -> Vec<Job> {
        if !matches!(work, Work::Latest | Work::Playlist) {
            return Vec::new();
        }
        let working = self.working;
        self.take(|job| {
            matches!(job.work, Work::Latest | Work::Playlist)
                && job.key.as_ref() == key
                && Some(job.number) != working
        })
    }

    fn take_deletes(&mut self) -> Vec<Job> {
        let working = self.working;
        self.take(|job| matches!(job.work, Work::Delete(_)) && Some(job.number) != working)
    }

    fn take(&mut self, which: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut taken = Vec::new();
        for job in std::mem::take(&mut self.jobs) {
            if which(&job) {
                self.bytes -= job.bytes;
                taken.push(job);
            } else {
                self.jobs.push_back(job);
            }
        }
        taken
    }

    /// Takes out the oldest segments while the queue is over its limit. The one that is being
    /// written stays: dropping it would free nothing yet.
    fn overflow(&mut self, limit_bytes: u64) -> Vec<Job> {
        let mut taken = Vec::new();
        while self.bytes > limit_bytes {
            let oldest = self.jobs.iter().position(|job| {
                matches!(job.work, Work::Segment(..)) && Some(job.number) != self.working
            });
            let Some(job) = oldest.and_then(|at| self.jobs.remove(at)) else {
                break;
            };
            self.bytes -= job.bytes;
            taken.push(job);
        }
        taken
    }

    fn remove(&mut self, number: u64) -> Option<Job> {
        let at = self.jobs.iter().position(|job| job.number == number)?;
        let job = self.jobs.remove(at)?;
        self.bytes -= job.bytes;
        Some(job)
    }
}

/// What one attempt needs, apart from the queue.
enum Attempt {
    Put(Key, Arc<[Bytes]>, Meta, u64),
    Delete(Vec<Key>),
}

impl Inner {
    // Nothing under the lock can panic, so a poisoned one is whole.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn abandon(&self, job: Job) {
        if let Work::Segment(name, _) = job.work {
            tracing::warn!(stream = %self.setup.stream, session = name.session.as_str(), segment = %name,
                "segment dropped from the archive queue: storage does not keep up");
            self.lost.fetch_max(name.sequence + 1, Ordering::Relaxed);
            meters::abandoned();
            (self.setup.on_fate)(&name, Fate::Abandoned);
        }
    }

    /// The oldest job, or `None` when there are none and none will come.
    async fn next(&self) -> Option<(u64, Attempt)> {
        loop {
            {
                let mut queue = self.queue();
                if let Some(job) = queue.jobs.front() {
                    let attempt = match (&job.work, &job.key) {
                        (Work::Delete(keys), _) => Attempt::Delete(keys.clone()),
                        (Work::Playlist, Some(key)) => self.stored_playlist(key, job),
                        (_, Some(key)) => {
                            Attempt::Put(key.clone(), Arc::clone(&job.body), job.meta, job.bytes)
                        }
                        (_, None) => Attempt::Delete(Vec::new()),
                    };
                    let number = job.number;
                    queue.working = Some(number);
                    return Some((number, attempt));
                }
                queue.working = None;
                self.idle.notify_waiters();
                if queue.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Its segments are stored or abandoned by now: they were queued before it.
    fn stored_playlist(&self, key: &Key, job: &Job) -> Attempt {
        let lost = self.lost.load(Ordering::Relaxed).checked_sub(1);
        let base = &self.setup.base;
        let text = job.body.first();
        match text.and_then(|text| stored::publish(text, key.as_str(), lost, base)) {
            Some(text) => Attempt::Put(key.clone(), Arc::new([text]), job.meta, job.bytes),
            None => Attempt::Delete(Vec::new()),
        }
    }

    async fn attempt(&self, attempt: &Attempt) -> Result<(), Error> {
        let store = &self.setup.store;
        let (key, body, meta, bytes) = match attempt {
            Attempt::Delete(keys) => return store.delete(keys).await,
            Attempt::Put(key, body, meta, bytes) => (key, body, *meta, *bytes),
        };
        let put = store.put(key, body, meta).await;
        if !matches!(put, Err(Error::Full(_))) {
            return put;
        }
        let room = (self.setup.make_room)(bytes);
        if room.is_empty() {
            return put;
        }
        store.delete(&room).await?;
        store.put(key, body, meta).await
    }

    fn done(&self, number: u64, stored: bool) {
        let Some(job) = self.queue().remove(number) else {
            return;
        };
        self.setup.health.backlog(0, job.bytes);
        match job.work {
            _ if !stored => self.abandon(job),
            Work::Segment(name, waits) => {
                (self.setup.on_fate)(&name, Fate::Stored);
                // Whoever lists it may have stopped waiting at the deadline.
                let _ = waits.map(|waits| waits.send(()));
            }
            Work::Latest | Work::Playlist | Work::Delete(_) => {}
        }
    }
}

/// Before the attempt after so many failures: doubles, and a random part of half of it is left out,
/// so that streams do not come back all at once.
fn wait(failures: u32) -> Duration {
    let whole = (RETRY * 2u32.saturating_pow(failures.min(16) - 1)).min(RETRY_MAX);
    let random = getrandom::u32().unwrap_or(0);
    whole - whole.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

async fn run(inner: Arc<Inner>) {
    let mut failures = 0;
    while let Some((number, attempt)) = inner.next().await {
        let outcome = tokio::time::timeout(inner.setup.deadline, inner.attempt(&attempt)).await;
        let (text, full) = match outcome {
            Ok(Ok(())) => {
                if failures > 0 {
                    tracing::info!(stream = %inner.setup.stream, "storage answers again");
                }
                failures = 0;
                inner.setup.health.well();
                inner.done(number, true);
                continue;
            }
            Ok(Err(error)) => (error.to_string(), matches!(error, Error::Full(_))),
            Err(_) => (
                "storage gave no answer within limits.store_deadline".into(),
                false,
            ),
        };
        failures += 1;
        meters::store_failure();
        if failures == 1 {
            tracing::warn!(stream = %inner.setup.stream, error = %text, "storage fails; live goes on");
        }
        inner.setup.health.failed(text, full);
        if inner.queue().closed && failures >= LAST_ATTEMPTS {
            inner.done(number, false);
            continue;
        }
        tokio::time::sleep(wait(failures)).await;
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
    use crate::name::SessionId;

    type Fates = Arc<Mutex<Vec<(u64, Fate)>>>;

    struct Bench {
        store: Arc<Faulty>,
        health: Arc<Health>,
        archive: Archive,
        fates: Fates,
    }

    fn bench(limit_bytes: u64) -> Bench {
        let store = Arc::new(Faulty::new(Arc::new(Memory::new(1 << 20))));
        let (health, fates) = (Arc::<Health>::default(), Fates::default());
        let told = Arc::clone(&fates);
        let archive = Archive::start(Setup {
            store: store.clone(),
            health: Arc::clone(&health),
            stream: "s".into(),
            limit_bytes,
            deadline: Duration::from_secs(10),
            base: None,
            on_fate: Box::new(move |name, fate| told.lock().unwrap().push((name.sequence, fate))),
            make_room: Box::new(|_| Vec::new()),
        });
        Bench {
            store,
            health,
            archive,
            fates,
        }
    }

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    impl Bench {
        fn segment(&self, sequence: u64, len: usize) -> oneshot::Receiver<()> {
            let name = SegmentName {
                session: SessionId::parse("s").unwrap(),
                sequence,
            };
            let body: Arc<[Bytes]> = Arc::new([Bytes::from(vec![0; len])]);
            self.archive
                .segment(name, key(&sequence.to_string()), body, META)
        }

        async fn text(&self, name: &str) -> String {
            let got = self.store.get(&key(name), None).await.unwrap();
            String::from_utf8(got.body.to_vec()).unwrap()
        }

        async fn until_called(&self, op: Op, times: usize) {
            while self.store.calls(op) < times {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_playlist_follows_its_segment_and_only_the_newest_is_written() {
        let bench = bench(1 << 20);
        bench.store.next(Op::Put, Fault::Hang);
        let stored = bench.segment(1, 10);
        for version in ["1", "2", "3"] {
            bench
                .archive
                .latest(key("list"), Bytes::from_static(version.as_bytes()), META);
        }
        bench.until_called(Op::Put, 1).await;
        assert!(
            bench.store.get(&key("list"), None).await.is_err(),
            "not before its segment"
        );
        bench.store.release();
        stored.await.unwrap();
        bench.archive.idle().await;
        assert_eq!(bench.text("list").await, "3");
        assert_eq!(bench.store.calls(Op::Put), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_or_hanging_write_is_told_and_tried_again() {
        let bench = bench(1 << 20);
        bench.store.next(Op::Put, Fault::Full);
        bench.store.next(Op::Put, Fault::Hang);
        let stored = bench.segment(1, 10);
        bench.until_called(Op::Put, 1).await;
        tokio::task::yield_now().await;
        assert!(bench.health.is_full());
        tokio::time::advance(RETRY).await;
        bench.until_called(Op::Put, 2).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
        stored.await.unwrap();
        assert_eq!(bench.health.trouble(), None);
        assert_eq!(*bench.fates.lock().unwrap(), [(1, Fate::Stored)]);
    }

    #[tokio::test(start_paused = true)]
    async fn past_its_limit_the_oldest_waiting_segments_are_dropped_and_live_is_told() {
        let bench = bench(3 * (100 + JOB_BYTES));
        bench
            .store
            .always(Op::Put, Fault::Io(std::io::ErrorKind::TimedOut));
        let mut waits = vec![bench.segment(0, 100)];
        bench.until_called(Op::Put, 1).await;
        tokio::task::yield_now().await;
        waits.extend((1..6).map(|n| bench.segment(n, 100)));
        let dropped: Vec<_> = bench
            .fates
            .lock()
            .unwrap()
            .iter()
            .map(|(n, _)| *n)
            .collect();
        assert_eq!(dropped, [1, 2, 3], "the one that is being written stays");
        assert!(
            waits.remove(1).await.is_err(),
            "whoever lists it does not wait in vain"
        );
        assert!(bench.health.trouble().is_some());
        bench.store.always(Op::Put, Fault::None);
        bench.archive.idle().await;
        let stored: Vec<_> = bench
            .store
            .list("")
            .await
            .unwrap()
            .into_iter()
            .map(|row| row.key)
            .collect();
        assert_eq!(stored, ["0", "4", "5"].map(key));
    }

    #[tokio::test]
    async fn a_delete_comes_after_the_puts_before_it() {
        let bench = bench(1 << 20);
        let _stored = bench.segment(1, 10);
        bench.archive.delete(vec![key("1")]);
        bench.archive.idle().await;
        assert!(bench.store.list("").await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn deletes_wait_as_one_job_under_a_limit() {
        let bench = bench(1 << 20);
        bench.store.next(Op::Put, Fault::Hang);
        let _stored = bench.segment(1, 10);
        bench.until_called(Op::Put, 1).await;
        for n in 0..3 {
            let keys = (0..DELETES / 2).map(|k| key(&format!("{n}-{k}")));
            bench.archive.delete(keys.collect());
        }
        {
            let queue = bench.archive.inner.queue();
            assert_eq!(queue.jobs.len(), 2);
            assert!(matches!(&queue.jobs[1].work, Work::Delete(keys) if keys.len() == DELETES));
            assert_eq!(queue.bytes, 10 + 2 * JOB_BYTES);
        }
        bench.store.release();
        bench.archive.idle().await;
        assert_eq!(bench.store.calls(Op::Delete), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_over_does_not_try_for_ever() {
        let bench = bench(1 << 20);
        bench.store.always(Op::Put, Fault::Full);
        let stored = bench.segment(1, 10);
        drop(bench.archive);
        assert!(stored.await.is_err());
        assert_eq!(bench.store.calls(Op::Put), LAST_ATTEMPTS as usize);
    }
}
