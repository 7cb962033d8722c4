//! From claim to end: who publishes, how long an absent publisher is waited for, and what becomes
//! of an ended stream. It does not know what segments contain.

use std::{
    sync::{Arc, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Inner, Peer, Publisher, Refused, layout, meters,
    stream::{Ingest, Session, Stream, wall},
    window::{Length, Window},
};
use crate::{
    config::{Config, OnSecondPublisher},
    db::{PublishFacts, Status},
    event::Change,
    name::{SessionId, StreamUid},
};

/// How often expired segments are looked for, and the database for changes by others.
const TICK: Duration = Duration::from_secs(1);

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    i64::try_from(wall().as_millis()).unwrap_or(i64::MAX)
}

/// The configured window.
pub(super) fn window_length(config: &Config) -> Length {
    Length {
        segments: config.hls.window_segments,
        dvr: config.hls.dvr_window,
    }
}

impl Inner {
    /// Claims `uid` for a publisher (media rule 26). In a task of its own: a newcomer that goes
    /// away in between leaves neither a session half closed nor a stream live without its grace.
    pub(super) async fn claim(
        self: &Arc<Self>,
        uid: &StreamUid,
        peer: Peer,
    ) -> Result<Publisher, Refused> {
        let (inner, uid) = (Arc::clone(self), uid.clone());
        let claimed = tokio::spawn(async move {
            let stream = inner.stream_for(&uid).await?;
            let publisher = Arc::clone(&stream).admit(peer).await?;
            stream.note_key().await;
            Ok(publisher)
        });
        claimed.await.unwrap_or(Err(Refused::Unavailable))
    }

    /// The stream, marked live in the database and taken into the registry if it was not.
    async fn stream_for(&self, uid: &StreamUid) -> Result<Arc<Stream>, Refused> {
        if self.common.is_draining() {
            return Err(Refused::Restarting);
        }
        let unavailable = |error| {
            tracing::error!(stream = %uid, %error, "database failed");
            Refused::Unavailable
        };
        let db = &self.common.db;
        let row = db.stream(uid).await.map_err(unavailable)?;
        let row = row.ok_or(Refused::Ended)?;
        if matches!(row.status, Status::Finished | Status::Cancel) {
            return Err(Refused::Ended);
        }
        let known = self.stream(uid);
        if known.is_none() {
            self.room()?;
            self.store_has_room().await?;
        }
        if !db.mark_live(uid, now_ms()).await.map_err(unavailable)? {
            return Err(Refused::Ended);
        }
        if let Some(stream) = known {
            return Ok(stream);
        }
        let window = Window::new(window_length(&self.common.config), row.counters);
        let made = Stream::start(&self.common, uid.clone(), row.record, window);
        let mut streams = self.streams_mut();
        let stream = Arc::clone(streams.entry(uid.clone()).or_insert(made));
        meters::streams(streams.len());
        Ok(stream)
    }

    /// Is there room for one stream more?
    fn room(&self) -> Result<(), Refused> {
        if self.streams().len() >= self.common.config.limits.live_streams {
            return Err(Refused::Full("limits.live_streams are live".into()));
        }
        if self.common.memory().is_full(1) {
            return Err(Refused::Full("limits.memory_budget is used up".into()));
        }
        Ok(())
    }

    /// Ends a stream; nothing when it had ended.
    pub(super) async fn stop(
        self: &Arc<Self>,
        uid: &StreamUid,
        reason: &'static str,
    ) -> crate::error::Result<()> {
        let stream = self.stream(uid);
        self.common.db.finish_stream(uid, reason, now_ms()).await?;
        match stream {
            Some(stream) => stream.end_now(reason).await,
            None => self.close_later(uid.clone()),
        }
        Ok(())
    }

    /// Restart: see [`super::Live::drain`].
    pub(super) async fn drain(&self) {
        use std::sync::atomic::Ordering;
        self.common.draining.store(true, Ordering::Release);
        let mut closing = tokio::task::JoinSet::new();
        for stream in self.all() {
            closing.spawn(async move { stream.drain().await });
        }
        while closing.join_next().await.is_some() {}
    }

    /// Lets go what nobody may fetch any more.
    async fn sweep(&self) {
        for stream in self.all() {
            // A stream whose segment is being listed is looked at the next time.
            let over = match stream.ingest.try_lock() {
                Ok(mut ingest) => stream.sweep(&mut ingest),
                Err(_) => false,
            };
            if over {
                let mut streams = self.streams_mut();
                streams.remove(&stream.uid);
                meters::streams(streams.len());
            }
        }
        meters::memory(self.common.memory().bytes());
    }

    /// Applies what another process did to streams that are live here.
    pub(super) async fn follow_database(&self) {
        // The first look is at every stream: what happened before it had no version to compare.
        let mut seen = None;
        loop {
            tokio::time::sleep(TICK).await;
            let version = match self.common.db.data_version().await {
                Ok(version) => Some(version),
                Err(error) => {
                    tracing::warn!(%error, "database could not be watched");
                    continue;
                }
            };
            if version == seen {
                continue;
            }
            seen = version;
            for stream in self.all() {
                match self.common.db.publish_facts(&stream.uid).await {
                    Ok(Some(now)) if matches!(now.status, Status::Finished | Status::Cancel) => {
                        stream.end_now("stopped").await;
                    }
                    Ok(Some(now)) if now.banned => {
                        self.evict(&stream.uid, Refused::Banned).await;
                    }
                    Ok(Some(now)) if stream.has_other_key(&now) => {
                        self.evict(&stream.uid, Refused::KeyChanged).await;
                    }
                    Ok(_) => {}
                    // Looked at again with the next change or second.
                    Err(_) => seen = None,
                }
            }
        }
    }
}

/// Sweeps until the registry is gone.
pub(super) async fn keep_swept(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.sweep().await;
    }
}

impl Stream {
    /// Remembers what the stream's key is while this publisher begins, so that a change of it by
    /// another process is seen. Whoever asked for the claim asks after it whether the key is still
    /// good: between the two no change goes unnoticed.
    async fn note_key(&self) {
        let facts = self.common.db.publish_facts(&self.uid).await;
        *self.claimed() = facts.ok().flatten();
    }

    /// Whether the stream has another key than when its last publisher began.
    fn has_other_key(&self, now: &PublishFacts) -> bool {
        self.claimed().is_some_and(|claimed| claimed.key != now.key)
    }

    fn claimed(&self) -> MutexGuard<'_, Option<PublishFacts>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants the claim, putting out who has it.
    async fn admit(self: &Arc<Self>, peer: Peer) -> Result<Publisher, Refused> {
        let mut ingest = self.ingest.lock().await;
        if ingest.ended.is_some() {
            return Err(Refused::Ended);
        }
        if self.common.is_draining() {
            return Err(Refused::Restarting);
        }
        self.take_over(&mut ingest, peer).await?;
        Ok(self.begin(&mut ingest, peer))
    }

    async fn take_over(self: &Arc<Self>, ingest: &mut Ingest, peer: Peer) -> Result<(), Refused> {
        let Some(holder) = ingest.session.as_ref().map(|session| session.peer) else {
            return Ok(());
        };
        if self.common.config.rtmp.on_second_publisher == OnSecondPublisher::Reject {
            return Err(Refused::Busy);
        }
        if let Err(wait) = ingest.takeovers.attempt(self.common.now()) {
            tracing::warn!(stream = %self.uid, connection = peer.connection,
                holder = %holder.address, newcomer = %peer.address,
                "two encoders are taking this stream from each other");
            let retry_after_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            return Err(Refused::TakeoverLimit { retry_after_s });
        }
        tracing::info!(stream = %self.uid, connection = peer.connection, holder = %holder.address,
            newcomer = %peer.address, "takeover");
        self.close(ingest, Some(Refused::Replaced)).await;
        Ok(())
    }

    fn begin(self: &Arc<Self>, ingest: &mut Ingest, peer: Peer) -> Publisher {
        ingest.generation += 1;
        ingest.absence += 1;
        let id = SessionId::random();
        let (evict, evicted) = watch::channel(None);
        ingest.session = Some(Session {
            id: id.clone(),
            peer,
            evict,
        });
        ingest.air.publish();
        self.show(ingest);
        tracing::info!(stream = %self.uid, session = id.as_str(), connection = peer.connection,
            address = %peer.address, "publishing");
        self.common.tell(&self.uid, Change::Live);
        Publisher::new(Arc::clone(self), ingest.generation, id, evicted)
    }

    /// The publisher of `generation` is gone.
    pub(super) async fn lost(self: &Arc<Self>, generation: u64) {
        self.lose(generation, None).await;
    }

    /// Ends the session of `generation`, telling its publisher `reason`; the grace starts, unless
    /// the stream is paused (media rule 24).
    pub(super) async fn lose(self: &Arc<Self>, generation: u64, reason: Option<Refused>) {
        let mut ingest = self.ingest.lock().await;
        if ingest.generation != generation || ingest.session.is_none() {
            return;
        }
        self.close(&mut ingest, reason).await;
        ingest.absence += 1;
        self.show(&ingest);
        if ingest.paused_at_ms.is_none() {
            self.common.tell(&self.uid, Change::Reconnecting);
            self.wait_for_return(&ingest, "publisher_lost");
        }
    }

    /// Ends the stream unless a publisher comes, or a pause, within `hls.reconnect_grace`.
    pub(super) fn wait_for_return(self: &Arc<Self>, ingest: &Ingest, reason: &'static str) {
        let (stream, absence) = (Arc::downgrade(self), ingest.absence);
        let grace = self.common.config.hls.reconnect_grace;
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            let Some(stream) = stream.upgrade() else {
                return;
            };
            let mut ingest = stream.ingest.lock().await;
            if ingest.absence == absence {
                stream.expire(&mut ingest, reason).await;
            }
        });
    }

    /// Ends the stream because time is over.
    pub(super) async fn expire(self: &Arc<Self>, ingest: &mut Ingest, reason: &'static str) {
        if ingest.ended.is_some() || self.common.is_draining() {
            return;
        }
        let db = &self.common.db;
        if let Err(error) = db.finish_stream(&self.uid, reason, now_ms()).await {
            tracing::error!(stream = %self.uid, %error, "the stream's end could not be saved");
        }
        self.end(ingest, reason).await;
    }

    /// Ends the stream here, in a task of its own.
    pub(super) async fn end_now(self: &Arc<Self>, reason: &'static str) {
        let stream = Arc::clone(self);
        let ended = tokio::spawn(async move {
            let mut ingest = stream.ingest.lock().await;
            if ingest.ended.is_none() {
                stream.end(&mut ingest, reason).await;
            }
        });
        let _ = ended.await;
    }

    async fn end(self: &Arc<Self>, ingest: &mut Ingest, reason: &'static str) {
        self.go_off(ingest, Refused::Ended).await;
        ingest.generation += 1;
        ingest.absence += 1;
        ingest.paused_at_ms = None;
        ingest.ended = Some(self.common.now());
        self.show(ingest);
        ingest.window.end();
        self.index.hurry();
        self.publish(ingest);
        // What is kept of it is its end.
        self.take_picture();
        tracing::info!(stream = %self.uid, reason, "stream finished");
        self.common.tell(&self.uid, Change::Finished);
    }

    async fn drain(self: Arc<Self>) {
        let counters = {
            let mut ingest = self.ingest.lock().await;
            self.go_off(&mut ingest, Refused::Restarting).await;
            ingest.window.counters()
        };
        self.renderings.idle().await;
        self.archive.idle().await;
        self.index.save(counters);
        self.index.settle().await;
    }

    /// Forgets what nobody may fetch any more; true when that is everything.
    fn sweep(self: &Arc<Self>, ingest: &mut Ingest) -> bool {
        let now = self.common.now();
        if let Some(ended) = ingest.ended.filter(|_| !ingest.retired) {
            let target = Duration::from_secs(ingest.window.target_duration_s().into());
            let time_is_over =
                now >= ended + self.common.config.limits.ended_window.max(3 * target);
            if time_is_over && self.record {
                if !std::mem::replace(&mut ingest.closing, true) {
                    self.close_recording();
                }
            } else if time_is_over {
                ingest.retired = true;
                let left = ingest.window.retire(now);
                self.unlist(&left);
                self.show_nothing();
                let playlists = [layout::media(&self.uid), layout::multivariant(&self.uid)];
                self.archive.delete(playlists.into());
            }
        }
        let over = ingest.window.expire(now);
        {
            let mut memory = self.common.memory_mut();
            for name in &over {
                memory.remove(&self.id(name));
            }
        }
        let is_over = ingest.retired && ingest.window.is_over();
        if !self.record {
            let keys = over.iter().map(|name| layout::segment(&self.uid, name));
            self.archive.delete(keys.collect());
            if is_over {
                self.index.forget_below(u64::MAX);
            } else if !over.is_empty() {
                self.index.forget_below(ingest.window.oldest());
            }
        }
        is_over
    }
}
