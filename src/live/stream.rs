//! One live stream: the path of a frame from the segmenter to what viewers read. It does not know
//! who may publish (`lifecycle`) or what other streams there are.

use std::{
    collections::VecDeque,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use segmenter::Tracks;
use storage::Store;
use tokio::{
    sync::{Mutex, Semaphore, broadcast, watch},
    time::Instant,
};

use super::{
    Missing, Peer, Refused, Rendered, Served, Snapshot, StreamNow,
    archive::{Archive, Fate, Health, Setup},
    audience::Audience,
    claim::Takeovers,
    gauges::Gauges,
    index::Index,
    layout,
    listing::{Pending, keep_ticking},
    memory::{Found, Id, Memory},
    onair::OnAir,
    picture::{Picture, Studio},
    reads::Reads,
    recording::Recordings,
    render::{Job, Renderings},
    show::Show,
    snapshot::{self, Rates},
    window::Window,
};
use crate::{
    config::Config,
    db::{Db, PublishFacts},
    event::{Change, StreamEvent},
    name::{SegmentName, SessionId, StreamUid},
};

/// What all streams share.
pub(super) struct Common {
    pub config: Arc<Config>,
    pub store: Arc<dyn Store>,
    pub db: Db,
    pub memory: RwLock<Memory>,
    pub reads: Reads,
    pub health: Arc<Health>,
    pub events: broadcast::Sender<StreamEvent>,
    pub draining: AtomicBool,
    /// Where [`Common::now`] counts from.
    pub origin: Instant,
    /// What each encoder sends now.
    pub gauges: Gauges,
    /// Makes thumbnails.
    pub studio: Studio,
    /// What slates show.
    pub show: Show,
    /// Long playlists rendered at once.
    pub renderings: Semaphore,
    /// Those that are being played.
    pub recordings: Recordings,
}

impl Common {
    /// Time since the process's origin.
    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// True once a restart began.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    // Nothing under these locks can panic, so a poisoned one is whole.
    pub(super) fn memory(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn memory_mut(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment of a window: from memory, else from the store. `None`: it is none's.
    ///
    /// # Errors
    /// The store fails, or the segment left its window meanwhile.
    pub(super) async fn live_segment(
        &self,
        uid: &StreamUid,
        name: &SegmentName,
    ) -> Result<Option<Served>, Missing> {
        let id = (uid.clone(), name.clone());
        let found = self.memory().find(&id);
        match found {
            None => Ok(None),
            Some(Found::Here(served)) => Ok(Some(served)),
            Some(Found::Stored) => {
                let (body, _) = self.reads.get(&layout::segment(uid, name)).await?;
                let read = self.memory_mut().readmit(&id, Arc::new([body]));
                read.map(Some).ok_or(Missing::NotFound)
            }
        }
    }

    /// Tells listeners; none is no error.
    pub(super) fn tell(&self, uid: &StreamUid, change: Change) {
        let uid = uid.clone();
        let _ = self.events.send(StreamEvent { uid, change });
    }
}

/// Wall clock, since the Unix epoch.
pub(super) fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// One continuous publish.
pub(super) struct Session {
    pub id: SessionId,
    pub peer: Peer,
    /// Puts the publisher out.
    pub evict: watch::Sender<Option<Refused>>,
}

/// What the frame path changes, under one lock.
pub(super) struct Ingest {
    pub window: Window,
    /// Counts claims: a publisher of an earlier one has been put out.
    pub generation: u64,
    pub session: Option<Session>,
    pub air: OnAir,
    pub takeovers: Takeovers,
    pub rates: Rates,
    pub multivariant: Option<Arc<Rendered>>,
    /// Since when the owner wants the slate, milliseconds since 1970.
    pub paused_at_ms: Option<i64>,
    /// Counts claims, pauses and resumes: a wait for something that began earlier is over.
    pub absence: u64,
    /// When it ended, since the process's origin.
    pub ended: Option<Duration>,
    pub retired: bool,
    /// Its recording is being closed.
    pub closing: bool,
    pub pending: VecDeque<Pending>,
    /// Of the segments that are no publisher's.
    pub slate: SessionId,
    /// Segments were listed that viewers do not see yet.
    pub unpublished: bool,
    pub independent: bool,
    /// What `due` was told last.
    pub told_due: Option<Duration>,
}

/// A live stream.
pub(super) struct Stream {
    pub uid: StreamUid,
    pub record: bool,
    pub common: Arc<Common>,
    pub ingest: Mutex<Ingest>,
    /// Held by a pause or resume from its write to the database to its effect, so that both happen
    /// in one order and frames do not wait for the database.
    pub turn: Mutex<()>,
    pub snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    pub picture: Picture,
    /// What [`super::Live::view`] tells, `None` once it has ended.
    pub state: RwLock<Option<StreamNow>>,
    pub archive: Archive,
    /// What the last publisher's claim rested on.
    pub claimed: std::sync::Mutex<Option<PublishFacts>>,
    pub audience: Arc<Audience>,
    /// Tells the database what is listed.
    pub index: Index,
    pub renderings: Renderings,
    /// When something is to be made or listed (`listing`).
    pub due: watch::Sender<Option<Duration>>,
}

impl Stream {
    /// A stream that goes on with `window`, and the tasks that store its objects and counters.
    pub(super) fn start(
        common: &Arc<Common>,
        uid: StreamUid,
        record: bool,
        window: Window,
    ) -> Arc<Self> {
        let index = Index::start(
            common.db.clone(),
            uid.clone(),
            window.counters(),
            common.origin,
        );
        let archive = Archive::start(setup(common, &uid));
        let (due, ticks) = watch::channel(None);
        let air =
            OnAir::new(segmenting(&common.config), window.counters()).showing(common.show.clone());
        let stream = Arc::new(Self {
            uid,
            record,
            common: Arc::clone(common),
            archive,
            claimed: std::sync::Mutex::default(),
            audience: Arc::new(Audience::new(common.config.limits.pollers)),
            index,
            renderings: Renderings::default(),
            due,
            snapshot: watch::Sender::new(None),
            picture: Picture::default(),
            state: RwLock::new(Some(StreamNow::default())),
            turn: Mutex::new(()),
            ingest: Mutex::new(Ingest {
                window,
                generation: 0,
                session: None,
                air,
                takeovers: Takeovers::default(),
                rates: Rates::default(),
                multivariant: None,
                paused_at_ms: None,
                absence: 0,
                ended: None,
                retired: false,
                closing: false,
                pending: VecDeque::new(),
                slate: SessionId::random(),
                unpublished: false,
                independent: true,
                told_due: None,
            }),
        });
        tokio::spawn(keep_ticking(Arc::downgrade(&stream), common.origin, ticks));
        stream
    }

    pub(super) fn id(&self, name: &SegmentName) -> Id {
        (self.uid.clone(), name.clone())
    }

    /// Renders what is listed and gives it to viewers and the store.
    pub(super) fn publish(self: &Arc<Self>, ingest: &mut Ingest) {
        if ingest.window.len() == 0 {
            self.snapshot.send_replace(None);
            return;
        }
        let target_duration_s = ingest.window.target_duration_s();
        let meta = layout::playlist_meta(target_duration_s);
        let multivariant = match ingest.multivariant.take() {
            // After a restart, until the publisher is back and tells its tracks again.
            Some(before) if *ingest.air.tracks() == Tracks::default() => before,
            before => {
                let (rates, fps) = (ingest.rates, ingest.air.counted_fps());
                let tracks = ingest.air.tracks();
                let text = snapshot::multivariant(tracks, rates, fps, ingest.independent);
                match before.filter(|before| before.plain[..] == text[..]) {
                    Some(same) => same,
                    None => {
                        let new = Arc::new(Rendered::new(text));
                        self.archive.playlist(
                            layout::multivariant(&self.uid),
                            new.plain.clone(),
                            meta,
                        );
                        new
                    }
                }
            }
        };
        ingest.multivariant = Some(Arc::clone(&multivariant));
        let ended = ingest.ended.is_some();
        if !self.renderings.takes(ingest.window.len()) {
            if let Some(text) = ingest.window.render() {
                let media = Rendered::new(text);
                self.show_playlists(multivariant, media, target_duration_s, ended);
            }
        } else if let Some(list) = ingest.window.freeze() {
            self.render_later(Job {
                list,
                multivariant,
                target_duration_s,
                ended,
            });
        }
    }

    /// Gives playlists to viewers, and the media playlist to the store.
    pub(super) fn show_playlists(
        &self,
        multivariant: Arc<Rendered>,
        media: Rendered,
        target_duration_s: u32,
        ended: bool,
    ) {
        let meta = layout::playlist_meta(target_duration_s);
        self.archive
            .playlist(layout::media(&self.uid), media.plain.clone(), meta);
        self.snapshot.send_replace(Some(Arc::new(Snapshot {
            multivariant,
            media,
            target_duration_s,
            ended,
            max_age_s: layout::playlist_max_age_s(target_duration_s),
            heads: Default::default(),
            audience: Arc::clone(&self.audience),
        })));
    }

    /// Closes the session, if any: its open segment is listed (media rule 8), and its publisher
    /// is told `reason`.
    pub(super) async fn close(self: &Arc<Self>, ingest: &mut Ingest, reason: Option<Refused>) {
        if ingest.session.is_none() {
            return;
        }
        ingest.air.lost(self.common.now());
        self.air(ingest).await;
        if let Some(session) = ingest.session.take() {
            tracing::info!(stream = %self.uid, session = session.id.as_str(),
                connection = session.peer.connection, reason = ?reason, "session over");
            session.evict.send_replace(reason);
        }
        self.common.gauges.remove(&self.uid);
    }

    /// Closes the session and takes the slate off: everything that waits is listed now.
    pub(super) async fn go_off(self: &Arc<Self>, ingest: &mut Ingest, reason: Refused) {
        self.close(ingest, Some(reason)).await;
        ingest.air.end(self.common.now());
        self.collect(ingest);
        self.list_pending(ingest, Duration::MAX).await;
    }
}

/// What segmenters of this server are told.
fn segmenting(config: &Config) -> segmenter::Config {
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    segmenter::Config {
        target_ms: millis(config.hls.target_duration),
        max_segment_ms: millis(config.hls.max_segment),
        segment_bytes: config.limits.segment_bytes,
    }
}

fn setup(common: &Arc<Common>, uid: &StreamUid) -> Setup {
    let limits = &common.config.limits;
    let (fates, rooms) = (Arc::clone(common), Arc::clone(common));
    let owner = uid.clone();
    Setup {
        store: Arc::clone(&common.store),
        health: Arc::clone(&common.health),
        stream: uid.to_string(),
        limit_bytes: limits.archive_bytes,
        deadline: limits.store_deadline,
        base: layout::public_base(&common.config.storage),
        on_fate: Box::new(move |name, fate| {
            let id = (owner.clone(), name.clone());
            let mut memory = fates.memory_mut();
            // What goes altogether here was never stored: there is nothing to delete.
            let _ = match fate {
                Fate::Stored => memory.stored(&id),
                Fate::Abandoned => memory.abandoned(&id),
            };
        }),
        make_room: Box::new(move |bytes| layout::keys(&rooms.memory_mut().make_room(bytes))),
    }
}
