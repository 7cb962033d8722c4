//! Pause, resume and eviction as the owner asks for them: the database first, then the stream. It
//! does not know what the slate looks like or when its segments are due.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    Inner, PauseRefusal, Refused, StreamNow,
    lifecycle::now_ms,
    stream::{Ingest, Stream},
};
use crate::{
    error::{Kind, Result},
    event::Change,
    name::StreamUid,
};

impl Inner {
    /// See [`super::Live::pause`]. In a task of its own: a caller that goes away in between leaves
    /// nothing half done.
    pub(super) async fn pause(&self, uid: &StreamUid) -> Result<(), PauseRefusal> {
        let stream = self.stream(uid).ok_or(PauseRefusal::NotLive)?;
        let paused = tokio::spawn(async move {
            let _turn = stream.turn.lock().await;
            if stream.now().ok_or(PauseRefusal::NotLive)?.paused {
                return Ok(());
            }
            let at_ms = now_ms();
            let db = &stream.common.db;
            saved(&stream, db.pause_stream(&stream.uid, at_ms).await)?;
            stream.pause(at_ms).await
        });
        paused.await.unwrap_or(Err(PauseRefusal::Unavailable))
    }

    /// See [`super::Live::resume`].
    pub(super) async fn resume(&self, uid: &StreamUid) -> Result<(), PauseRefusal> {
        let stream = self.stream(uid).ok_or(PauseRefusal::NotLive)?;
        let resumed = tokio::spawn(async move {
            let _turn = stream.turn.lock().await;
            if !stream.now().ok_or(PauseRefusal::NotLive)?.paused {
                return Ok(());
            }
            let db = &stream.common.db;
            saved(&stream, db.resume_stream(&stream.uid).await)?;
            stream.resume().await
        });
        resumed.await.unwrap_or(Err(PauseRefusal::Unavailable))
    }

    /// See [`super::Live::evict`]; the publisher is told `why`.
    pub(super) async fn evict(&self, uid: &StreamUid, why: Refused) {
        let Some(stream) = self.stream(uid) else {
            return;
        };
        let evicted = tokio::spawn(async move {
            let generation = stream.ingest.lock().await.generation;
            stream.lose(generation, Some(why)).await;
        });
        let _ = evicted.await;
    }
}

fn saved(stream: &Stream, outcome: Result<bool>) -> Result<(), PauseRefusal> {
    match outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err(PauseRefusal::NotLive),
        Err(error) if error.kind == Kind::NotFound => Err(PauseRefusal::NotLive),
        Err(error) => {
            tracing::error!(stream = %stream.uid, %error, "a pause could not be saved");
            Err(PauseRefusal::Unavailable)
        }
    }
}

impl Stream {
    async fn pause(self: &Arc<Self>, at_ms: i64) -> Result<(), PauseRefusal> {
        let mut ingest = self.ingest.lock().await;
        if ingest.ended.is_some() {
            return Err(PauseRefusal::NotLive);
        }
        ingest.absence += 1;
        self.stay_paused(&mut ingest, at_ms);
        self.air(&mut ingest).await;
        tracing::info!(stream = %self.uid, "paused");
        self.common.tell(&self.uid, Change::Paused);
        Ok(())
    }

    /// Shows the slate since `at_ms`, at most for `slate.max_pause` in all.
    pub(super) fn stay_paused(self: &Arc<Self>, ingest: &mut Ingest, at_ms: i64) {
        ingest.paused_at_ms = Some(at_ms);
        ingest.air.pause(self.common.now());
        self.show(ingest);
        let gone = u64::try_from(now_ms().saturating_sub(at_ms)).unwrap_or(0);
        let longest = self.common.config.slate.max_pause;
        let left = longest.saturating_sub(Duration::from_millis(gone));
        let stream = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(left).await;
            let Some(stream) = stream.upgrade() else {
                return;
            };
            let mut ingest = stream.ingest.lock().await;
            if ingest.paused_at_ms == Some(at_ms) {
                stream.expire(&mut ingest, "max_pause").await;
            }
        });
    }

    async fn resume(self: &Arc<Self>) -> Result<(), PauseRefusal> {
        let mut ingest = self.ingest.lock().await;
        if ingest.ended.is_some() {
            return Err(PauseRefusal::NotLive);
        }
        ingest.air.resume(self.common.now());
        ingest.paused_at_ms = None;
        ingest.absence += 1;
        self.show(&ingest);
        tracing::info!(stream = %self.uid, "resumed");
        self.common.tell(&self.uid, Change::Resumed);
        if ingest.session.is_none() {
            self.common.tell(&self.uid, Change::Reconnecting);
            self.wait_for_return(&ingest, "publisher_lost");
        }
        Ok(())
    }

    /// Makes the stream's state readable without its lock.
    pub(super) fn show(&self, ingest: &Ingest) {
        let publishing = ingest.session.is_some();
        let paused = ingest.paused_at_ms.is_some();
        let now = ingest.ended.is_none().then(|| StreamNow {
            publishing,
            paused,
            paused_at_ms: ingest.paused_at_ms,
            reconnecting: !paused && (!publishing || ingest.air.is_waiting()),
            ..StreamNow::default()
        });
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// What it does now; `None` once it has ended.
    pub(super) fn now(&self) -> Option<StreamNow> {
        let state = *self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.map(|state| {
            let snapshot = self.snapshot.borrow();
            let target_s = snapshot.as_ref().map(|snapshot| snapshot.target_duration_s);
            let span = Duration::from_secs(2 * u64::from(target_s.unwrap_or(0)));
            StreamNow {
                playable: target_s.is_some(),
                viewers: self.audience.count(span),
                ..state
            }
        })
    }
}
