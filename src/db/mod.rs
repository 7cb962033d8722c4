//! SQLite: WAL, one writer thread with group commit, a small read pool, numbered migrations. The
//! only module that names rusqlite; it does not know what the rows are for.

mod accounts;
mod behind;
mod cache;
mod channels;
mod chat;
mod credentials;
mod details;
mod moderators;
mod open;
mod publish;
mod questions;
mod readers;
mod reminders;
mod segments;
mod streams;
mod subscribers;
mod writer;

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use self::{
    accounts::{NewUser, Profile, Taken, UserRow},
    behind::{Behind, Places, RoomWrite},
    channels::{Channel, ChannelEdit, ChannelEdited},
    chat::{Audit, ChatRow, ChatWrite, RoomRow},
    details::{ChannelRef, NewStream, StreamDetails, StreamEdit, StreamFilter},
    moderators::{MODERATORS_MAX, Moderator, Standing},
    publish::{PublishFacts, PublishTarget},
    questions::{KeptQuestions, QuestionFilter, QuestionRow, QuestionSort, QuestionWrite},
    reminders::Reminder,
    segments::{Recorded, SegmentRow},
    subscribers::Subscriber,
};
use self::{
    cache::{Cache, Touch},
    readers::{Readers, closed},
    writer::Request,
};
use crate::{
    auth::KeyHash,
    error::{Error, Kind, Result},
    name::StreamUid,
};

/// Status of a stream in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Created, never published to.
    Pending,
    /// Published to, perhaps without a publisher at the moment.
    Live,
    /// Ended.
    Finished,
    /// Called off before it began.
    Cancel,
}

impl Status {
    /// As the database, the API and the command line write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Live => "live",
            Self::Finished => "finished",
            Self::Cancel => "cancel",
        }
    }
    /// Reads what [`Status::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Live, Self::Finished, Self::Cancel]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// Numbers that never go back (media rule 16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Media sequence number of the next segment.
    pub next_sequence: u64,
    /// Discontinuity count of the next segment: tags ever written, the next one's not included.
    pub discontinuities: u64,
    /// EXT-X-TARGETDURATION, once fixed.
    pub target_duration_s: Option<u32>,
}

/// A row of `streams`. Times are milliseconds since 1970, UTC.
#[derive(Clone, Debug)]
pub struct StreamRow {
    /// Public name.
    pub uid: StreamUid,
    /// Given by whoever made it; may be empty.
    pub title: String,
    /// Where it is in its life.
    pub status: Status,
    /// Whether it is kept after its end.
    pub record: bool,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it first went live.
    pub started_at_ms: Option<i64>,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// stopped, publisher_lost, max_pause, cancelled, server_lost.
    pub ended_reason: Option<String>,
    /// Since when the slate is shown; only of a live stream.
    pub paused_at_ms: Option<i64>,
    /// What became of its recording; `None` until that is closed.
    pub recorded: Option<Recorded>,
    /// What its playlists continue from.
    pub counters: Counters,
}

/// A handle to the database; clones share it. When the last is dropped, what is queued is still
/// written.
#[derive(Clone)]
pub struct Db {
    requests: mpsc::Sender<Request>,
    readers: Readers,
    cache: Cache,
    behind: Arc<OnceLock<Behind>>,
}

impl Db {
    /// Opens or creates the database and migrates it. `queue` writes may wait
    /// (`limits.db_queue`); more wait outside.
    ///
    /// # Errors
    /// The file cannot be opened, is no database, or was written by a newer cauce.
    pub fn open(path: &Path, queue: usize) -> Result<Self> {
        let connection = open::writer(path)?;
        let readers = Readers::open(path)?;
        let (requests, queued) = mpsc::channel(queue);
        let cache = Cache::default();
        let touched = cache.clone();
        std::thread::Builder::new()
            .name("db-writer".into())
            .spawn(move || writer::run(connection, &touched, queued))
            .map_err(|e| Error::with(Kind::Unavailable, "cannot start the database thread", e))?;
        Ok(Self {
            requests,
            readers,
            cache,
            behind: Arc::default(),
        })
    }

    /// Adds a pending stream; returns once committed.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when uid or key exist already, else as every write:
    /// [`Kind::Unavailable`].
    pub async fn create_stream(
        &self,
        uid: &StreamUid,
        key: &KeyHash,
        title: &str,
        record: bool,
    ) -> Result<StreamRow> {
        let (uid, key, title) = (uid.clone(), *key, title.to_owned());
        let now_ms = now_ms();
        self.write(move |c| streams::insert(c, &uid, &key, &title, record, now_ms))
            .await
    }

    /// The stream of this name.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn stream(&self, uid: &StreamUid) -> Result<Option<StreamRow>> {
        let uid = uid.clone();
        self.readers.read(move |c| streams::by_uid(c, &uid)).await
    }

    /// The stream whose key has this hash.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn stream_by_key(&self, key: &KeyHash) -> Result<Option<StreamRow>> {
        let wanted = *key;
        let found = self
            .readers
            .read(move |c| streams::by_key(c, &wanted))
            .await?;
        // The index compares byte by byte; this comparison is the one that counts.
        Ok(found
            .filter(|(_, stored)| stored == key)
            .map(|(row, _)| row))
    }

    /// Newest first; `status: None` = all.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn streams(&self, status: Option<Status>) -> Result<Vec<StreamRow>> {
        self.readers.read(move |c| streams::list(c, status)).await
    }

    /// pending -> live, with started_at on the first time; false when the stream has ended.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn mark_live(&self, uid: &StreamUid, now_ms: i64) -> Result<bool> {
        let uid = uid.clone();
        self.write_stream(move |c| streams::mark_live(c, &uid, now_ms).map(|done| (done, uid)))
            .await
    }

    /// -> finished with a reason; false when it had ended already.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn finish_stream(&self, uid: &StreamUid, reason: &str, now_ms: i64) -> Result<bool> {
        let (uid, reason) = (uid.clone(), reason.to_owned());
        let work =
            move |c: &Connection| streams::finish(c, &uid, &reason, now_ms).map(|done| (done, uid));
        self.write_stream(work).await
    }

    /// Marks a live stream paused; a pause that was there keeps its time. False when it is not live.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn pause_stream(&self, uid: &StreamUid, now_ms: i64) -> Result<bool> {
        let uid = uid.clone();
        self.write(move |c| streams::pause(c, &uid, now_ms)).await
    }

    /// Ends a live stream's pause, if there is one; false when the stream is not live.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn resume_stream(&self, uid: &StreamUid) -> Result<bool> {
        let uid = uid.clone();
        self.write(move |c| streams::resume(c, &uid)).await
    }

    /// Writes the counters; never lowers one, and keeps the first target duration.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn save_counters(&self, uid: &StreamUid, counters: Counters) -> Result<()> {
        let uid = uid.clone();
        self.write_touching(move |c| {
            let first = streams::save_counters(c, &uid, counters)?;
            // Later ones change nothing that is cached.
            Ok((
                (),
                if first {
                    Touch::Stream(uid)
                } else {
                    Touch::Nothing
                },
            ))
        })
        .await
    }

    /// Changes when another process committed (`PRAGMA data_version`).
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn data_version(&self) -> Result<i64> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::DataVersion(reply), answer).await?
    }

    /// Writes what is queued and closes every connection; clones answer errors from then on.
    pub async fn close(self) {
        self.readers.close();
        let (reply, answer) = oneshot::channel();
        // An error says that it is closed already.
        let _ = self.ask(Request::Close(reply), answer).await;
    }

    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.write_touching(move |c| Ok((work(c)?, Touch::Nothing)))
            .await
    }

    /// As [`Db::write`], for work that changes the stream that it names.
    async fn write_stream<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<(T, StreamUid)> + Send + 'static,
    {
        self.write_touching(move |c| work(c).map(|(value, uid)| (value, Touch::Stream(uid))))
            .await
    }

    async fn write_touching<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<(T, Touch)> + Send + 'static,
    {
        let (request, answer) = writer::write(work);
        self.ask(request, answer).await?
    }

    async fn ask<T>(&self, request: Request, answer: oneshot::Receiver<T>) -> Result<T> {
        self.requests.send(request).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }
}

/// The wall clock as the database keeps times: milliseconds since 1970, UTC.
pub fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
