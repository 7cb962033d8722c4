//! Writes behind the broadcast: a bounded queue that commits in groups, in order, and tries again
//! while the database refuses. A room that finds no place in it refuses the message: nothing is lost
//! silently. It does not know what the rows mean.

use std::{sync::Arc, time::Duration};

use metrics::{counter, gauge};
use rusqlite::Connection;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{ChatWrite, Db, QuestionWrite, chat, questions};
use crate::error::{Error, Kind, Result};

/// Rows in one transaction.
const BATCH_MAX: usize = 256;
/// Between two attempts when the database refuses.
const RETRY: Duration = Duration::from_secs(1);
/// Longest time that a reader waits for what was queued before it asked.
const SETTLE: Duration = Duration::from_secs(2);

/// A change of a room's rows.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomWrite {
    /// Of the chat.
    Chat(ChatWrite),
    /// Of the questions.
    Question(QuestionWrite),
}

struct Item {
    stream_id: i64,
    write: RoomWrite,
}

/// The queue; clones share it.
#[derive(Clone)]
pub struct Behind {
    queue: mpsc::Sender<Item>,
    /// How many were ever queued, and how many of them are done.
    queued: Arc<watch::Sender<u64>>,
    done: watch::Receiver<u64>,
}

/// Places in the queue for the writes of one step.
pub struct Places<'a> {
    places: mpsc::PermitIterator<'a, Item>,
    queued: &'a watch::Sender<u64>,
}

impl Behind {
    /// `n` places, or `None` when the database lags so far behind that they are taken.
    pub fn places(&self, n: usize) -> Option<Places<'_>> {
        match self.queue.try_reserve_many(n) {
            Ok(places) => Some(Places {
                places,
                queued: &self.queued,
            }),
            Err(_) => {
                counter!("cauce_room_writes_refused_total").increment(1);
                None
            }
        }
    }

    /// Resolves when all that was queued until now is committed.
    pub async fn settle(&self) {
        let wanted = *self.queued.borrow();
        let mut done = self.done.clone();
        // An error: the database is closed.
        let _ = done.wait_for(|done| *done >= wanted).await;
    }
}

impl Places<'_> {
    /// Queues a write; false when the step has more writes than places, which is a bug.
    pub fn write(&mut self, stream_id: i64, write: RoomWrite) -> bool {
        let Some(place) = self.places.next() else {
            counter!("cauce_room_writes_lost_total").increment(1);
            return false;
        };
        self.queued.send_modify(|queued| *queued += 1);
        place.send(Item { stream_id, write });
        true
    }
}

impl Db {
    /// Starts the queue; there is one in a process. `places`: `limits.room_writes`.
    pub fn write_behind(&self, places: usize) -> Behind {
        let (queue, items) = mpsc::channel(places);
        let (done, seen) = watch::channel(0);
        let behind = Behind {
            queue,
            queued: Arc::new(watch::Sender::new(0)),
            done: seen,
        };
        let _ = self.behind.set(behind.clone());
        tokio::spawn(run(self.clone(), items, done));
        behind
    }

    /// Waits for what was queued behind broadcasts until now, but not for ever.
    pub(super) async fn settle(&self) {
        if let Some(behind) = self.behind.get() {
            let _ = timeout(SETTLE, behind.settle()).await;
        }
    }
}

async fn run(db: Db, mut items: mpsc::Receiver<Item>, done: watch::Sender<u64>) {
    let mut batch = Vec::new();
    while items.recv_many(&mut batch, BATCH_MAX).await > 0 {
        gauge!("cauce_room_writes_queued").set(items.len() as f64);
        let count = batch.len() as u64;
        let shared = Arc::new(std::mem::take(&mut batch));
        while let Err(error) = commit(&db, &shared).await {
            if db.requests.is_closed() {
                counter!("cauce_room_writes_lost_total").increment(count);
                tracing::error!(
                    rows = count,
                    "the database closed before all of the chat was kept"
                );
                return;
            }
            counter!("cauce_room_writes_failed_total").increment(1);
            tracing::warn!(%error, "the chat cannot be kept now");
            sleep(RETRY).await;
        }
        done.send_modify(|done| *done += count);
    }
}

async fn commit(db: &Db, batch: &Arc<Vec<Item>>) -> Result<()> {
    let batch = Arc::clone(batch);
    db.write(move |c| {
        batch.iter().try_for_each(|item| {
            apply(c, item)
                .map_err(|error| Error::with(Kind::Unavailable, "cannot keep the chat", error))
        })
    })
    .await
}

/// One row. What the schema refuses would be refused for ever: it is told and left out.
fn apply(c: &Connection, item: &Item) -> rusqlite::Result<()> {
    let written = match &item.write {
        RoomWrite::Chat(write) => chat::write(c, item.stream_id, write),
        RoomWrite::Question(write) => questions::write(c, item.stream_id, write),
    };
    match written {
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
        {
            counter!("cauce_room_writes_lost_total").increment(1);
            tracing::error!(stream_id = item.stream_id, %error, "a row of a room was refused");
            Ok(())
        }
        other => other,
    }
}
