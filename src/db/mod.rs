//! SQLite: WAL, one writer thread with group commit, a small read pool, numbered migrations. The
//! only module that names rusqlite; it does not know what the rows are for.

use std::path::Path;

use crate::{auth::KeyHash, error::Result, name::StreamUid};

/// Status of a stream in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Live,
    Finished,
    Cancel,
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

/// A row of `streams`.
#[derive(Clone, Debug)]
pub struct StreamRow {
    pub uid: StreamUid,
    pub title: String,
    pub status: Status,
    pub record: bool,
    pub created_at_ms: i64,
    pub started_at_ms: Option<i64>,
    pub ended_at_ms: Option<i64>,
    /// stopped, publisher_lost, max_pause, cancelled, server_lost.
    pub ended_reason: Option<String>,
    pub counters: Counters,
}

/// A handle to the database; clones share it.
#[derive(Clone)]
pub struct Db {
    _private: (),
}

impl Db {
    /// Opens or creates the database and migrates it.
    ///
    /// # Errors
    /// The file cannot be opened, is no database, or was written by a newer cauce.
    pub fn open(_path: &Path, _queue: usize) -> Result<Self> {
        todo!()
    }
    /// Adds a pending stream; returns once committed.
    pub async fn create_stream(
        &self,
        _uid: &StreamUid,
        _key: &KeyHash,
        _title: &str,
        _record: bool,
    ) -> Result<StreamRow> {
        todo!()
    }
    pub async fn stream(&self, _uid: &StreamUid) -> Result<Option<StreamRow>> {
        todo!()
    }
    pub async fn stream_by_key(&self, _key: &KeyHash) -> Result<Option<StreamRow>> {
        todo!()
    }
    /// Newest first; `status: None` = all.
    pub async fn streams(&self, _status: Option<Status>) -> Result<Vec<StreamRow>> {
        todo!()
    }
    /// pending -> live, with started_at on the first time; false when the stream has ended.
    pub async fn mark_live(&self, _uid: &StreamUid, _now_ms: i64) -> Result<bool> {
        todo!()
    }
    /// -> finished with a reason; false when it had ended already.
    pub async fn finish_stream(
        &self,
        _uid: &StreamUid,
        _reason: &str,
        _now_ms: i64,
    ) -> Result<bool> {
        todo!()
    }
    /// Writes the counters; never lowers one.
    pub async fn save_counters(&self, _uid: &StreamUid, _counters: Counters) -> Result<()> {
        todo!()
    }
    /// Changes when another process committed (`PRAGMA data_version`).
    pub async fn data_version(&self) -> Result<i64> {
        todo!()
    }
}
