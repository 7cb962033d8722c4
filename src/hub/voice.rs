//! The stage of one room as a pure state machine: who asks to speak, is invited, speaks and leaves
//! (realtime rules 14 to 17). No sound passes the server, and it does not know sockets: time comes
//! in, frames go out.
//!
//! A call is one user's time from the raised hand or the invitation to the end:
//! off -> requested -> invited or accepted -> on stage -> off. Those on stage are connected each with
//! each (a mesh, for the few) and with the host, which is one socket of the owner. A speaker's id as
//! a peer is the id of its call; the host's is [`HOST`].

mod frame;
mod mesh;
mod presence;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use frame::{Candidate, Command, Description, Payload};

use super::{
    effects::{Ack, Effects, Refusal, To},
    member::{Member, MemberId, Now, Role, User},
    pace::{Pace, Throttle},
    turn::Turn,
    wire::{ErrorCode, Frame},
};
use crate::{config::Config, time::rfc3339};

/// The host's id as a peer.
pub const HOST: &str = "host";
/// How long an invitation stands.
const INVITE_TTL: Duration = Duration::from_secs(60);
/// A call whose socket is lost waits so long for its user to come back.
const LOST_GRACE: Duration = Duration::from_secs(5);
/// `voice_state` and `voice_queue` at most once in this time.
const TOLD_EVERY: Duration = Duration::from_millis(250);
/// Frames other than signals that one user may send at once, and how often after that.
const COMMANDS_BURST: u32 = 20;
const COMMAND_EVERY: Duration = Duration::from_millis(500);
/// How often a socket may signal once its burst is used up.
const SIGNAL_EVERY: Duration = Duration::from_millis(50);

/// What the stage is held to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Speakers at once, the host not counted.
    pub max_speakers: usize,
    /// Raised hands and invitations at once.
    pub queue: usize,
    /// One signal as it is passed on, bytes.
    pub signal_bytes: usize,
    /// Signals that one socket may send at once.
    pub signal_burst: u32,
}

impl Rules {
    /// As configured: `voice.max_speakers` and `limits.voice_*`.
    pub fn of(config: &Config) -> Self {
        Self {
            max_speakers: config.voice.max_speakers,
            queue: config.limits.voice_queue,
            signal_bytes: config.limits.voice_signal_bytes,
            signal_burst: u32::try_from(config.limits.voice_signal_burst).unwrap_or(u32::MAX),
        }
    }
}

/// What the stage asks the room.
pub struct Room<'a> {
    /// Whether the stream is live, paused or not.
    pub is_live: bool,
    /// A logged-in person in the room, by username.
    pub find: &'a dyn Fn(&str) -> Option<User>,
}

#[derive(Clone, Debug)]
enum Stage {
    Requested,
    Invited {
        by: Arc<str>,
        until: Duration,
    },
    /// Counts up with each time that the speaker was connected to the others.
    Speaking {
        connected: u64,
    },
}

#[derive(Clone, Debug)]
struct Call {
    name: Arc<str>,
    user: User,
    stage: Stage,
    requested_at_ms: i64,
    muted: bool,
    seat: Seat,
}

/// The socket that holds an end of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    /// None yet: an invitation goes to every socket of its user.
    Open,
    Taken(MemberId),
    /// Lost; given up at this time.
    Lost(Duration),
}

impl Seat {
    fn member(self) -> Option<MemberId> {
        match self {
            Self::Taken(member) => Some(member),
            Self::Open | Self::Lost(_) => None,
        }
    }
}

#[derive(Clone, Debug)]
struct Host {
    user: User,
    seat: Seat,
}

/// The stage of one room.
#[derive(Debug)]
pub struct Voice {
    rules: Rules,
    turn: Turn,
    calls: BTreeMap<u64, Call>,
    calls_ever: u64,
    connected_ever: u64,
    /// Who holds the streamer's end, while somebody is on stage.
    host: Option<Host>,
    /// The owner's sockets, in the order of their coming.
    owners: Vec<(MemberId, User)>,
    commands: Pace<i64>,
    signals: Pace<MemberId>,
    told: Throttle,
    changed: bool,
}

/// What an accepted frame leads to.
type Done = Result<(Effects, Ack), Refusal>;

impl Voice {
    /// An empty stage.
    pub fn new(rules: Rules, turn: Turn) -> Self {
        Self {
            turn,
            calls: BTreeMap::new(),
            calls_ever: 0,
            connected_ever: 0,
            host: None,
            owners: vec![],
            commands: Pace::new(COMMANDS_BURST, COMMAND_EVERY),
            signals: Pace::new(rules.signal_burst, SIGNAL_EVERY),
            told: Throttle::new(TOLD_EVERY),
            changed: false,
            rules,
        }
    }

    /// Carries out one frame.
    ///
    /// # Errors
    /// As the contract names them: `auth_required`, `not_live`, `forbidden`, `rate_limited`,
    /// `queue_full`, `too_long`, `bad_message`, `not_found`.
    pub fn apply(&mut self, now: Now, room: &Room<'_>, member: &Member, command: Command) -> Done {
        let user = member.user.as_ref().ok_or_else(Refusal::login)?;
        if !room.is_live {
            return Err(Refusal::new(ErrorCode::NotLive, "The stream is not live."));
        }
        // Signals come in swarms, and have a pace of their own.
        if !matches!(command, Command::Signal { .. }) {
            self.commands.take(user.id, now.mono).map_err(too_fast)?;
        }
        let mut effects = Effects::none();
        let id = match command {
            Command::Request => self.request(now, member, user)?,
            Command::Cancel => {
                let waiting = |(_, c): &(&u64, &Call)| c.user.id == user.id && !c.is_speaking();
                let found = self.calls.iter().find(waiting).map(|(id, _)| *id);
                let id = found.ok_or_else(not_found)?;
                self.end(id, "cancelled", &mut effects);
                id
            }
            Command::Invite(name) => {
                staff_only(member.role)?;
                let guest = (room.find)(&name).ok_or_else(|| {
                    Refusal::new(ErrorCode::NotFound, "There is nobody of that name here.")
                })?;
                self.invite(now, user, guest, &mut effects)?
            }
            Command::Accept(call) => self.accept(now, member, user, &call, &mut effects)?,
            Command::Deny(call) => self.deny(member.role, user, &call, &mut effects)?,
            Command::HangUp(call) => self.hang_up(member.role, user, &call, &mut effects)?,
            Command::Mute { call, muted } => {
                self.mute(member.role, user, &call, muted, &mut effects)?
            }
            Command::Signal { call, to, payload } => {
                return self.signal(now, member.id, &call, &to, &payload);
            }
        };
        self.tell(now, &mut effects);
        Ok((effects, Ack::id(id.to_string())))
    }

    /// What a member gets on joining: `voice_state`, and `voice_queue` for owner and moderators.
    pub fn greet(&self, member: &Member) -> Vec<Frame> {
        let mut frames = vec![self.state_frame()];
        frames.extend(self.recognise(member));
        frames
    }

    /// What a member gets on logging in later: `voice_queue` for owner and moderators.
    pub fn recognise(&self, member: &Member) -> Vec<Frame> {
        let queue = member.role.is_staff().then(|| self.queue_frame());
        queue.into_iter().collect()
    }

    fn request(&mut self, now: Now, member: &Member, user: &User) -> Result<u64, Refusal> {
        if member.role == Role::Owner {
            return Err(refused("The host is on stage already."));
        }
        if let Some((id, _)) = self.call_of(user.id) {
            return Ok(id);
        }
        self.add(now, user.clone(), Stage::Requested, Seat::Taken(member.id))
    }

    fn invite(
        &mut self,
        now: Now,
        by: &User,
        guest: User,
        effects: &mut Effects,
    ) -> Result<u64, Refusal> {
        if self.owners.iter().any(|(_, owner)| owner.id == guest.id) {
            return Err(refused("The host is on stage already."));
        }
        let stage = Stage::Invited {
            by: by.name.clone(),
            until: now.mono + INVITE_TTL,
        };
        let id = match self.call_of(guest.id) {
            Some((id, call)) if call.is_speaking() => return Ok(id),
            known => {
                if self.speaking() >= self.rules.max_speakers {
                    return Err(full("The stage is full."));
                }
                match known.map(|(id, _)| id) {
                    Some(id) => id,
                    None => self.add(now, guest.clone(), stage.clone(), Seat::Open)?,
                }
            }
        };
        let call = self.calls.get_mut(&id).ok_or_else(not_found)?;
        call.stage = stage;
        call.seat = Seat::Open;
        self.changed = true;
        effects.send(To::User(guest.name), frame::invited(&call.name, &by.name));
        Ok(id)
    }

    /// A moderator lets a raised hand in, or an invited user comes; from the owner, for a call that
    /// is on stage: the host's end is to be here.
    fn accept(
        &mut self,
        now: Now,
        member: &Member,
        user: &User,
        name: &str,
        effects: &mut Effects,
    ) -> Result<u64, Refusal> {
        let (id, call) = self.call_named(name)?;
        let own = call.user.id == user.id;
        match call.stage {
            Stage::Requested if member.role.is_staff() => {}
            // The host has an end already: with a second one it would signal to itself.
            Stage::Invited { .. } if own && member.role != Role::Owner => {}
            Stage::Speaking { .. } if own => return Ok(id),
            Stage::Speaking { .. } if member.role == Role::Owner => {
                self.seat_host(now, member.id, user.clone(), effects);
                return Ok(id);
            }
            _ => return Err(forbidden("This call is for somebody else to accept.")),
        }
        if self.speaking() >= self.rules.max_speakers {
            return Err(full("The stage is full."));
        }
        if let Some(call) = self.calls.get_mut(&id).filter(|_| own) {
            call.seat = Seat::Taken(member.id);
        }
        self.choose_host(member);
        self.connect(now, id, effects);
        Ok(id)
    }

    fn deny(
        &mut self,
        role: Role,
        user: &User,
        name: &str,
        effects: &mut Effects,
    ) -> Result<u64, Refusal> {
        let (id, call) = self.call_named(name)?;
        let reason = match call.stage {
            Stage::Speaking { .. } => return Err(not_found()),
            Stage::Invited { .. } if call.user.id == user.id => "denied",
            Stage::Invited { .. } if role.is_staff() => "cancelled",
            Stage::Requested if role.is_staff() => "denied",
            _ => return Err(forbidden("This call is for somebody else to deny.")),
        };
        self.end(id, reason, effects);
        Ok(id)
    }

    fn hang_up(
        &mut self,
        role: Role,
        user: &User,
        name: &str,
        effects: &mut Effects,
    ) -> Result<u64, Refusal> {
        let (id, call) = self.call_named(name)?;
        let reason = match call.stage {
            Stage::Speaking { .. } if call.user.id == user.id => "hangup",
            Stage::Speaking { .. } if role.is_staff() => "removed",
            _ if call.user.id == user.id => "cancelled",
            Stage::Requested if role.is_staff() => "denied",
            _ if role.is_staff() => "cancelled",
            _ => return Err(forbidden("This call is for somebody else to end.")),
        };
        self.end(id, reason, effects);
        Ok(id)
    }

    /// A speaker mutes and unmutes itself; staff mutes, and can only ask for the opposite.
    fn mute(
        &mut self,
        role: Role,
        user: &User,
        name: &str,
        muted: bool,
        effects: &mut Effects,
    ) -> Result<u64, Refusal> {
        let (id, call) = self.call_named(name)?;
        let own = call.user.id == user.id;
        if !own && !role.is_staff() {
            return Err(forbidden("This is somebody else's microphone."));
        }
        if !call.is_speaking() {
            return Err(not_found());
        }
        if let (false, Some(seat)) = (own, call.seat.member()) {
            effects.send(To::Member(seat), frame::mute(&call.name, muted, &user.name));
        }
        let new = if own { muted } else { muted || call.muted };
        let call = self.calls.get_mut(&id).ok_or_else(not_found)?;
        self.changed |= call.muted != new;
        call.muted = new;
        Ok(id)
    }

    fn add(&mut self, now: Now, user: User, stage: Stage, seat: Seat) -> Result<u64, Refusal> {
        if self.calls.len() - self.speaking() >= self.rules.queue {
            return Err(full("Too many are waiting to speak."));
        }
        self.calls_ever += 1;
        let id = self.calls_ever;
        let call = Call {
            name: id.to_string().into(),
            user,
            stage,
            requested_at_ms: now.wall_ms,
            muted: false,
            seat,
        };
        self.calls.insert(id, call);
        self.changed = true;
        Ok(id)
    }

    /// Ends a call and tells those who knew of it.
    fn end(&mut self, id: u64, reason: &str, effects: &mut Effects) {
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        self.changed = true;
        let frame = frame::ended(&call.name, reason);
        match call.stage {
            Stage::Requested => {}
            Stage::Invited { .. } => effects.send(To::Staff, frame.clone()),
            Stage::Speaking { .. } => {
                let others = self.ends().filter_map(|(_, seat)| seat.member());
                for member in others {
                    effects.send(To::Member(member), frame.clone());
                }
            }
        }
        effects.send(To::User(call.user.name), frame);
        if self.speaking() == 0 {
            self.host = None;
        }
    }

    /// Sends who waits and who speaks, if that changed and it is time.
    fn tell(&mut self, now: Now, effects: &mut Effects) {
        if self.changed && self.told.passes(now.mono) {
            self.changed = false;
            effects.send(To::Staff, self.queue_frame());
            effects.send(To::Everyone, self.state_frame());
        }
    }

    fn requested(&self) -> impl Iterator<Item = &Call> {
        let calls = self.calls.values();
        calls.filter(|c| matches!(c.stage, Stage::Requested))
    }

    fn queue_frame(&self) -> Frame {
        let items = self.requested().map(|call| frame::Waiting {
            call: &call.name,
            user: &call.user.name,
            requested_at: rfc3339(call.requested_at_ms),
        });
        frame::queue(items.collect())
    }

    fn state_frame(&self) -> Frame {
        let speaking = self.calls.values().filter(|c| c.is_speaking());
        let speakers = speaking.map(|call| frame::Speaker {
            call: &call.name,
            user: &call.user.name,
            muted: call.muted,
        });
        frame::state(self.requested().count(), speakers.collect())
    }

    fn speaking(&self) -> usize {
        self.calls.values().filter(|c| c.is_speaking()).count()
    }

    fn call_of(&self, user_id: i64) -> Option<(u64, &Call)> {
        let mut calls = self.calls.iter();
        let found = calls.find(|(_, call)| call.user.id == user_id);
        found.map(|(id, call)| (*id, call))
    }

    fn call_named(&self, name: &str) -> Result<(u64, &Call), Refusal> {
        let mut calls = self.calls.iter();
        let found = calls.find(|(_, call)| *call.name == *name);
        found.map(|(id, call)| (*id, call)).ok_or_else(not_found)
    }
}

impl Call {
    fn is_speaking(&self) -> bool {
        matches!(self.stage, Stage::Speaking { .. })
    }
}

fn staff_only(role: Role) -> Result<(), Refusal> {
    if role.is_staff() {
        return Ok(());
    }
    Err(forbidden("Only the owner and moderators may do this."))
}

fn forbidden(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::Forbidden, message)
}

fn refused(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::BadMessage, message)
}

fn full(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::QueueFull, message)
}

fn too_fast(seconds: f64) -> Refusal {
    Refusal::retry(ErrorCode::RateLimited, "Too many at once.", seconds)
}

fn not_found() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "There is no such call.")
}

#[cfg(test)]
mod tests;
