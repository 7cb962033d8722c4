//! Rooms: everyone who watches a stream, on one WebSocket each. It does not know HTTP requests, or
//! how a stream is ingested.
//!
//! `link` is one WebSocket's bytes, `socket` what is done with them; `hall` a room with its members' queues; `room` and the features under
//! it (`chat`, `presence`, `status`) are pure: time and commands in, [`effects`] out. `follow` brings
//! in what changed elsewhere.

mod chat;
pub mod client;
mod command;
pub mod effects;
mod follow;
mod hall;
mod link;
pub mod member;
mod outbox;
pub mod pace;
mod presence;
pub mod questions;
mod room;
mod seats;
mod socket;
mod status;
pub mod turn;
pub mod voice;
pub mod wire;

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OnceCell, watch},
};

pub use chat::Known;
pub use status::{Health, Issue, Status};

use self::{
    hall::{Clock, Hall, NoEntry, Present},
    member::MemberId,
    outbox::Limits,
    room::{Login, Room, Rules},
    seats::Seats,
    turn::Turn,
    wire::Close,
};
use crate::{
    auth::{Auth, Bearer, Identity},
    config::Config,
    db::{Behind, Db},
    error::{Error, Kind, Result},
    event::Audience,
    name::{SessionId, StreamUid},
};

/// A future that is named by its output only.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Tells what a stream's encoder sends; `None`: nothing.
pub type HealthOf = Box<dyn Fn(&StreamUid) -> Option<Health> + Send + Sync>;

/// What the hub asks about streams: whoever knows them answers.
pub struct Sources {
    /// How a stream is now; `None`: there is none.
    pub status: Box<dyn Fn(StreamUid) -> Later<Option<Status>> + Send + Sync>,
    /// What its encoder sends; `None`: nothing.
    pub health: HealthOf,
}

/// All rooms; clones share them.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<Config>,
    rules: Rules,
    limits: Limits,
    db: Db,
    auth: Auth,
    behind: Behind,
    sources: Sources,
    audience: Arc<Audience>,
    turn: Turn,
    clock: Clock,
    seats: Arc<Seats>,
    next_member: AtomicU64,
    draining: AtomicBool,
    halls: Mutex<HashMap<StreamUid, Arc<OnceCell<Arc<Hall>>>>>,
}

/// A client that is about to be a member.
#[derive(Debug)]
pub struct Newcomer {
    /// Which room.
    pub uid: StreamUid,
    /// What counts as one client.
    pub address: IpAddr,
    /// What URLs for it begin with, like `https://live.example`.
    pub site: Arc<str>,
    /// Who it is already.
    pub login: Option<(Bearer, Identity)>,
    /// What it knows already.
    pub known: Option<Known>,
}

impl Hub {
    /// No rooms yet: each opens with its first member.
    pub fn new(
        config: Arc<Config>,
        db: Db,
        auth: Auth,
        sources: Sources,
        audience: Arc<Audience>,
        turn: Turn,
    ) -> Self {
        let limits = &config.limits;
        let inner = Inner {
            rules: Rules::of(&config),
            limits: Limits::of(&config),
            behind: db.write_behind(limits.room_writes),
            clock: Clock::start(),
            seats: Seats::new(limits.hub_sockets_per_address, limits.hub_sockets_per_user),
            next_member: AtomicU64::new(1),
            draining: AtomicBool::new(false),
            halls: Mutex::default(),
            config,
            db,
            auth,
            sources,
            audience,
            turn,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Checks a login token.
    ///
    /// # Errors
    /// As [`Auth::bearer`].
    pub async fn bearer(&self, token: &str) -> Result<(Bearer, Identity), crate::auth::NoIdentity> {
        self.inner.auth.bearer(token).await
    }

    /// Whether a stream exists.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn knows(&self, uid: &StreamUid) -> Result<bool> {
        Ok(self.inner.db.stream_details(uid).await?.is_some())
    }

    /// Serves one WebSocket until it ends. `stream` is past its handshake.
    pub async fn serve<S>(&self, stream: S, newcomer: Newcomer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        socket::serve(&self.inner, stream, newcomer).await;
    }

    /// A stream changed: its room is told.
    pub async fn refresh(&self, uid: &StreamUid) {
        self.inner.refresh(uid).await;
    }

    /// Keeps rooms up to date until `stop` turns true; then sends everyone away with a hint when to
    /// come back, and returns when they are gone and all that was said is kept.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = follow::run(&self.inner) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        self.inner.draining.store(true, Relaxed);
        for hall in self.inner.open_halls() {
            hall.restart();
        }
        // First what was said: a client that does not take part in the closing handshake takes time.
        self.inner.behind.settle().await;
        self.inner.seats.empty().await;
        self.inner.behind.settle().await;
    }
}

impl Inner {
    /// Lets a socket into its stream's room, which is opened if need be.
    async fn enter(&self, newcomer: &Newcomer, login: Option<Login>) -> Result<Present, Close> {
        let id = MemberId(self.next_member.fetch_add(1, Relaxed));
        loop {
            if self.draining.load(Relaxed) {
                return Err(Close::Restarting);
            }
            let opened = self.open(&newcomer.uid).await;
            let hall = opened.map_err(|error| {
                tracing::warn!(stream = %newcomer.uid, %error, "a room could not be opened");
                Close::Overloaded
            })?;
            let known = newcomer.known.as_ref();
            let from = (newcomer.address, newcomer.site.clone());
            match hall.enter(id, from, login.clone(), known) {
                Ok(present) => return Ok(present),
                Err(NoEntry::Close(close)) => return Err(close),
                Err(NoEntry::Shut) => self.forget(&hall),
            }
        }
    }

    /// The open room of a stream.
    async fn open(&self, uid: &StreamUid) -> Result<Arc<Hall>> {
        let cell = self.halls().entry(uid.clone()).or_default().clone();
        let opened = cell.get_or_try_init(|| self.load(uid)).await;
        if opened.is_err() {
            let mut halls = self.halls();
            if halls.get(uid).is_some_and(|cell| !cell.initialized()) {
                halls.remove(uid);
            }
        }
        opened.cloned()
    }

    async fn load(&self, uid: &StreamUid) -> Result<Arc<Hall>> {
        // Rows of the hall before, if it was given up just now.
        self.behind.settle().await;
        let (history, slow) = (self.config.hub.history, self.config.chat.slow);
        let slow_ms = i64::try_from(slow.as_millis()).unwrap_or(i64::MAX);
        let epoch = SessionId::random().as_str().to_owned();
        let now = self.clock.now();
        let missing = || Error::new(Kind::NotFound, format!("no stream {uid}"));
        let row = self
            .db
            .open_room(uid, history, slow_ms, epoch, now.wall_ms)
            .await?
            .ok_or_else(missing)?;
        let status = (self.sources.status)(uid.clone()).await;
        let kept = self.config.limits.questions_kept;
        let kept = self.db.kept_questions(uid, kept).await?;
        let room = Room::new(&self.rules, &row, status.ok_or_else(missing)?, now);
        let room = room.with(&self.rules, kept, self.turn.clone());
        let (clock, behind) = (self.clock, self.behind.clone());
        let hall = Hall::new(uid.clone(), row.stream_id, room, clock, self.limits, behind);
        Ok(Arc::new(hall))
    }

    async fn refresh(&self, uid: &StreamUid) {
        let hall = self.halls().get(uid).and_then(|cell| cell.get().cloned());
        let Some(hall) = hall else { return };
        if let Some(status) = (self.sources.status)(uid.clone()).await {
            hall.step(|room, now| room.set_status(now, status));
        }
    }

    /// Forgets a hall that is shut.
    fn forget(&self, hall: &Arc<Hall>) {
        let mut halls = self.halls();
        let same = |cell: &Arc<OnceCell<Arc<Hall>>>| {
            cell.get().is_some_and(|known| Arc::ptr_eq(known, hall))
        };
        if halls.get(&hall.uid).is_some_and(same) {
            halls.remove(&hall.uid);
        }
    }

    fn open_halls(&self) -> Vec<Arc<Hall>> {
        let halls = self.halls();
        halls
            .values()
            .filter_map(|cell| cell.get().cloned())
            .collect()
    }

    fn halls(&self) -> MutexGuard<'_, HashMap<StreamUid, Arc<OnceCell<Arc<Hall>>>>> {
        self.halls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
