//! The end of recordings: by their owner, by their age, or because room is needed. It does not know
//! how they are played.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use storage::Key;

use super::{
    Inner,
    closing::failed,
    layout,
    lifecycle::now_ms,
    stream::{Common, Ingest, Stream},
};
use crate::{
    error::{Error, Kind, Result},
    name::StreamUid,
};

/// Recordings deleted in one pass, so that the store has pauses.
const PASS: u32 = 8;
/// Between two passes; more often when recordings are kept for less than some of these.
const PASS_EVERY: Duration = Duration::from_mins(1);
/// Between two passes when there was more to delete, or recordings are kept for less.
const PASS_SOON: Duration = Duration::from_secs(1);

impl Inner {
    /// See [`super::Live::delete_recording`]. In a task of its own: a caller that goes away does
    /// not leave half of it.
    pub(super) async fn delete_recording(self: &Arc<Self>, uid: &StreamUid) -> Result<()> {
        let (inner, uid) = (Arc::clone(self), uid.clone());
        let deleting = tokio::spawn(async move {
            if let Some(stream) = inner.stream(&uid) {
                {
                    let mut ingest = stream.ingest.lock().await;
                    if ingest.ended.is_some() {
                        stream.let_go(&mut ingest);
                    }
                }
                // What is still on its way to the store would come after the deletion.
                let patience = inner.common.config.limits.store_deadline;
                let idle = tokio::time::timeout(patience, stream.archive.idle()).await;
                idle.map_err(|_| failed("the store did not answer"))?;
            }
            inner.common.delete_objects(&uid).await
        });
        deleting
            .await
            .unwrap_or_else(|error| Err(Error::with(Kind::Internal, "a deletion ended", error)))
    }

    /// Deletes the recording that ended longest ago, and tells which; `None` when there is none.
    pub(super) async fn delete_oldest_recording(self: &Arc<Self>) -> Result<Option<StreamUid>> {
        let oldest = self.common.db.old_recordings(i64::MAX, 1).await?;
        let Some(uid) = oldest.into_iter().next() else {
            return Ok(None);
        };
        self.common.db.drop_recording(&uid).await?;
        self.delete_recording(&uid).await?;
        tracing::warn!(stream = %uid, "the oldest recording was deleted to make room");
        Ok(Some(uid))
    }

    /// Deletes recordings past `storage.recordings_retention`, and what an earlier deletion left.
    /// True when there is more to do.
    async fn pass(self: &Arc<Self>) -> Result<bool> {
        let db = &self.common.db;
        let retention = self.common.config.storage.recordings_retention;
        let mut count = 0;
        if !retention.is_zero() {
            let kept_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
            let old = db
                .old_recordings(now_ms().saturating_sub(kept_ms), PASS)
                .await?;
            count = old.len();
            for uid in old {
                // First the row: should the process end here, what is left is found again.
                db.drop_recording(&uid).await?;
                self.delete_recording(&uid).await?;
                tracing::info!(stream = %uid, "recording deleted: older than storage.recordings_retention");
            }
        }
        for uid in db.undeleted_streams(now_ms(), PASS).await? {
            // One that is here still has its time, and forgets its segments itself.
            if self.stream(&uid).is_none() {
                self.common.delete_objects(&uid).await?;
            }
        }
        Ok(count == PASS as usize)
    }
}

/// Deletes what is to be deleted until the registry is gone.
pub(super) async fn keep_recordings(inner: Weak<Inner>) {
    let mut wait = PASS_SOON;
    loop {
        tokio::time::sleep(wait).await;
        let Some(inner) = inner.upgrade() else { return };
        let retention = inner.common.config.storage.recordings_retention;
        let short = !retention.is_zero() && retention < PASS_EVERY;
        wait = match inner.pass().await {
            Ok(more) if more || short => PASS_SOON,
            Ok(_) => PASS_EVERY,
            Err(error) => {
                tracing::warn!(%error, "recordings could not be deleted; trying again");
                PASS_EVERY
            }
        };
    }
}

impl Common {
    /// Deletes a stream's segments and playlists from the store, and then from the index.
    pub(super) async fn delete_objects(&self, uid: &StreamUid) -> Result<()> {
        self.recordings.forget(uid);
        let listed = self.in_time(self.store.list(uid.as_str())).await?;
        let thumbnail = layout::thumbnail(uid);
        let keys = listed.into_iter().map(|object| object.key);
        let keys: Vec<Key> = keys.filter(|key| *key != thumbnail).collect();
        self.in_time(self.store.delete(&keys)).await?;
        self.db.forget_segments(uid).await?;
        tracing::info!(stream = %uid, objects = keys.len(), "recording deleted");
        Ok(())
    }
}

impl Stream {
    /// Shows nothing of an ended stream any more; what is left of it is in the store.
    pub(super) fn let_go(&self, ingest: &mut Ingest) {
        ingest.retired = true;
        self.show_nothing();
        {
            let mut memory = self.common.memory_mut();
            for name in ingest.window.fetchable() {
                memory.remove(&self.id(name));
            }
        }
        ingest.window.forget();
    }

    /// What can be fetched now stays in memory until the recording is closed, also where memory is
    /// the store and would let go what is listed no more.
    pub(super) fn keep_fetchable(&self, ingest: &Ingest) {
        let mut memory = self.common.memory_mut();
        for name in ingest.window.fetchable() {
            memory.listed(&self.id(name));
        }
    }
}
