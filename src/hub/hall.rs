//! A room with its members' queues: carries a step's effects out under one short lock, so that all
//! see the same order, and never waits for anyone. It does not know what a step does.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use metrics::counter;
use tokio::time::Instant;

use super::{
    chat::Known,
    command::Command,
    effects::{Ack, Effects, Persist, Refusal, To},
    member::{MemberId, Now},
    outbox::{Limits, Outbox},
    room::{Login, Room},
    wire::{Close, ErrorCode, Frame},
};
use crate::{
    db::{Behind, RoomWrite, now_ms},
    name::StreamUid,
};

/// Rows that one step writes at most.
const STEP_ROWS: usize = 16;
/// Members told to come back at once after a restart, for each second.
const RETURNS_PER_S: f64 = 1000.0;
/// The least time over which they are spread.
const RETURN_MIN_S: f64 = 1.0;

/// The hub's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Both clocks.
    pub fn now(self) -> Now {
        Now {
            wall_ms: now_ms(),
            mono: self.0.elapsed(),
        }
    }
}

/// One stream's room and who is in it.
pub struct Hall {
    /// The stream.
    pub uid: StreamUid,
    stream_id: i64,
    clock: Clock,
    limits: Limits,
    behind: Behind,
    inside: Mutex<Inside>,
}

struct Inside {
    room: Room,
    outboxes: HashMap<MemberId, Arc<Outbox>>,
    /// Nobody comes in any more: another hall will be opened.
    shut: bool,
}

/// A member's presence: it leaves when this is dropped.
pub struct Present {
    /// Where.
    pub hall: Arc<Hall>,
    /// Who.
    pub id: MemberId,
    /// What it is sent.
    pub outbox: Arc<Outbox>,
}

/// Why nobody comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEntry {
    /// The hall was given up in between: ask for it again.
    Shut,
    /// The socket is closed with this.
    Close(Close),
}

impl Hall {
    /// An empty hall.
    pub fn new(
        uid: StreamUid,
        stream_id: i64,
        room: Room,
        clock: Clock,
        limits: Limits,
        behind: Behind,
    ) -> Self {
        Self {
            uid,
            stream_id,
            clock,
            limits,
            behind,
            inside: Mutex::new(Inside {
                room,
                outboxes: HashMap::new(),
                shut: false,
            }),
        }
    }

    /// Lets a socket in.
    ///
    /// # Errors
    /// [`NoEntry`].
    pub fn enter(
        self: &Arc<Self>,
        id: MemberId,
        from: (IpAddr, Arc<str>),
        login: Option<Login>,
        known: Option<&Known>,
    ) -> Result<Present, NoEntry> {
        let now = self.clock.now();
        let mut inside = self.lock();
        if inside.shut {
            return Err(NoEntry::Shut);
        }
        let greeting = inside.room.join(now, id, from, login, known);
        let greeting = greeting.map_err(NoEntry::Close)?;
        let outbox = Arc::new(Outbox::new(self.limits));
        outbox.greet(greeting.events.into_iter().map(|(_, frame)| frame));
        inside.outboxes.insert(id, outbox.clone());
        Ok(Present {
            hall: self.clone(),
            id,
            outbox,
        })
    }

    /// Carries out a client's frame.
    ///
    /// # Errors
    /// As the contract names them; `queue_full` while the database lags too far behind.
    pub fn apply(&self, id: MemberId, subscribed: bool, command: Command) -> Result<Ack, Refusal> {
        // Before the step: what was said must have a place to be kept.
        let places = self.behind.places(STEP_ROWS).ok_or_else(|| {
            Refusal::retry(
                ErrorCode::QueueFull,
                "The server cannot keep this now.",
                1.0,
            )
        })?;
        let mut inside = self.lock();
        let now = self.clock.now();
        let (effects, ack) = inside.room.apply(now, id, subscribed, command)?;
        self.carry_out(&inside, effects, Some(places));
        Ok(ack)
    }

    /// Any other step of the room.
    pub fn step(&self, step: impl FnOnce(&mut Room, Now) -> Effects) {
        let places = self.behind.places(STEP_ROWS);
        let mut inside = self.lock();
        let now = self.clock.now();
        let effects = step(&mut inside.room, now);
        self.carry_out(&inside, effects, places);
    }

    /// Looks at the room.
    pub fn look<T>(&self, look: impl FnOnce(&Room, Now) -> T) -> T {
        look(&self.lock().room, self.clock.now())
    }

    /// Sends an event that is no change of the room.
    pub fn tell(&self, to: To, frame: Frame) {
        let mut effects = Effects::none();
        effects.send(to, frame);
        self.carry_out(&self.lock(), effects, None);
    }

    /// Gives the hall up if nobody is in it: its chat is then whole in the database.
    pub fn shut_if_empty(&self) -> bool {
        let mut inside = self.lock();
        if inside.room.is_empty() && !inside.shut {
            inside.shut = true;
            self.settle();
        }
        inside.shut
    }

    /// Gives the hall up: whoever is in it is to come back, spread over a time.
    pub fn restart(&self) {
        let mut inside = self.lock();
        inside.shut = true;
        let count = inside.outboxes.len() as f64;
        let spread_s = (count / RETURNS_PER_S).max(RETURN_MIN_S);
        for (n, outbox) in inside.outboxes.values().enumerate() {
            let wait_s = RETURN_MIN_S + spread_s * n as f64 / count.max(1.0);
            outbox.close(Close::Restarting, format!("{wait_s:.1}"));
        }
        self.settle();
    }

    /// All that was said is queued before this.
    fn settle(&self) {
        use crate::db::ChatWrite::Settled;
        if let Some(mut places) = self.behind.places(1) {
            places.write(self.stream_id, RoomWrite::Chat(Settled));
        }
    }

    fn carry_out(&self, inside: &Inside, effects: Effects, places: Option<crate::db::Places<'_>>) {
        for (to, frame) in effects.events {
            let mut dropped = 0;
            let mut push = |outbox: &Arc<Outbox>| dropped += u64::from(!outbox.push(frame.clone()));
            match inside.room.addressed(&to) {
                None => inside.outboxes.values().for_each(push),
                Some(ids) => ids
                    .iter()
                    .filter_map(|id| inside.outboxes.get(id))
                    .for_each(&mut push),
            }
            if dropped > 0 {
                counter!("cauce_hub_frames_dropped_total").increment(dropped);
            }
        }
        for (to, close) in effects.closes {
            let end = |outbox: &Arc<Outbox>| outbox.close(close, String::new());
            match inside.room.addressed(&to) {
                None => inside.outboxes.values().for_each(end),
                Some(ids) => ids
                    .iter()
                    .filter_map(|id| inside.outboxes.get(id))
                    .for_each(end),
            }
        }
        let Some(mut places) = places else {
            return;
        };
        for write in effects.persist {
            let write = match write {
                Persist::Chat(write) => RoomWrite::Chat(write),
                Persist::Question(write) => RoomWrite::Question(write),
            };
            places.write(self.stream_id, write);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    /// Brings the member up to date after frames were dropped, and says how many.
    pub fn catch_up(&self, missed: u64) {
        #[derive(serde::Serialize)]
        struct Resync {
            missed: u64,
        }
        counter!("cauce_hub_resyncs_total").increment(1);
        let inside = self.hall.lock();
        let resync = super::wire::encode("resync", &Resync { missed });
        let now = self.hall.clock.now();
        let frames = inside.room.catch_up(now, self.id);
        self.outbox.greet(std::iter::once(resync).chain(frames));
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut inside = self.hall.lock();
        inside.outboxes.remove(&self.id);
        let now = self.hall.clock.now();
        let effects = inside.room.leave(now, self.id);
        self.hall.carry_out(&inside, effects, None);
    }
}
