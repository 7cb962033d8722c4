//! Streams that are live now: who publishes, what viewers read, what is stored. It does not know
//! RTMP or HTTP.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use bytes::Bytes;
use segmenter::Tag;
use storage::Store;

use crate::{
    config::Config,
    db::Db,
    error::Result,
    event::StreamEvent,
    name::{SegmentName, StreamUid},
};

/// The registry of live streams; clones share it.
#[derive(Clone)]
pub struct Live {
    _private: Arc<()>,
}

/// Who wants to publish.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its connection's number, as on log lines.
    pub connection: u64,
    /// Its address.
    pub address: SocketAddr,
}

/// Why a publisher was refused or is put out; the text is what the encoder is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another connection has the claim and `rtmp.on_second_publisher` is "reject".
    #[error("this stream already has a publisher")]
    Busy,
    /// Takeovers are limited to 3 in 30 s (rule 26).
    #[error(
        "two encoders are taking this stream from each other: stop one and try again in {retry_after_s} s"
    )]
    TakeoverLimit {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// Another publisher took over.
    #[error("another encoder took this stream over")]
    Replaced,
    /// The stream has ended.
    #[error("this stream has ended: create a new one")]
    Ended,
    /// Codec or size (segmenter).
    #[error("{0}")]
    Media(#[from] segmenter::Refusal),
    /// `limits.live_streams`, memory or disk full.
    #[error("the server has no room for this stream now: {0}")]
    Full(String),
    /// Draining.
    #[error("the server is restarting: try again")]
    Restarting,
    /// Database or store failed.
    #[error("the server cannot take this stream now: try again")]
    Unavailable,
}

/// The claim on a stream. Dropping it releases the claim and starts the grace.
pub struct Publisher {
    _private: (),
}

impl Publisher {
    /// Takes one tag. Awaits only when a segment finished, and then at most `storage.list_deadline`.
    ///
    /// # Errors
    /// Terminal: tell the encoder and close.
    pub async fn push(&mut self, _tag: &Tag) -> Result<(), Refused> {
        todo!()
    }
    /// Resolves when this publisher is put out (takeover, stop, drain). Cancel safe.
    pub async fn evicted(&mut self) -> Refused {
        todo!()
    }
    /// The encoder said goodbye (deleteStream, FCUnpublish): the open segment is listed and the grace starts.
    pub async fn finish(self) {
        todo!()
    }
    /// The session's id, for log lines.
    pub fn session(&self) -> &str {
        todo!()
    }
}

/// A rendered playlist, made once per version.
#[derive(Clone, Debug)]
pub struct Rendered {
    pub plain: Bytes,
    pub gzip: Bytes,
    /// Quoted strong entity tag of `plain`, like `"1f2e-6"`; the gzip variant's ends in `-gz"`.
    pub etag: String,
    pub etag_gzip: String,
    pub modified: SystemTime,
}

/// What viewers read: immutable, swapped whole.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub multivariant: Rendered,
    pub media: Rendered,
    pub target_duration_s: u32,
    pub ended: bool,
}

/// A segment's or thumbnail's bytes as served.
#[derive(Clone, Debug)]
pub struct Served {
    pub body: Arc<[Bytes]>,
    pub len: u64,
    /// Quoted strong entity tag.
    pub etag: String,
    pub modified: SystemTime,
}

/// Why something cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// 404.
    NotFound,
    /// The store failed or too many reads wait: 503.
    Unavailable,
}

impl Live {
    /// The registry, with the windows of streams that were live when the last process ended.
    pub async fn start(_config: Arc<Config>, _store: Arc<dyn Store>, _db: Db) -> Result<Self> {
        todo!()
    }
    /// Claims `uid` for a publisher (rule 26). The caller has checked the key.
    pub async fn claim(&self, _uid: &StreamUid, _peer: Peer) -> Result<Publisher, Refused> {
        todo!()
    }
    /// What viewers of `uid` read now; `None` before the first segment and after the end's time. Lock-free or nearly so.
    pub fn snapshot(&self, _uid: &StreamUid) -> Option<Arc<Snapshot>> {
        todo!()
    }
    /// A segment: from memory, else from the store, single-flight.
    pub async fn segment(&self, _uid: &StreamUid, _name: &SegmentName) -> Result<Served, Missing> {
        todo!()
    }
    /// The thumbnail, also after the end.
    pub async fn thumbnail(&self, _uid: &StreamUid) -> Result<Served, Missing> {
        todo!()
    }
    /// Ends a stream for good: publisher put out, ENDLIST, `finished` (rule 19).
    pub async fn stop(&self, _uid: &StreamUid, _reason: &'static str) -> Result<()> {
        todo!()
    }
    /// Changes from now on.
    pub fn events(&self) -> tokio::sync::broadcast::Receiver<StreamEvent> {
        todo!()
    }
    /// Restart: no new claims, partial segments listed and stored, streams stay live, no ENDLIST.
    pub async fn drain(&self) {
        todo!()
    }
    /// `None` when well, else what is wrong with storage, for `/readyz`.
    pub fn storage_trouble(&self) -> Option<String> {
        todo!()
    }
}
