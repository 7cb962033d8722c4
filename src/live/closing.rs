//! From an ended stream to its recording (media rule 19): what the store has of it is listed, and
//! that playlist takes the place of the ended window. It does not know who plays it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use storage::{Key, Meta};
use tokio::time::timeout;

use super::{
    Inner, Missing, layout, meters,
    recording::playlist,
    snapshot::{Rates, multivariant_with},
    stored,
    stream::{Common, Stream},
};
use crate::{
    db::{Recorded, SegmentRow, Status},
    error::{Error, Kind, Result},
    name::{SegmentName, StreamUid},
};

/// Listing the store, or deleting a recording, may take so many times longer than one attempt to write an
/// object: it is thousands of them.
pub(super) const DEADLINES: u32 = 6;
/// Before the first further attempt when store or database fail; it doubles.
const RETRY: Duration = Duration::from_secs(2);
/// Longest wait for a further attempt.
const RETRY_MAX: Duration = Duration::from_mins(1);

impl Inner {
    /// Closes the recording of a stream that an earlier process ended.
    pub(super) fn close_later(self: &Arc<Self>, uid: StreamUid) {
        let common = Arc::clone(&self.common);
        tokio::spawn(async move { common.close(&uid, None).await });
    }
}

impl Stream {
    /// Closes the recording once the store has what it will get; until then viewers have the window
    /// with its ENDLIST.
    pub(super) fn close_recording(self: &Arc<Self>) {
        let stream = Arc::clone(self);
        tokio::spawn(async move {
            let multivariant = {
                let ingest = stream.ingest.lock().await;
                stream.keep_fetchable(&ingest);
                ingest.multivariant.as_ref().map(|one| one.plain.to_vec())
            };
            stream.renderings.idle().await;
            stream.archive.idle().await;
            stream.index.settle().await;
            stream.common.close(&stream.uid, multivariant).await;
            let mut ingest = stream.ingest.lock().await;
            stream.let_go(&mut ingest);
        });
    }
}

impl Common {
    /// Closes the recording of `uid`, whose multivariant playlist was `multivariant` (`None`: it is in
    /// the store), as often as it takes.
    async fn close(&self, uid: &StreamUid, multivariant: Option<Vec<u8>>) {
        let mut wait = RETRY;
        loop {
            match self.try_to_close(uid, multivariant.as_deref()).await {
                Ok(()) => return,
                Err(error) if error.kind == Kind::NotFound => return,
                Err(error) => {
                    tracing::warn!(stream = %uid, %error, "a recording could not be closed; trying again");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    async fn try_to_close(&self, uid: &StreamUid, multivariant: Option<&[u8]>) -> Result<()> {
        let row = self.db.stream(uid).await?;
        let row = row.ok_or_else(|| Error::new(Kind::NotFound, "no such stream"))?;
        if !row.record || row.recorded.is_some() {
            return Ok(());
        }
        if !matches!(row.status, Status::Finished | Status::Cancel) {
            return Err(failed("the stream's end is not in the database"));
        }
        let rows = self.db.segments(uid).await?;
        let stored = self.stored_lengths(uid).await?;
        let is_there = |row: &SegmentRow| stored.get(&row.name) == Some(&row.bytes);
        let (there, absent): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_there);
        let (first, last) = (there.first(), there.last());
        let span = first.zip(last).map_or(0, |(first, last)| {
            last.name.sequence - first.name.sequence + 1
        });
        let holes = span - there.len() as u64;
        let outcome = match row.counters.target_duration_s {
            Some(target_duration_s) if !there.is_empty() => {
                self.write_playlists(uid, &there, target_duration_s, multivariant)
                    .await?;
                Recorded::Done
            }
            _ => {
                let playlists = [layout::media(uid), layout::multivariant(uid)];
                self.in_time(self.store.delete(&playlists)).await?;
                Recorded::Failed
            }
        };
        let gone = absent.iter().map(|row| row.name.sequence).collect();
        if !self.db.close_recording(uid, outcome, gone).await? {
            // Deleted meanwhile, before these playlists were written.
            let dropped = self.db.stream(uid).await?.is_none_or(|row| !row.record);
            return match dropped {
                true => self.delete_objects(uid).await,
                false => Err(failed("the recording could not be closed")),
            };
        }
        self.recordings.forget(uid);
        meters::recording_closed(outcome.as_str());
        meters::recording_lost(absent.len() as u64);
        let (segments, outcome) = (there.len(), outcome.as_str());
        if absent.is_empty() && holes == 0 {
            tracing::info!(stream = %uid, segments, outcome, "recording closed");
        } else {
            tracing::warn!(stream = %uid, segments, outcome, absent = absent.len(), holes,
                "recording closed without segments that never got to the store");
        }
        Ok(())
    }

    async fn stored_lengths(&self, uid: &StreamUid) -> Result<HashMap<SegmentName, u64>> {
        let listed = self.in_time(self.store.list(uid.as_str())).await?;
        let segments = listed.into_iter().filter_map(|object| {
            let (_, name) = layout::parse_segment(&object.key)?;
            Some((name, object.size))
        });
        Ok(segments.collect())
    }

    /// Writes the multivariant playlist before the media playlist that makes it final.
    async fn write_playlists(
        &self,
        uid: &StreamUid,
        rows: &[SegmentRow],
        target_duration_s: u32,
        multivariant: Option<&[u8]>,
    ) -> Result<()> {
        let mut rates = Rates::default();
        for row in rows {
            rates.add(row.bytes, row.duration_90k, target_duration_s);
        }
        let before = match multivariant {
            Some(text) => text.to_vec(),
            None => match self.stored_playlist(&layout::multivariant(uid)).await {
                Ok((text, _)) => text,
                Err(Missing::NotFound) => Vec::new(),
                Err(Missing::Unavailable) => return Err(failed("a playlist could not be read")),
            },
        };
        let independent = rows.iter().all(|row| row.independent);
        let multivariant = multivariant_with(&before, rates, independent);
        let key = layout::multivariant(uid);
        self.put_playlist(&key, multivariant).await?;
        let media = playlist(rows, target_duration_s);
        self.put_playlist(&layout::media(uid), media).await
    }

    async fn put_playlist(&self, key: &Key, text: Vec<u8>) -> Result<()> {
        const META: Meta = layout::RECORDING_PLAYLIST;
        let base = layout::public_base(&self.config.storage);
        let text = text.into();
        let Some(text) = stored::publish(&text, key.as_str(), None, &base) else {
            return Ok(());
        };
        let body = [text];
        let put = self.store.put(key, &body, META);
        match timeout(self.config.limits.store_deadline, put).await {
            Ok(put) => put.map_err(failed),
            Err(_) => Err(failed("the store did not answer")),
        }
    }

    /// A call that goes over all of a recording.
    pub(super) async fn in_time<T>(&self, call: storage::Answer<'_, T>) -> Result<T> {
        let patience = self.config.limits.store_deadline * DEADLINES;
        match timeout(patience, call).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed("the store did not answer")),
        }
    }
}

pub(super) fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::with(Kind::Unavailable, "storage failed a recording", cause)
}
