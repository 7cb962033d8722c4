//! The claim on a stream, as its connection holds it. It does not know how it was granted, nor
//! the protocol that tags come by.

use std::{future::Future, sync::Arc};

use segmenter::Tag;
use tokio::sync::watch;

use super::{Refused, stream::Stream};
use crate::name::SessionId;

/// The claim on a stream. Dropping it releases the claim and starts the grace.
pub struct Publisher {
    stream: Arc<Stream>,
    generation: u64,
    session: SessionId,
    evicted: watch::Receiver<Option<Refused>>,
    finished: bool,
}

impl Publisher {
    pub(super) fn new(
        stream: Arc<Stream>,
        generation: u64,
        session: SessionId,
        evicted: watch::Receiver<Option<Refused>>,
    ) -> Self {
        Self {
            stream,
            generation,
            session,
            evicted,
            finished: false,
        }
    }

    /// Takes tags that came together. Awaits only when a segment finished, and then at most
    /// `storage.list_deadline` a segment. Given up in between, it loses no segment: the next call lists it.
    ///
    /// # Errors
    /// Terminal: tell the encoder and close. The tags before the one that is refused were taken.
    pub async fn push(&mut self, tags: &[Tag]) -> Result<(), Refused> {
        let mut ingest = self.stream.ingest.lock().await;
        if ingest.generation != self.generation || ingest.session.is_none() {
            drop(ingest);
            return Err(self.reason());
        }
        let now = self.stream.common.now();
        let pushed = tags.iter().try_for_each(|tag| ingest.air.push(tag, now));
        self.stream.air(&mut ingest).await;
        pushed.map_err(Refused::from)
    }

    /// Resolves when this publisher is put out (takeover, stop, drain). Cancel safe.
    pub async fn evicted(&mut self) -> Refused {
        self.eviction().await
    }

    /// [`Publisher::evicted`] without a borrow, to be waited for beside [`Publisher::push`].
    pub fn eviction(&self) -> impl Future<Output = Refused> + Send + 'static {
        let mut evicted = self.evicted.clone();
        async move {
            let reason = match evicted.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone(),
                // The registry is gone without a word: the process ends.
                Err(_) => None,
            };
            reason.unwrap_or(Refused::Restarting)
        }
    }

    fn reason(&self) -> Refused {
        let reason = self.evicted.borrow().clone();
        reason.unwrap_or(Refused::Replaced)
    }

    /// The encoder said goodbye (deleteStream, FCUnpublish): the open segment is listed and the grace starts.
    pub async fn finish(mut self) {
        self.finished = true;
        let (stream, generation) = (Arc::clone(&self.stream), self.generation);
        // A task of its own: the connection may be dropped while this waits for the store.
        let over = tokio::spawn(async move { stream.lost(generation).await });
        let _ = over.await;
    }

    /// Segments that are complete and not listed yet.
    #[cfg(test)]
    pub(super) async fn waiting(&self) -> usize {
        self.stream.ingest.lock().await.pending.len()
    }

    /// The session's id, for log lines.
    pub fn session(&self) -> &str {
        self.session.as_str()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // Without a runtime the process is ending, and recovery takes over.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (stream, generation) = (Arc::clone(&self.stream), self.generation);
            runtime.spawn(async move { stream.lost(generation).await });
        }
    }
}
