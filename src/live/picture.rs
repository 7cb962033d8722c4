//! When a stream's thumbnail is made: with its first segment, and from then on when somebody asks for it, or a
//! slate begins, and the one there is is older than `thumbnail.interval`: what nobody looks at costs nothing. It
//! does not know how a picture is decoded (`thumbnail`).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use segmenter::{Segment, Tracks, VideoTrack};
use tokio::sync::{Notify, oneshot};

use super::{Served, layout, retold, stream::Stream, thumbnail};
use crate::{
    error::{Error, Kind, Result},
    name::SegmentName,
};

/// What a picture is made of.
#[derive(Clone, Debug)]
enum Source {
    /// Its first key frame.
    Segment(SegmentName),
    /// There is nothing to decode, or too much.
    Card,
}

struct Job {
    /// In Annex B; `None` is the card.
    key_frame: Option<Vec<u8>>,
    made: oneshot::Sender<Vec<u8>>,
}

/// The one thread that makes pictures, so that decoding does not take the processors from ingest, and its
/// memory is there once.
pub(super) struct Studio {
    jobs: mpsc::SyncSender<Job>,
}

impl Studio {
    /// With so many streams, each of which wants one picture at once.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn open(streams: usize) -> Result<Self> {
        let (jobs, queue) = mpsc::sync_channel(streams);
        let started = thread::Builder::new()
            .name("thumbnails".into())
            .spawn(move || work(&queue));
        started.map_err(|error| Error::with(Kind::Unavailable, "cannot start a thread", error))?;
        Ok(Self { jobs })
    }

    /// The picture as JPEG; `None` when too many wait.
    async fn make(&self, key_frame: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let (made, waits) = oneshot::channel();
        self.jobs.try_send(Job { key_frame, made }).ok()?;
        waits.await.ok()
    }
}

/// Until nobody is there any more to ask.
fn work(queue: &mpsc::Receiver<Job>) {
    while let Ok(Job { key_frame, made }) = queue.recv() {
        let picture = || match &key_frame {
            Some(key_frame) => thumbnail::picture(key_frame),
            None => thumbnail::card(),
        };
        let jpeg = catch_unwind(AssertUnwindSafe(picture)).unwrap_or_else(|_| thumbnail::card());
        let _ = made.send(jpeg);
    }
}

#[derive(Default)]
struct State {
    shown: Option<Served>,
    /// When its making began, since the process's origin.
    made_at: Option<Duration>,
    /// What is newer than that.
    newer: Option<Source>,
    making: bool,
}

/// One stream's picture.
#[derive(Default)]
pub(super) struct Picture {
    state: Mutex<State>,
    idle: Notify,
}

impl Picture {
    // Nothing under the lock can panic, so a poisoned one is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when none is being made.
    async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if !self.state().making {
                return;
            }
            idle.await;
        }
    }

    /// What is to be made now, if anything; [`Self::finish`] follows.
    fn begin(&self, now: Duration, interval: Duration) -> Option<Source> {
        let mut state = self.state();
        if state.making || state.made_at.is_some_and(|then| now < then + interval) {
            return None;
        }
        let source = state.newer.take()?;
        state.making = true;
        state.made_at = Some(now);
        Some(source)
    }

    fn finish(&self, made: Option<Served>) {
        {
            let mut state = self.state();
            state.making = false;
            if made.is_some() {
                state.shown = made;
            }
        }
        self.idle.notify_waiters();
    }
}

impl Stream {
    /// Sees a segment of the publisher's media; the stream's first is pictured.
    pub(super) fn see(self: &Arc<Self>, segment: &Segment, name: &SegmentName, tracks: &Tracks) {
        let too_big = |video: &VideoTrack| {
            u64::from(video.width) * u64::from(video.height) > thumbnail::PIXELS_MAX
        };
        let is_first = {
            let mut state = self.picture.state();
            let is_first = state.made_at.is_none();
            match (segment.keyframes, &tracks.video) {
                // Sound alone has the card, which does not change.
                (0, None) if is_first => state.newer = Some(Source::Card),
                (0, _) => {}
                (_, Some(video)) if too_big(video) => state.newer = Some(Source::Card),
                _ => state.newer = Some(Source::Segment(name.clone())),
            }
            is_first
        };
        if is_first {
            self.take_picture();
        }
    }

    /// Begins to make a picture if one is due and there is anything newer.
    pub(super) fn take_picture(self: &Arc<Self>) {
        let interval = self.common.config.thumbnail_interval;
        let Some(source) = self.picture.begin(self.common.now(), interval) else {
            return;
        };
        let stream = Arc::clone(self);
        tokio::spawn(async move {
            let made = stream.make(source).await.map(|jpeg| {
                let body = Bytes::from(jpeg);
                let key = layout::thumbnail(&stream.uid);
                stream.archive.latest(key, body.clone(), layout::THUMBNAIL);
                layout::served_thumbnail(body, SystemTime::now())
            });
            stream.picture.finish(made);
        });
    }

    /// The picture as JPEG; `None` when the segment cannot be had any more, or too many wait.
    async fn make(&self, source: Source) -> Option<Vec<u8>> {
        let key_frame = match source {
            Source::Card => None,
            Source::Segment(name) => {
                let segment = self.common.live_segment(&self.uid, &name).await.ok()??;
                retold::key_frame(&segment.body)
            }
        };
        self.common.studio.make(key_frame).await
    }

    /// The thumbnail, made anew if it is due: waits for that at most `thumbnail.wait`, then shows the one
    /// before. `None`: this process has made none.
    pub(super) async fn thumbnail(self: &Arc<Self>) -> Option<Served> {
        self.take_picture();
        let wait = self.common.config.thumbnail_wait;
        let _ = tokio::time::timeout(wait, self.picture.idle()).await;
        self.picture.state().shown.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_is_made_at_a_time_and_none_before_the_interval_or_of_nothing_new() {
        let picture = Picture::default();
        assert!(picture.begin(s(1), EVERY).is_none(), "nothing was seen");
        picture.state().newer = Some(Source::Card);
        assert!(picture.begin(s(1), EVERY).is_some(), "the first at once");
        picture.state().newer = Some(Source::Card);
        assert!(picture.begin(s(20), EVERY).is_none(), "one is being made");
        picture.finish(None);
        assert!(picture.begin(s(10), EVERY).is_none(), "9 s");
        assert!(picture.begin(s(11), EVERY).is_some());
        picture.finish(None);
        assert!(picture.begin(s(99), EVERY).is_none(), "it is the newest");
    }

    #[tokio::test]
    async fn more_than_all_streams_can_want_is_refused() {
        let (jobs, queue) = mpsc::sync_channel(1);
        let studio = Studio { jobs };
        let mut first = std::pin::pin!(studio.make(None));
        let waits = tokio::time::timeout(Duration::ZERO, &mut first).await;
        assert!(waits.is_err(), "nobody works yet");
        assert!(studio.make(None).await.is_none());
        thread::spawn(move || work(&queue));
        assert!(first.await.unwrap().starts_with(&[0xff, 0xd8]));
    }
}
