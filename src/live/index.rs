//! What is listed, on its way to the database: rows in groups with the counters that go with them,
//! behind what is live. It does not know what the rows are for.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::meters;
use crate::{
    db::{Counters, Db, SegmentRow},
    error::Kind,
    name::StreamUid,
};

/// Rows waiting while the database refuses them: 11 h of segments of 2 s. Past them the oldest are
/// lost to the recording.
const WAITING: usize = 20_000;
/// Rows written at once.
const GROUP: usize = 1000;
/// Rows are written at common moments so far apart, so that those of all streams are one transaction. What
/// memory alone has then is less than recovery makes up for (`recover`): more rows of one stream than
/// [`SOON`] do not wait.
const TICK: Duration = Duration::from_millis(250);
/// Rows of one stream that wait for the next moment.
const SOON: usize = 1;
/// Between two attempts when the database refuses.
const RETRY: Duration = Duration::from_secs(1);
/// Attempts when the stream is over and nobody waits for them.
const LAST_ATTEMPTS: u32 = 3;

#[derive(Default)]
struct Waiting {
    rows: Vec<SegmentRow>,
    counters: Counters,
    /// Segments with smaller numbers are to be forgotten.
    gone_below: u64,
    /// Counts what was asked for.
    asked: u64,
    /// Somebody waits for it, or there is much of it.
    urgent: bool,
    closed: bool,
}

struct Inner {
    db: Db,
    uid: StreamUid,
    waiting: Mutex<Waiting>,
    changed: Notify,
    /// [`Waiting::urgent`] may have changed.
    hurried: Notify,
    /// What [`TICK`]s count from.
    origin: Instant,
    /// Up to which [`Waiting::asked`] all is written.
    written: watch::Sender<u64>,
}

/// One stream's index. When it is dropped what is left is still written.
pub(super) struct Index {
    inner: Arc<Inner>,
}

impl Index {
    /// An index that goes on from `counters`, and its task.
    pub(super) fn start(db: Db, uid: StreamUid, counters: Counters, origin: Instant) -> Self {
        let inner = Arc::new(Inner {
            db,
            uid,
            waiting: Mutex::new(Waiting {
                counters,
                ..Waiting::default()
            }),
            changed: Notify::new(),
            hurried: Notify::new(),
            origin,
            written: watch::Sender::new(0),
        });
        tokio::spawn(run(Arc::clone(&inner)));
        Self { inner }
    }

    /// Adds a listed segment; it is written with the next [`Index::save`].
    pub(super) fn add(&self, row: SegmentRow) {
        let lost = {
            let mut waiting = self.inner.waiting();
            let full = waiting.rows.len() >= WAITING;
            if full {
                waiting.rows.remove(0);
            }
            waiting.rows.push(row);
            full
        };
        if lost {
            meters::unindexed();
        }
    }

    /// Writes what was added, and `counters`, soon.
    pub(super) fn save(&self, counters: Counters) {
        let urgent = {
            let mut waiting = self.inner.waiting();
            waiting.counters = counters;
            waiting.asked += 1;
            waiting.urgent |= waiting.rows.len() > SOON;
            waiting.urgent
        };
        self.inner.changed.notify_one();
        if urgent {
            self.inner.hurried.notify_one();
        }
    }

    /// Forgets the segments numbered below `sequence`, with the next [`Index::save`] or at the end.
    pub(super) fn forget_below(&self, sequence: u64) {
        let mut waiting = self.inner.waiting();
        waiting.gone_below = waiting.gone_below.max(sequence);
        waiting.asked += 1;
    }

    /// What was asked for is written without waiting for its moment: the stream ends, and whoever closes
    /// its recording after a kill has the rows alone.
    pub(super) fn hurry(&self) {
        self.inner.waiting().urgent = true;
        self.inner.changed.notify_one();
        self.inner.hurried.notify_one();
    }

    /// Resolves when all that was asked for until now is written.
    pub(super) async fn settle(&self) {
        let asked = self.inner.waiting().asked;
        self.hurry();
        let mut written = self.inner.written.subscribe();
        // An error: the task is gone, since the database is closed.
        let _ = written.wait_for(|written| *written >= asked).await;
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.inner.waiting().closed = true;
        self.hurry();
    }
}

impl Inner {
    // Nothing under the lock can panic, so a poisoned one is whole.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when something is to be written, at the moment for it.
    async fn due(&self) {
        self.changed.notified().await;
        let past = self.origin.elapsed().as_nanos() % TICK.as_nanos();
        let next = TICK - Duration::from_nanos(u64::try_from(past).unwrap_or(0));
        let hurry = async {
            while !self.waiting().urgent {
                self.hurried.notified().await;
            }
        };
        let _ = tokio::time::timeout(next, hurry).await;
    }
}

/// What one write takes along.
struct Group {
    rows: Vec<SegmentRow>,
    counters: Counters,
    gone_below: u64,
    asked: u64,
    closed: bool,
}

async fn run(inner: Arc<Inner>) {
    let mut failures = 0;
    loop {
        let group = {
            let mut waiting = inner.waiting();
            waiting.urgent = waiting.rows.len() > GROUP;
            let rows = &waiting.rows[..waiting.rows.len().min(GROUP)];
            Group {
                // What is left over is asked for again.
                asked: waiting.asked - u64::from(rows.len() < waiting.rows.len()),
                rows: rows.to_vec(),
                counters: waiting.counters,
                gone_below: waiting.gone_below,
                closed: waiting.closed,
            }
        };
        if *inner.written.borrow() >= group.asked && group.rows.is_empty() {
            if group.closed {
                return;
            }
            inner.due().await;
            continue;
        }
        let (uid, rows) = (&inner.uid, group.rows.clone());
        let saved = inner
            .db
            .save_listed(uid, group.counters, rows, group.gone_below);
        match saved.await {
            Ok(()) => {
                failures = 0;
                inner.wrote(&group);
            }
            Err(error) => {
                failures += 1;
                let over =
                    error.kind == Kind::NotFound || group.closed && failures >= LAST_ATTEMPTS;
                if failures == 1 || over {
                    tracing::warn!(stream = %uid, %error, rows = group.rows.len(),
                        "what was listed could not be saved");
                }
                if over {
                    inner.written.send_replace(u64::MAX);
                    return;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

impl Inner {
    fn wrote(&self, group: &Group) {
        {
            let mut waiting = self.waiting();
            // The oldest may have been lost meanwhile.
            let last = group.rows.last().map(|row| row.name.sequence);
            waiting.rows.retain(|row| Some(row.name.sequence) > last);
            if waiting.gone_below == group.gone_below {
                waiting.gone_below = 0;
            }
        }
        self.written.send_replace(group.asked);
    }
}
