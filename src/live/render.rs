//! Long playlists: rendered and compressed away from the frame's task, one after the other of a
//! stream, and only the newest of those that wait. It does not know what is listed or who reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use segmenter::playlist::Frozen;
use tokio::sync::Notify;

use super::{Rendered, stream::Stream};

/// Entries from which on a playlist is long: rendering so many takes longer than handing it over.
pub(super) const LONG: usize = 128;

/// A playlist to be rendered.
pub(super) struct Job {
    pub list: Frozen,
    pub multivariant: Arc<Rendered>,
    pub target_duration_s: u32,
    pub ended: bool,
}

#[derive(Default)]
struct State {
    waiting: Option<Job>,
    busy: bool,
    /// A long playlist was shown: a later one is never rendered at once, or it could be overtaken by
    /// one before it.
    began: bool,
    /// Nothing is shown any more.
    over: bool,
}

/// One stream's renderings.
#[derive(Default)]
pub(super) struct Renderings {
    state: Mutex<State>,
    idle: Notify,
}

impl Renderings {
    // Nothing under the lock can panic, so a poisoned one is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a playlist of so many entries goes this way.
    pub(super) fn takes(&self, entries: usize) -> bool {
        let mut state = self.state();
        state.began |= entries > LONG;
        state.began
    }

    /// Resolves when nothing is being rendered or waits for it.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if !self.state().busy {
                return;
            }
            idle.await;
        }
    }
}

impl Stream {
    /// Shows `job` to viewers soon; one that waits is replaced.
    pub(super) fn render_later(self: &Arc<Self>, job: Job) {
        {
            let mut state = self.renderings.state();
            state.waiting = Some(job);
            if std::mem::replace(&mut state.busy, true) {
                return;
            }
        }
        let stream = Arc::clone(self);
        tokio::spawn(async move { stream.render().await });
    }

    async fn render(&self) {
        loop {
            let job = {
                let mut state = self.renderings.state();
                let job = state.waiting.take().filter(|_| !state.over);
                state.busy = job.is_some();
                job
            };
            let Some(job) = job else {
                self.renderings.idle.notify_waiters();
                return;
            };
            // As many at once as there are processors; more would only share them.
            let _permit = self.common.renderings.acquire().await;
            let Job { list, .. } = job;
            let rendered = tokio::task::spawn_blocking(move || {
                let mut text = Vec::new();
                list.render(&mut text);
                Rendered::fast(text)
            });
            let Ok(media) = rendered.await else { continue };
            let state = self.renderings.state();
            if !state.over {
                self.show_playlists(job.multivariant, media, job.target_duration_s, job.ended);
            }
        }
    }

    /// Shows no playlist any more.
    pub(super) fn show_nothing(&self) {
        let mut state = self.renderings.state();
        state.over = true;
        self.snapshot.send_replace(None);
    }
}
