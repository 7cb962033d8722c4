//! Recordings as viewers get them: the playlists of the whole stream, its segments, and the stream as
//! one file, read from the store. It does not know how a recording came about.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use segmenter::playlist::{Entry, MediaPlaylist, PlaylistKind};
use storage::Key;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::{
    Missing, Rendered, Served, Snapshot, audience::Audience, layout, snapshot::content_tag,
    stream::Common,
};
use crate::{
    db::{Recorded, SegmentRow, Status, StreamDetails},
    name::{SegmentName, StreamUid},
};

/// Bytes of a recording read at once for one download.
const READ_BYTES: u64 = 1 << 20;

/// The playlist of a closed recording. A segment that is not there leaves a DISCONTINUITY and no
/// entry: every entry can be fetched.
pub(super) fn playlist(rows: &[SegmentRow], target_duration_s: u32) -> Vec<u8> {
    let (sequence, discontinuities) = rows
        .first()
        .map_or((0, 0), |first| (first.name.sequence, first.discontinuities));
    let mut list = MediaPlaylist::new(target_duration_s, sequence, discontinuities)
        .with_kind(PlaylistKind::Vod);
    let mut expected = sequence;
    for row in rows {
        list.push(&Entry {
            duration_90k: row.duration_90k,
            program_date_time: row.date,
            discontinuity: row.discontinuity || row.name.sequence != expected,
            independent: row.independent,
            uri: &row.name.to_string(),
        });
        expected = row.name.sequence + 1;
    }
    list.end();
    let mut text = Vec::new();
    list.render(&mut text);
    text
}

/// One segment, and where it ends in the file.
struct Part {
    name: SegmentName,
    end: u64,
}

/// A recording that is being played or downloaded.
pub(super) struct Recording {
    uid: StreamUid,
    /// Its playlists.
    pub snapshot: Arc<Snapshot>,
    parts: Vec<Part>,
}

impl Recording {
    fn new(
        uid: StreamUid,
        rows: &[SegmentRow],
        target_duration_s: u32,
        multivariant: Rendered,
    ) -> Self {
        let mut media = Rendered::new(playlist(rows, target_duration_s));
        media.modified = multivariant.modified;
        // Here it may take long.
        media.gzip();
        let mut end = 0;
        let parts = rows.iter().map(|row| {
            end += row.bytes;
            Part {
                name: row.name.clone(),
                end,
            }
        });
        Self {
            uid,
            parts: parts.collect(),
            snapshot: Arc::new(Snapshot {
                multivariant: Arc::new(multivariant),
                media,
                target_duration_s,
                ended: true,
                max_age_s: layout::RECORDING_MAX_AGE_S,
                heads: Default::default(),
                audience: Arc::new(Audience::new(0)),
            }),
        }
    }

    fn has(&self, name: &SegmentName) -> bool {
        let found = self
            .parts
            .binary_search_by_key(&name.sequence, |part| part.name.sequence);
        found.is_ok_and(|at| self.parts[at].name == *name)
    }

    fn len(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.end)
    }

    /// The object that has the byte at `offset`, and which of its bytes come next.
    fn at(&self, offset: u64, end: u64) -> Option<(Key, Range<u64>)> {
        let index = self.parts.partition_point(|part| part.end <= offset);
        let part = self.parts.get(index)?;
        let begin = index
            .checked_sub(1)
            .map_or(0, |before| self.parts[before].end);
        let stop = part.end.min(end).min(offset + READ_BYTES);
        let key = layout::segment(&self.uid, &part.name);
        Some((key, offset - begin..stop - begin))
    }
}

/// A recording as one file. Its bytes are read when they are asked for, at most
/// [`READ_BYTES`] at once.
#[derive(Clone)]
pub struct Download {
    recording: Arc<Recording>,
    common: Arc<Common>,
    _turn: Arc<OwnedSemaphorePermit>,
    /// Bytes of the file.
    pub len: u64,
    /// Quoted strong entity tag.
    pub etag: String,
    /// When the recording was closed.
    pub modified: SystemTime,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("stream", &self.recording.uid)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Download {
    /// The bytes from `offset` on, some of those before `end`; none at the file's end.
    ///
    /// # Errors
    /// The recording was deleted meanwhile, or the store fails.
    pub async fn read(&self, offset: u64, end: u64) -> Result<Bytes, Missing> {
        let Some((key, range)) = self.recording.at(offset, end) else {
            return Ok(Bytes::new());
        };
        let wanted = range.end - range.start;
        let body = self.common.reads.part(&key, range).await?;
        match body.len() as u64 == wanted {
            true => Ok(body),
            // Another object than was listed: the file would be broken behind it.
            false => Err(Missing::Unavailable),
        }
    }
}

type Slot = Arc<OnceCell<Arc<Recording>>>;

/// Those that were asked for lately, and who downloads.
pub(super) struct Recordings {
    most: usize,
    held: Mutex<Held>,
    downloads: Arc<Semaphore>,
}

#[derive(Default)]
struct Held {
    slots: HashMap<StreamUid, (u64, Slot)>,
    uses: u64,
}

impl Recordings {
    /// `most`: `limits.recordings_open`; `downloads`: `limits.downloads`.
    pub(super) fn new(most: usize, downloads: usize) -> Self {
        Self {
            most: most.max(1),
            held: Mutex::default(),
            downloads: Arc::new(Semaphore::new(downloads)),
        }
    }

    // Nothing under the lock can panic, so a poisoned one is whole.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, uid: &StreamUid) -> Slot {
        let mut held = self.held();
        held.uses += 1;
        let uses = held.uses;
        if let Some((used, slot)) = held.slots.get_mut(uid) {
            *used = uses;
            return Arc::clone(slot);
        }
        while held.slots.len() >= self.most {
            let oldest = held.slots.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(uid, _)| uid.clone()) else {
                break;
            };
            held.slots.remove(&oldest);
        }
        let slot = Slot::default();
        held.slots.insert(uid.clone(), (uses, Arc::clone(&slot)));
        slot
    }

    /// The recording is not what it was.
    pub(super) fn forget(&self, uid: &StreamUid) {
        self.held().slots.remove(uid);
    }
}

impl Common {
    /// The closed recording of `uid`; loaded once, however many ask.
    pub(super) async fn recording(&self, uid: &StreamUid) -> Result<Arc<Recording>, Missing> {
        let found = self.db.stream_details(uid).await;
        let row = found.map_err(|_| Missing::Unavailable)?;
        let is_done = |row: &Arc<StreamDetails>| {
            row.status == Status::Finished && row.record && row.recorded == Some(Recorded::Done)
        };
        if !row.as_ref().is_some_and(is_done) {
            return Err(Missing::NotFound);
        }
        let slot = self.recordings.slot(uid);
        let loaded = slot.get_or_try_init(|| self.load(uid)).await;
        loaded.map(Arc::clone)
    }

    async fn load(&self, uid: &StreamUid) -> Result<Arc<Recording>, Missing> {
        let unavailable = |_| Missing::Unavailable;
        let row = self.db.stream(uid).await.map_err(unavailable)?;
        let target_duration_s = row.and_then(|row| row.counters.target_duration_s);
        let rows = self.db.segments(uid).await.map_err(unavailable)?;
        let (Some(target_duration_s), false) = (target_duration_s, rows.is_empty()) else {
            return Err(Missing::NotFound);
        };
        let key = layout::multivariant(uid);
        let (text, modified) = self.stored_playlist(&key).await?;
        let uid = uid.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let mut multivariant = Rendered::new(text);
            multivariant.modified = modified;
            Arc::new(Recording::new(uid, &rows, target_duration_s, multivariant))
        });
        loaded.await.map_err(|_| Missing::Unavailable)
    }

    /// A segment of a closed recording. It is not kept in memory: what is live needs that more.
    pub(super) async fn recorded_segment(
        &self,
        uid: &StreamUid,
        name: &SegmentName,
    ) -> Result<Served, Missing> {
        let recording = self.recording(uid).await?;
        if !recording.has(name) {
            return Err(Missing::NotFound);
        }
        let (body, modified) = self.reads.get(&layout::segment(uid, name)).await?;
        Ok(Served {
            len: body.len() as u64,
            body: Arc::new([body]),
            etag: layout::segment_tag(name),
            modified,
        })
    }

    /// A closed recording as one file.
    pub(super) async fn download(self: &Arc<Self>, uid: &StreamUid) -> Result<Download, Missing> {
        let recording = self.recording(uid).await?;
        let turns = Arc::clone(&self.recordings.downloads);
        let turn = turns
            .try_acquire_owned()
            .map_err(|_| Missing::Unavailable)?;
        Ok(Download {
            len: recording.len(),
            etag: format!("\"{}-ts\"", content_tag(&recording.snapshot.media.plain)),
            modified: recording.snapshot.media.modified,
            common: Arc::clone(self),
            recording,
            _turn: Arc::new(turn),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::name::SessionId;

    fn row(sequence: u64, bytes: u64) -> SegmentRow {
        SegmentRow {
            name: SegmentName {
                session: SessionId::parse("s").unwrap(),
                sequence,
            },
            duration_90k: 180_000,
            date: Duration::from_secs(sequence * 2),
            discontinuity: sequence == 5,
            discontinuities: 3 + u64::from(sequence > 5),
            independent: true,
            bytes,
        }
    }

    fn parsed(rows: &[SegmentRow]) -> m3u8_rs::MediaPlaylist {
        m3u8_rs::parse_media_playlist_res(&playlist(rows, 2)).unwrap()
    }

    #[test]
    fn a_hole_is_a_discontinuity_and_no_entry() {
        let rows = [row(4, 1), row(5, 1), row(8, 1), row(9, 1)];
        let list = parsed(&rows);
        assert_eq!((list.media_sequence, list.discontinuity_sequence), (4, 3));
        assert!(list.end_list && list.playlist_type == Some(m3u8_rs::MediaPlaylistType::Vod));
        let entries: Vec<_> = list
            .segments
            .iter()
            .map(|entry| (entry.uri.as_str(), entry.discontinuity))
            .collect();
        let expected = [
            ("s-4.ts", false),
            ("s-5.ts", true),
            ("s-8.ts", true),
            ("s-9.ts", false),
        ];
        assert_eq!(entries, expected);
        // Behind the DISCONTINUITY of 5 it begins with the count it had live.
        assert_eq!(parsed(&rows[2..]).discontinuity_sequence, 4);
    }

    #[test]
    fn every_byte_of_the_file_is_in_its_segment() {
        let rows = [row(0, 3), row(1, READ_BYTES + 2), row(2, 1)];
        let multivariant = Rendered::new(b"#EXTM3U\n".to_vec());
        let recording = Recording::new(StreamUid::random(), &rows, 2, multivariant);
        let len = recording.len();
        assert_eq!(len, READ_BYTES + 6);
        let at = |offset, end| {
            let (key, range) = recording.at(offset, end)?;
            let name = key.as_str().rsplit_once('/')?.1.to_owned();
            Some((name, range))
        };
        let part = |name: &str, range| Some((name.to_owned(), range));
        assert_eq!(at(0, len), part("s-0.ts", 0..3));
        assert_eq!(at(2, 3), part("s-0.ts", 2..3));
        assert_eq!(at(3, len), part("s-1.ts", 0..READ_BYTES));
        assert_eq!(
            at(3 + READ_BYTES, len),
            part("s-1.ts", READ_BYTES..READ_BYTES + 2)
        );
        assert_eq!(at(len - 1, len), part("s-2.ts", 0..1));
        assert_eq!(at(len, len), None);
    }

    #[tokio::test]
    async fn the_one_longest_unused_is_let_go() {
        let recordings = Recordings::new(2, 0);
        let uids: Vec<_> = (0..3).map(|_| StreamUid::random()).collect();
        recordings.slot(&uids[0]);
        recordings.slot(&uids[1]);
        recordings.slot(&uids[0]);
        recordings.slot(&uids[2]);
        let held = recordings.held();
        assert!(held.slots.len() == 2 && !held.slots.contains_key(&uids[1]));
    }
}
