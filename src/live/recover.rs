//! Going on after a restart: windows of streams that were live, from the store and the database,
//! so that numbers never go back (media rule 16). The only module that names m3u8_rs; it does not
//! know how the last process ended.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use segmenter::ts::continuity_behind;
use storage::{Key, Listed};

use super::{
    Inner, Missing, Rendered,
    closing::DEADLINES,
    layout,
    lifecycle::window_length,
    orphan, retold, stored,
    stream::{Common, Stream, wall},
    window::{Facts, Length, Restored, Window},
};
use crate::{
    config::Backend,
    db::{Counters, Recorded, SegmentRow, Status, StreamRow},
    error::{Error, Kind, Result},
    name::{SegmentName, StreamUid},
};

/// Added to the database's numbers when the store has nothing to compare them with: the newest
/// segments may have been listed before their number was saved.
const UNSAVED_SEGMENTS: u64 = 3;

/// How often a store that did not answer at the start is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Objects to ask for when only the answer counts: there are none below this.
const NOTHING: &str = "none";

/// A stream's segments in the store: length and time of each.
type Stored = HashMap<SegmentName, (u64, SystemTime)>;

/// Takes up every stream that the database says is live, and deletes what ended streams left.
pub(super) async fn recover(inner: &Arc<Inner>) -> Result<()> {
    let rows = inner.common.db.streams(None).await?;
    let mut objects = objects(inner).await?;
    let mut left: Vec<Key> = Vec::new();
    let in_memory = inner.common.config.storage.backend == Backend::Memory;
    for row in rows {
        let stored = objects.remove(&row.uid).unwrap_or_default();
        match row.status {
            Status::Live => take_up(inner, row, stored).await?,
            // It was killed while the window with the ENDLIST was shown.
            Status::Finished if row.record && row.recorded.is_none() => inner.close_later(row.uid),
            // What memory had is gone with the process.
            Status::Finished if row.recorded == Some(Recorded::Done) && in_memory => {
                let absent = inner.common.db.segments(&row.uid).await?;
                let absent = absent.iter().map(|segment| segment.name.sequence).collect();
                let closing = inner
                    .common
                    .db
                    .close_recording(&row.uid, Recorded::Failed, absent);
                closing.await?;
            }
            Status::Finished | Status::Cancel if !row.record && !stored.is_empty() => {
                left.extend(stored.keys().map(|name| layout::segment(&row.uid, name)));
                left.extend([layout::media(&row.uid), layout::multivariant(&row.uid)]);
            }
            _ => {}
        }
    }
    if let Err(error) = inner.common.store.delete(&left).await {
        tracing::warn!(%error, "segments of ended streams could not be deleted");
    }
    Ok(())
}

/// Every stored segment by stream. A store that does not answer ends the start when
/// `storage.required`; else the database's numbers have to do.
async fn objects(inner: &Arc<Inner>) -> Result<BTreeMap<StreamUid, Stored>> {
    let common = &inner.common;
    // A large bucket has a thousand names a page.
    let patience = common.config.limits.store_deadline * DEADLINES;
    let rows = match tokio::time::timeout(patience, common.store.list("")).await {
        Ok(Ok(rows)) => rows,
        failed => {
            let text = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => format!("not listed within {patience:?} (limits.store_deadline)"),
            };
            if common.config.storage.required {
                return Err(Error::new(
                    Kind::Unavailable,
                    format!("storage could not be read: {text}"),
                ));
            }
            tracing::error!(error = %text, "storage could not be read: windows are lost");
            common.health.failed(text, false);
            tokio::spawn(await_store(Arc::downgrade(inner)));
            Vec::new()
        }
    };
    let mut objects: BTreeMap<StreamUid, Stored> = BTreeMap::new();
    for Listed {
        key,
        size,
        modified,
    } in rows
    {
        if let Some((uid, name)) = layout::parse_segment(&key) {
            objects
                .entry(uid)
                .or_default()
                .insert(name, (size, modified));
        }
    }
    Ok(objects)
}

async fn take_up(inner: &Arc<Inner>, row: StreamRow, stored: Stored) -> Result<()> {
    let common = &inner.common;
    let rows = common.db.segments(&row.uid).await?;
    let known = rows.last().map(|last| last.name.sequence);
    let playlist = common.stored_playlist(&layout::media(&row.uid)).await;
    let parsed = playlist.ok().and_then(|(text, _)| parse(&text));
    let target_duration_s = row.counters.target_duration_s;
    let target_duration_s =
        target_duration_s.or(parsed.as_ref().map(|list| list.target_duration_s));
    let mut listed = history(rows, parsed, target_duration_s.unwrap_or(0));
    adopt(inner, &row.uid, &mut listed, &stored).await;
    let mut window = rebuild(
        window_length(&common.config),
        row.counters,
        &listed,
        &stored,
    );
    keep_fetchable(common, &row, &mut window, &stored);
    let (segments, counters) = (window.len(), window.counters());
    let next_sequence = counters.next_sequence;
    tracing::info!(stream = %row.uid, segments, next_sequence, "stream taken up");
    let stream = Stream::start(common, row.uid.clone(), row.record, window);
    {
        let mut ingest = stream.ingest.lock().await;
        for entry in &listed {
            let bytes = stored.get(&entry.name).map_or(0, |(len, _)| *len);
            let facts = entry.facts;
            ingest
                .rates
                .add(bytes, facts.duration_90k, facts.target_duration_s);
            ingest.independent &= facts.independent;
            if Some(entry.name.sequence) > known {
                stream.index.add(entry.row(bytes));
            }
        }
        stream.index.save(counters);
        if segments > 0 {
            let multivariant = common
                .stored_playlist(&layout::multivariant(&row.uid))
                .await;
            ingest.multivariant = multivariant
                .ok()
                .map(|(text, _)| Arc::new(Rendered::new(text)));
            if let Some(last) = listed.last()
                && let Some(ts) = text(inner, &layout::segment(&row.uid, &last.name)).await
            {
                let counters = continuity_behind(&ts);
                let end = retold::end_90k(&ts, last.facts.duration_90k);
                ingest
                    .air
                    .recall(retold::tracks(&ts), counters, end, common.now());
            }
            stream.publish(&mut ingest);
        }
    }
    inner
        .streams_mut()
        .insert(row.uid.clone(), Arc::clone(&stream));
    let mut ingest = stream.ingest.lock().await;
    match row.paused_at_ms {
        Some(at_ms) => {
            stream.stay_paused(&mut ingest, at_ms);
            stream.air(&mut ingest).await;
        }
        None => {
            stream.air(&mut ingest).await;
            stream.show(&ingest);
            stream.wait_for_return(&ingest, "server_lost");
        }
    }
    Ok(())
}

/// Rule 18 for what the old process had taken off the list: it says no more when.
fn keep_fetchable(common: &Common, row: &StreamRow, window: &mut Window, stored: &Stored) {
    let listed: HashSet<SegmentName> = window.names().cloned().collect();
    let target = Duration::from_secs(window.target_duration_s().into());
    let until = common.now() + window.duration() + 2 * target;
    let first = listed.iter().map(|name| name.sequence).min();
    // Of a recording so many as are listed; the others wait in the store for its end.
    let oldest = match (row.record, first) {
        (false, _) => 0,
        (true, Some(first)) => first.saturating_sub(listed.len() as u64),
        (true, None) => u64::MAX,
    };
    for (name, (len, modified)) in stored.iter().filter(|(name, _)| name.sequence >= oldest) {
        let is_listed = listed.contains(name);
        let id = (row.uid.clone(), name.clone());
        common.memory_mut().know(&id, *len, *modified, is_listed);
        if !is_listed {
            window.keep(name.clone(), until);
        }
    }
}

/// What was listed: the database's rows, and what the stored playlist has behind them, which was
/// listed just before the end.
fn history(
    rows: Vec<SegmentRow>,
    playlist: Option<Playlist>,
    target_duration_s: u32,
) -> Vec<Restored> {
    let known = rows.last().map(|last| last.name.sequence);
    let mut listed: Vec<Restored> = rows
        .into_iter()
        .map(|row| Restored::of(row, target_duration_s))
        .collect();
    let behind = playlist.into_iter().flat_map(|playlist| playlist.entries);
    listed.extend(behind.filter(|entry| Some(entry.name.sequence) > known));
    listed
}

/// Appends the segments that were stored after the last that is known to have been listed, if they
/// follow it one by one.
async fn adopt(inner: &Arc<Inner>, uid: &StreamUid, entries: &mut Vec<Restored>, stored: &Stored) {
    let Some(last) = entries.last().map(|entry| entry.name.clone()) else {
        return;
    };
    let next = last.sequence + 1;
    let mut names: Vec<_> = stored.keys().filter(|name| name.sequence >= next).collect();
    names.sort_by_key(|name| name.sequence);
    let in_order = names.iter().zip(next..).all(|(name, n)| name.sequence == n);
    if names.is_empty() || !in_order || names.len() as u64 > orphan::MOST {
        return;
    }
    let Some(last) = text(inner, &layout::segment(uid, &last)).await else {
        return;
    };
    let mut orphans = Vec::with_capacity(names.len());
    for name in names {
        let Some(body) = text(inner, &layout::segment(uid, name)).await else {
            return;
        };
        orphans.push((name.clone(), body));
    }
    let adopted = orphan::append(entries, &last, &orphans);
    tracing::info!(stream = %uid, segments = orphans.len(), adopted, "stored after the last playlist");
}

/// Asks until the store answers, so that its recovery shows before the next publisher comes.
async fn await_store(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(ASK_AGAIN).await;
        let Some(inner) = inner.upgrade() else { return };
        let common = &inner.common;
        let list = common.store.list(NOTHING);
        if let Ok(Ok(_)) = tokio::time::timeout(common.config.limits.store_deadline, list).await {
            tracing::info!("storage answers");
            common.health.well();
            return;
        }
    }
}

impl Common {
    /// A stored playlist, with links as they are served here, and when it was stored.
    pub(super) async fn stored_playlist(
        &self,
        key: &Key,
    ) -> Result<(Vec<u8>, SystemTime), Missing> {
        let base = layout::public_base(&self.config.storage);
        let (text, modified) = self.reads.get(key).await?;
        let text = stored::take_back(text.to_vec(), key.as_str(), &base);
        Ok((text, modified))
    }
}

async fn text(inner: &Arc<Inner>, key: &Key) -> Option<Vec<u8>> {
    let (body, _) = inner.common.reads.get(key).await.ok()?;
    Some(body.to_vec())
}

/// The window to go on with: the newest of what was listed that follow each other without a gap and
/// are in the store. They are taken only when they are the newest that viewers can have seen: a window
/// that ends before a segment that may have been listed would go back.
fn rebuild(length: Length, saved: Counters, listed: &[Restored], stored: &Stored) -> Window {
    let highest = stored.keys().map(|name| name.sequence + 1).max();
    let next_sequence = match highest {
        Some(highest) => highest.max(saved.next_sequence),
        None if saved.next_sequence > 0 => saved.next_sequence + UNSAVED_SEGMENTS,
        None => 0,
    };
    let mut saved = Counters {
        next_sequence,
        ..saved
    };
    let Some(last) = listed.last() else {
        return Window::new(length, saved);
    };
    let target_duration_s = last.facts.target_duration_s;
    let behind = last.discontinuities + u64::from(last.facts.discontinuity);
    saved.discontinuities = saved.discontinuities.max(behind);
    saved.target_duration_s = saved.target_duration_s.or(Some(target_duration_s));
    let mut tail = tail(listed, stored).to_vec();
    if let Some(first) = tail.first_mut() {
        // Once gone, INDEPENDENT-SEGMENTS is gone for good.
        first.facts.independent = listed.iter().all(|entry| entry.facts.independent);
    }
    let mut window = Window::restore(length, target_duration_s, &tail);
    if tail.is_empty() || window.counters().next_sequence < next_sequence {
        return Window::new(length, saved);
    }
    window.raise(saved);
    window
}

/// The newest of `listed` that are in the store and follow each other.
fn tail<'a>(listed: &'a [Restored], stored: &Stored) -> &'a [Restored] {
    let mut next = None;
    let rest = listed.iter().rposition(|entry| {
        let sequence = entry.name.sequence;
        let follows = next.is_none_or(|next| sequence + 1 == next);
        next = Some(sequence);
        !follows || !stored.contains_key(&entry.name)
    });
    &listed[rest.map_or(0, |at| at + 1)..]
}

/// A stored media playlist.
struct Playlist {
    target_duration_s: u32,
    entries: Vec<Restored>,
}

/// The entries of a stored playlist; `None` for one that is not ours.
fn parse(text: &[u8]) -> Option<Playlist> {
    let playlist = m3u8_rs::parse_media_playlist_res(text).ok()?;
    let target_duration_s = u32::try_from(playlist.target_duration).ok()?;
    let mut discontinuities = playlist.discontinuity_sequence;
    let mut date = wall();
    let mut entries = Vec::with_capacity(playlist.segments.len());
    for (segment, sequence) in playlist.segments.iter().zip(playlist.media_sequence..) {
        let name = SegmentName::parse(&segment.uri).filter(|name| name.sequence == sequence)?;
        let told = segment
            .program_date_time
            .and_then(|told| u64::try_from(told.timestamp_millis()).ok());
        date = told.map_or(date, Duration::from_millis);
        // Durations are written in decimal; 90 kHz ticks were their source.
        let duration_90k = (f64::from(segment.duration) * 90_000.0).round() as u64;
        entries.push(Restored {
            name,
            facts: Facts {
                duration_90k,
                discontinuity: segment.discontinuity,
                independent: playlist.independent_segments,
                target_duration_s,
            },
            date,
            discontinuities,
        });
        discontinuities += u64::from(segment.discontinuity);
        date += Duration::from_secs_f64(f64::from(segment.duration).max(0.0));
    }
    Some(Playlist {
        target_duration_s,
        entries,
    })
}

impl Restored {
    fn of(row: SegmentRow, target_duration_s: u32) -> Self {
        Self {
            name: row.name,
            facts: Facts {
                duration_90k: row.duration_90k,
                discontinuity: row.discontinuity,
                independent: row.independent,
                target_duration_s,
            },
            date: row.date,
            discontinuities: row.discontinuities,
        }
    }

    fn row(&self, bytes: u64) -> SegmentRow {
        SegmentRow {
            name: self.name.clone(),
            duration_90k: self.facts.duration_90k,
            date: self.date,
            discontinuity: self.facts.discontinuity,
            discontinuities: self.discontinuities,
            independent: self.facts.independent,
            bytes,
        }
    }
}
