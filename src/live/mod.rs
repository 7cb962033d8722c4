//! Streams that are live now: who publishes, what viewers read, what is stored. It does not know
//! RTMP or HTTP.

mod archive;
mod audience;
mod cards;
mod claim;
mod closing;
mod film;
mod gauges;
mod index;
mod keeper;
mod layout;
mod lifecycle;
mod listing;
mod memory;
mod meters;
mod onair;
mod orphan;
mod pause;
mod picture;
mod publisher;
mod reads;
mod recording;
mod recover;
mod render;
mod retold;
mod shed;
mod show;
mod snapshot;
mod stored;
mod stream;
mod thumbnail;
mod window;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicBool},
    time::SystemTime,
};

use bytes::Bytes;
use storage::Store;
use tokio::{
    sync::{Semaphore, broadcast},
    time::Instant,
};

pub use publisher::Publisher;
pub use recording::Download;
pub use snapshot::{Rendered, Snapshot};

use crate::{
    config::{Backend, Config},
    db::Db,
    error::Result,
    event::StreamEvent,
    name::{SegmentName, StreamUid},
};
use archive::Health;
use gauges::Gauges;
use memory::{Found, Memory, Spare};
use picture::Studio;
use reads::Reads;
use recording::Recordings;
use show::Show;
use stream::{Common, Stream};

/// Events a slow listener may lag behind before it loses the oldest.
const EVENTS: usize = 1024;

/// The registry of live streams; clones share it.
#[derive(Clone)]
pub struct Live {
    inner: Arc<Inner>,
}

struct Inner {
    common: Arc<Common>,
    streams: RwLock<HashMap<StreamUid, Arc<Stream>>>,
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
    /// The owner changed the stream's key.
    #[error("the stream key was changed")]
    KeyChanged,
    /// The account was banned.
    #[error("this account was banned and may not publish")]
    Banned,
    /// Draining.
    #[error("the server is restarting: try again")]
    Restarting,
    /// Database or store failed.
    #[error("the server cannot take this stream now: try again")]
    Unavailable,
}

/// Why a stream can be neither paused nor resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PauseRefusal {
    /// It has not begun, has ended, or never was.
    #[error("this stream is not live")]
    NotLive,
    /// The database failed: nothing changed.
    #[error("the server cannot do this now: try again")]
    Unavailable,
}

/// A live stream at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamNow {
    /// An encoder has the claim, also while paused.
    pub publishing: bool,
    /// The slate is shown until the owner resumes.
    pub paused: bool,
    /// When it was paused, milliseconds since 1970.
    pub paused_at_ms: Option<i64>,
    /// Not paused, and nothing comes: there is no publisher and the grace runs, or the one that is
    /// there is silent.
    pub reconnecting: bool,
    /// There is a playlist.
    pub playable: bool,
    /// Client addresses that fetched the media playlist in the last two target durations: an
    /// estimate, at most `limits.pollers`.
    pub viewers: u64,
}

/// What an encoder sends now: of its newest segment, but for `gaps` and `dropped`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingest {
    /// Bits a second.
    pub bitrate_bps: u64,
    /// Pictures a second.
    pub fps: f64,
    /// Mean time between keyframes; `None`: there was none.
    pub keyframe_s: Option<f64>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// RFC 6381; `None`: no video.
    pub video_codec: Option<String>,
    /// RFC 6381; `None`: no audio.
    pub audio_codec: Option<String>,
    /// Jumps of its times in this session.
    pub gaps: u64,
    /// Pictures of this session that the frame rate it states itself promised and that did not
    /// come; `None`: it states none.
    pub dropped: Option<u64>,
    /// Share of them in the newest segment, 0 to 1.
    pub missing: f64,
}

/// A segment's or thumbnail's bytes as served.
#[derive(Clone, Debug)]
pub struct Served {
    /// The bytes, to be sent one slice after the other.
    pub body: Arc<[Bytes]>,
    /// Sum of the slices' lengths.
    pub len: u64,
    /// Quoted strong entity tag.
    pub etag: String,
    /// When it was made.
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

impl Inner {
    fn streams(&self) -> RwLockReadGuard<'_, HashMap<StreamUid, Arc<Stream>>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams_mut(&self) -> RwLockWriteGuard<'_, HashMap<StreamUid, Arc<Stream>>> {
        self.streams.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream(&self, uid: &StreamUid) -> Option<Arc<Stream>> {
        self.streams().get(uid).map(Arc::clone)
    }

    fn all(&self) -> Vec<Arc<Stream>> {
        self.streams().values().map(Arc::clone).collect()
    }
}

/// What slates of a server with this configuration show, in one line.
///
/// # Errors
/// `slate.file` is missing or unfit, in one line.
pub fn check_slate(config: &Config) -> Result<String> {
    Ok(Show::open(config)?.describe())
}

impl Live {
    /// The registry, with the windows of streams that were live when the last process ended.
    ///
    /// # Errors
    /// `slate.file` is unfit, the database cannot be read, or `storage.required` and the store
    /// cannot.
    pub async fn start(config: Arc<Config>, store: Arc<dyn Store>, db: Db) -> Result<Self> {
        let limits = &config.limits;
        let spare = match config.storage.backend {
            Backend::Disk | Backend::S3 => Spare::Stored,
            Backend::Memory => Spare::Unlisted,
        };
        let common = Arc::new(Common {
            show: Show::open(&config)?,
            memory: RwLock::new(Memory::new(limits.memory_budget, spare)),
            reads: Reads::new(
                Arc::clone(&store),
                limits.store_reads,
                limits.store_deadline,
            ),
            health: Arc::new(Health::default()),
            events: broadcast::Sender::new(EVENTS),
            draining: AtomicBool::new(false),
            origin: Instant::now(),
            gauges: Gauges::default(),
            studio: Studio::open(limits.live_streams)?,
            renderings: Semaphore::new(std::thread::available_parallelism().map_or(1, Into::into)),
            recordings: Recordings::new(limits.recordings_open, limits.downloads),
            config,
            store,
            db,
        });
        let inner = Arc::new(Inner {
            common,
            streams: RwLock::default(),
        });
        recover::recover(&inner).await?;
        meters::streams(inner.streams().len());
        tokio::spawn(lifecycle::keep_swept(Arc::downgrade(&inner)));
        tokio::spawn(keeper::keep_recordings(Arc::downgrade(&inner)));
        let health = Arc::clone(&inner.common.health);
        tokio::spawn(shed::keep_room(Arc::downgrade(&inner), health));
        Ok(Self { inner })
    }

    /// What each encoder sends now, in Prometheus' text format.
    pub fn ingest_metrics(&self) -> String {
        self.inner.common.gauges.render()
    }

    /// What the encoder of `uid` sends now; `None` without one.
    pub fn ingest(&self, uid: &StreamUid) -> Option<Ingest> {
        self.inner.common.gauges.ingest(uid)
    }

    /// Claims `uid` for a publisher (rule 26). The caller has checked the key.
    ///
    /// # Errors
    /// The refusal the encoder is shown.
    pub async fn claim(&self, uid: &StreamUid, peer: Peer) -> Result<Publisher, Refused> {
        self.inner.claim(uid, peer).await
    }

    /// The playlists of `uid`: what viewers read now, and after the end's time the recording's.
    ///
    /// # Errors
    /// Before the first segment, without a recording, or the store fails.
    pub async fn playlists(&self, uid: &StreamUid) -> Result<Arc<Snapshot>, Missing> {
        if let Some(snapshot) = self.snapshot(uid) {
            return Ok(snapshot);
        }
        let recording = self.inner.common.recording(uid).await?;
        Ok(Arc::clone(&recording.snapshot))
    }

    /// The recording of an ended stream as one file.
    ///
    /// # Errors
    /// There is none (yet), `limits.downloads` are going on, or the store fails.
    pub async fn download(&self, uid: &StreamUid) -> Result<Download, Missing> {
        self.inner.common.download(uid).await
    }

    /// What viewers of `uid` read now; `None` before the first segment and after the end's time.
    pub fn snapshot(&self, uid: &StreamUid) -> Option<Arc<Snapshot>> {
        self.snapshot_named(uid.as_str())
    }

    /// The same for a name that may be no uid: no stream has such a one.
    pub fn snapshot_named(&self, uid: &str) -> Option<Arc<Snapshot>> {
        let streams = self.inner.streams();
        let snapshot = streams.get(uid)?.snapshot.borrow();
        snapshot.as_ref().map(Arc::clone)
    }

    /// A segment that is in memory; `None` says nothing of the store.
    pub fn segment_here(&self, uid: &StreamUid, name: &SegmentName) -> Option<Served> {
        let id = (uid.clone(), name.clone());
        match self.inner.common.memory().find(&id)? {
            Found::Here(served) => Some(served),
            Found::Stored => None,
        }
    }

    /// A segment: from memory, else from the store, single-flight; also of a recording.
    ///
    /// # Errors
    /// Never listed or no longer fetchable, or the store fails.
    pub async fn segment(&self, uid: &StreamUid, name: &SegmentName) -> Result<Served, Missing> {
        let common = &self.inner.common;
        match common.live_segment(uid, name).await? {
            Some(served) => Ok(served),
            None => common.recorded_segment(uid, name).await,
        }
    }

    /// The thumbnail, also after the end; while live at most `thumbnail.interval` old, or made meanwhile.
    ///
    /// # Errors
    /// None was made yet, or the store fails.
    pub async fn thumbnail(&self, uid: &StreamUid) -> Result<Served, Missing> {
        if let Some(stream) = self.inner.stream(uid)
            && let Some(served) = stream.thumbnail().await
        {
            return Ok(served);
        }
        let key = layout::thumbnail(uid);
        let (body, modified) = self.inner.common.reads.get(&key).await?;
        Ok(layout::served_thumbnail(body, modified))
    }

    /// Ends a stream for good: publisher put out, ENDLIST, `finished` (rule 19).
    ///
    /// # Errors
    /// The database failed; the stream goes on.
    pub async fn stop(&self, uid: &StreamUid, reason: &'static str) -> Result<()> {
        self.inner.stop(uid, reason).await
    }

    /// Shows the slate instead of the publisher's media (media rules 20 to 24), until
    /// [`Live::resume`], [`Live::stop`] or `slate.max_pause`. Pausing a paused stream changes
    /// nothing. Kept over a restart.
    ///
    /// # Errors
    /// [`PauseRefusal`].
    pub async fn pause(&self, uid: &StreamUid) -> Result<(), PauseRefusal> {
        self.inner.pause(uid).await
    }

    /// The publisher's media again, from its next IDR on; without a publisher the grace starts
    /// now. Resuming a stream that is not paused changes nothing.
    ///
    /// # Errors
    /// [`PauseRefusal`].
    pub async fn resume(&self, uid: &StreamUid) -> Result<(), PauseRefusal> {
        self.inner.resume(uid).await
    }

    /// What a stream does now; `None` unless it is live here. Waits for nothing.
    pub fn view(&self, uid: &StreamUid) -> Option<StreamNow> {
        self.inner.stream(uid)?.now()
    }

    /// Drops the publisher, whose key is not good any more; the grace starts.
    pub async fn evict(&self, uid: &StreamUid) {
        self.inner.evict(uid, Refused::KeyChanged).await;
    }

    /// Deletes the stored segments and playlists of an ended stream; its thumbnail stays. From then
    /// on nothing of it is served.
    ///
    /// # Errors
    /// The store failed or did not answer in time: what is left goes some minutes later or with the
    /// next start, if the database says that the stream is not recorded.
    pub async fn delete_recording(&self, uid: &StreamUid) -> Result<()> {
        self.inner.delete_recording(uid).await
    }

    /// Makes room: deletes the recording that ended longest ago, and tells which; `None` when there
    /// is none (media rule 30).
    ///
    /// # Errors
    /// As [`Live::delete_recording`].
    pub async fn delete_oldest_recording(&self) -> Result<Option<StreamUid>> {
        self.inner.delete_oldest_recording().await
    }

    /// Changes from now on.
    pub fn events(&self) -> broadcast::Receiver<StreamEvent> {
        self.inner.common.events.subscribe()
    }

    /// Restart: no new claims, partial segments listed and stored, streams stay live, no ENDLIST.
    /// Waits for the store as long as it takes: the caller has the deadline.
    pub async fn drain(&self) {
        self.inner.drain().await;
    }

    /// `None` when well, else what is wrong with storage, for `/readyz`.
    pub fn storage_trouble(&self) -> Option<String> {
        self.inner.common.health.trouble()
    }

    /// Applies within a second or two what other processes write to the database: a stream that
    /// was stopped or cancelled there ends here. Never returns; drop it to stop watching.
    pub async fn watch_database(&self) {
        self.inner.follow_database().await;
    }
}
