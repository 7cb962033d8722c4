//! Going on after a restart: windows of streams that were live, from the store and the database,
//! so that numbers never go back (media rule 16). The only module that names m3u8_rs; it does not
//! know how the last process ended.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use storage::{Key, Listed};

use super::{
    Inner, Rendered, layout,
    lifecycle::window_length,
    orphan, retold, stored,
    stream::{Stream, wall},
    window::{Facts, Length, Restored, Window},
};
use crate::{
    db::{Counters, Status, StreamRow},
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
    for row in rows {
        let stored = objects.remove(&row.uid).unwrap_or_default();
        match row.status {
            Status::Live => take_up(inner, row, stored).await,
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
    let list = common.store.list("");
    let rows = match tokio::time::timeout(common.config.limits.store_deadline, list).await {
        Ok(Ok(rows)) => rows,
        failed => {
            let text = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => "no answer within limits.store_deadline".into(),
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

async fn take_up(inner: &Arc<Inner>, row: StreamRow, stored: Stored) {
    let common = &inner.common;
    let length = window_length(&common.config);
    let playlist = stored_playlist(inner, &layout::media(&row.uid)).await;
    let mut parsed = playlist.and_then(|text| parse(&text, &stored));
    if let Some((first, entries)) = &mut parsed {
        adopt(inner, &row.uid, first.next_sequence, entries, &stored).await;
    }
    let (mut window, entries) = rebuild(length, row.counters, parsed, &stored);
    let listed: Vec<SegmentName> = window.names().cloned().collect();
    let target = Duration::from_secs(window.target_duration_s().into());
    // Rule 18 for what the old process had taken off the list: it says no more when.
    let until = common.now() + window.duration() + 2 * target;
    for (name, (len, modified)) in &stored {
        let is_listed = listed.contains(name);
        if is_listed || !row.record {
            let id = (row.uid.clone(), name.clone());
            let mut memory = common.memory_mut();
            memory.know(&id, *len, *modified, is_listed);
        }
        if !is_listed && !row.record {
            window.keep(name.clone(), until);
        }
    }
    let next = window.counters().next_sequence;
    tracing::info!(stream = %row.uid, segments = listed.len(), next_sequence = next, "stream taken up");
    let stream = Stream::start(common, row.uid.clone(), row.record, window);
    {
        let mut ingest = stream.ingest.lock().await;
        for entry in &entries {
            let bytes = stored.get(&entry.name).map_or(0, |(len, _)| *len);
            let facts = entry.facts;
            ingest
                .rates
                .add(bytes, facts.duration_90k, facts.target_duration_s);
        }
        if !listed.is_empty() {
            let multivariant = stored_playlist(inner, &layout::multivariant(&row.uid)).await;
            ingest.multivariant = multivariant.map(Rendered::new);
            if let Some(last) = listed.last() {
                let last = text(inner, &layout::segment(&row.uid, last)).await;
                if let Some(tracks) = last.and_then(|ts| retold::tracks(&ts)) {
                    ingest.air.recall(tracks, common.now());
                }
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
}

/// Appends the segments that were stored after the playlist was, if they follow it one by one.
async fn adopt(
    inner: &Arc<Inner>,
    uid: &StreamUid,
    first_sequence: u64,
    entries: &mut Vec<Restored>,
    stored: &Stored,
) {
    let Some(last) = entries.last().map(|entry| entry.name.clone()) else {
        return;
    };
    let next = first_sequence + entries.len() as u64;
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

/// A stored playlist, with links as they are served here.
async fn stored_playlist(inner: &Arc<Inner>, key: &Key) -> Option<Vec<u8>> {
    let base = layout::public_base(&inner.common.config.storage);
    let text = text(inner, key).await?;
    Some(stored::take_back(text, key.as_str(), &base))
}

async fn text(inner: &Arc<Inner>, key: &Key) -> Option<Vec<u8>> {
    let (body, _) = inner.common.reads.get(key).await.ok()?;
    Some(body.to_vec())
}

/// The window to go on with. A stored playlist is taken only when it is the newest that viewers
/// can have seen: one that ends before a segment that may have been listed would go back.
fn rebuild(
    length: Length,
    saved: Counters,
    playlist: Option<(Counters, Vec<Restored>)>,
    stored: &Stored,
) -> (Window, Vec<Restored>) {
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
    if let Some((first, entries)) = playlist {
        let mut window = Window::restore(length, first, &entries);
        let own = window.counters();
        if own.next_sequence >= next_sequence {
            window.raise(saved);
            return (window, entries);
        }
        saved.discontinuities = saved.discontinuities.max(own.discontinuities);
        saved.target_duration_s = saved.target_duration_s.or(own.target_duration_s);
    }
    (Window::new(length, saved), Vec::new())
}

/// The entries of a stored playlist and the numbers of the first; entries up to one that is not in
/// the store are left out. `None` for a playlist that is not ours, or without a segment left.
fn parse(text: &[u8], stored: &Stored) -> Option<(Counters, Vec<Restored>)> {
    let playlist = m3u8_rs::parse_media_playlist_res(text).ok()?;
    let target_duration_s = u32::try_from(playlist.target_duration).ok()?;
    let mut first = Counters {
        next_sequence: playlist.media_sequence,
        discontinuities: playlist.discontinuity_sequence,
        target_duration_s: Some(target_duration_s),
    };
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
        });
        date += Duration::from_secs_f64(f64::from(segment.duration).max(0.0));
    }
    let gap = entries
        .iter()
        .rposition(|entry| !stored.contains_key(&entry.name));
    for lost in entries.drain(..gap.map_or(0, |at| at + 1)) {
        first.next_sequence += 1;
        first.discontinuities += u64::from(lost.facts.discontinuity);
    }
    (!entries.is_empty()).then_some((first, entries))
}
