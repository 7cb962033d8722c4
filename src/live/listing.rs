//! From what is on the air to what is listed: each segment named, kept for viewers, stored, listed in
//! its turn and at its time. It does not know where segments come from.

use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use segmenter::{Notice, Segment};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::{
    layout,
    memory::Id,
    meters,
    onair::{Aired, Piece},
    stream::{Ingest, Stream, wall},
    window::Facts,
};
use crate::{
    config::Backend,
    db::SegmentRow,
    event::Change,
    name::{SegmentName, SessionId},
};

/// Segments that may wait for their time; when an encoder sends faster than time, more are listed.
const WAITING: usize = 4;

/// A finished segment on its way to the list. It survives a push that is given up.
pub(super) struct Pending {
    piece: Piece,
    session: SessionId,
    /// Once the archive has it.
    stored: Option<oneshot::Receiver<()>>,
}

impl Stream {
    /// Takes what is on the air by now.
    pub(super) fn collect(&self, ingest: &mut Ingest) {
        while let Some(aired) = ingest.air.poll() {
            let session = ingest.session.as_ref().map_or(&ingest.slate, |one| &one.id);
            match aired {
                Aired::Tracks(tracks) => {
                    tracing::info!(stream = %self.uid, session = session.as_str(), "sends {tracks}");
                }
                Aired::Notice(notice) => self.notice(session, &notice),
                Aired::Silent => {
                    tracing::warn!(stream = %self.uid, session = session.as_str(),
                        "nothing comes from the encoder: slate until it does");
                    self.common.gauges.silent(&self.uid);
                    self.show(ingest);
                    self.common.tell(&self.uid, Change::Reconnecting);
                }
                Aired::Returned => {
                    tracing::info!(stream = %self.uid, session = session.as_str(), "media is back");
                    self.show(ingest);
                    self.common.tell(&self.uid, Change::Live);
                }
                Aired::CardInstead(reason) => {
                    tracing::warn!(stream = %self.uid, reason, "the slate is the built-in card");
                }
                Aired::Piece(piece) => {
                    let session = if piece.slate { &ingest.slate } else { session };
                    ingest.pending.push_back(Pending {
                        session: session.clone(),
                        piece: *piece,
                        stored: None,
                    });
                }
            }
        }
    }

    fn notice(&self, session: &SessionId, notice: &Notice) {
        let (stream, session) = (&self.uid, session.as_str());
        match notice {
            Notice::Dropped { reason } => {
                meters::dropped_tag(reason);
                tracing::debug!(%stream, session, reason, "media dropped");
            }
            Notice::Clamped { by_ms } => {
                tracing::debug!(%stream, session, by_ms, "timestamp went back");
            }
            Notice::CutWithoutIdr { length_ms } => {
                meters::cut_without_idr();
                tracing::warn!(%stream, session, length_ms,
                    "no keyframe came in time: set the encoder's keyframe interval to hls.target_duration or less");
            }
            Notice::Jump { by_ms } => {
                self.common.gauges.jumped(&self.uid);
                tracing::warn!(%stream, session, by_ms, "timestamps jumped");
            }
            Notice::ParametersChanged | Notice::TrackAdded => {
                tracing::info!(%stream, session, ?notice, "the encoder changed its output");
            }
        }
    }

    /// Lists what [`Stream::collect`] took and may be listed `by` then, in order, each once the
    /// disk has it or `storage.list_deadline` is over; viewers see all of it at once. Given up in
    /// between it goes on where it was.
    pub(super) async fn list_pending(self: &Arc<Self>, ingest: &mut Ingest, by: Duration) {
        loop {
            let late = ingest.pending.len() > WAITING;
            let due = |next: &&mut Pending| late || next.piece.not_before <= by;
            let Some(next) = ingest.pending.front_mut().filter(due) else {
                break;
            };
            let stored = next.stored.get_or_insert_with(|| {
                self.keep(&ingest.window.next_name(&next.session), &next.piece.segment)
            });
            let storage = &self.common.config.storage;
            let deadline = storage.list_deadline;
            // A bucket is too far away for live to wait for it.
            let waits = storage.backend != Backend::S3;
            if waits && !matches!(tokio::time::timeout(deadline, stored).await, Ok(Ok(()))) {
                meters::unprotected();
                tracing::debug!(stream = %self.uid, "segment listed before storage had it");
            }
            if let Some(next) = ingest.pending.pop_front() {
                self.list(ingest, &next);
            }
        }
        if std::mem::take(&mut ingest.unpublished) {
            self.publish(ingest);
            ingest.air.listed(self.common.now());
            self.index.save(ingest.window.counters());
        }
        self.schedule(ingest);
    }

    /// Everything that is due by now.
    pub(super) async fn air(self: &Arc<Self>, ingest: &mut Ingest) {
        self.collect(ingest);
        let now = self.common.now();
        self.list_pending(ingest, now).await;
    }

    /// The slate's next segment, and what had to wait.
    async fn tick(self: &Arc<Self>) {
        let mut ingest = self.ingest.lock().await;
        let now = self.common.now();
        if !self.common.is_draining() {
            ingest.air.tick(now);
        }
        self.collect(&mut ingest);
        self.list_pending(&mut ingest, now).await;
    }

    fn schedule(&self, ingest: &mut Ingest) {
        let waiting = ingest.pending.front().map(|next| next.piece.not_before);
        let slate = ingest.air.due().filter(|_| !self.common.is_draining());
        let due = slate.into_iter().chain(waiting).min();
        // Each tag may put it off: then it is looked at again when the time told comes.
        let soon_enough = ingest
            .told_due
            .zip(due)
            .is_some_and(|(told, due)| told <= due && self.common.now() < told);
        if ingest.told_due != due && !soon_enough {
            ingest.told_due = due;
            self.due.send_replace(due);
        }
    }

    /// Makes a segment fetchable and queues it for the store.
    fn keep(&self, name: &SegmentName, segment: &Segment) -> oneshot::Receiver<()> {
        let body: Arc<[Bytes]> = segment.body.as_slice().into();
        let modified = SystemTime::now();
        let gone = {
            let mut memory = self.common.memory_mut();
            memory.admit(&self.id(name), Arc::clone(&body), modified)
        };
        self.archive.delete(layout::keys(&gone));
        let key = layout::segment(&self.uid, name);
        self.archive
            .segment(name.clone(), key, body, layout::SEGMENT)
    }

    fn list(self: &Arc<Self>, ingest: &mut Ingest, next: &Pending) {
        let segment = &next.piece.segment;
        let facts = Facts {
            duration_90k: segment.duration_90k,
            discontinuity: segment.discontinuity,
            independent: segment.independent,
            target_duration_s: segment.target_duration_s,
        };
        let name = ingest.window.next_name(&next.session);
        let discontinuities = ingest.window.counters().discontinuities;
        let now = self.common.now();
        let left = ingest.window.push(&next.session, facts, now, wall());
        ingest.unpublished = true;
        self.unlist(&left);
        let bytes = segment.len as u64;
        self.index.add(SegmentRow {
            name: name.clone(),
            duration_90k: segment.duration_90k,
            date: ingest.window.newest_date(),
            discontinuity: segment.discontinuity,
            discontinuities,
            independent: segment.independent,
            bytes,
        });
        ingest
            .rates
            .add(bytes, segment.duration_90k, segment.target_duration_s);
        ingest.independent &= segment.independent;
        meters::segment(bytes);
        tracing::debug!(stream = %self.uid, session = next.session.as_str(), segment = %name, bytes,
            discontinuity = segment.discontinuity, slate = next.piece.slate, "segment listed");
        if next.piece.slate {
            // While what came before it can still be had.
            self.take_picture();
        } else {
            // Not when it is the last of a session that is over or silent.
            let session = ingest.session.as_ref().map(|session| &session.id);
            if session == Some(&next.session) && !ingest.air.is_waiting() {
                let tracks = ingest.air.tracks();
                self.common.gauges.set(&self.uid, segment, tracks);
            }
            self.see(segment, &name, ingest.air.tracks());
        }
    }

    /// Notes that `left` are listed no more.
    pub(super) fn unlist(&self, left: &[SegmentName]) {
        let (gone, bytes) = {
            let mut memory = self.common.memory_mut();
            let gone: Vec<Id> = left
                .iter()
                .flat_map(|name| memory.unlisted(&self.id(name)))
                .collect();
            (gone, memory.bytes())
        };
        meters::memory(bytes);
        self.archive.delete(layout::keys(&gone));
    }
}

/// Calls [`Stream::tick`] whenever it is due, while the stream is there.
pub(super) async fn keep_ticking(
    stream: Weak<Stream>,
    origin: Instant,
    mut due: watch::Receiver<Option<Duration>>,
) {
    loop {
        let next = *due.borrow_and_update();
        let wait = async {
            match next {
                Some(at) => tokio::time::sleep_until(origin + at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = due.changed() => if changed.is_err() {
                return;
            },
            () = wait => {
                let Some(stream) = stream.upgrade() else { return };
                stream.tick().await;
            }
        }
    }
}
