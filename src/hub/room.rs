//! One room as a pure state machine: its members, what they may do, and its features put together.
//! It does not know sockets, the database or a clock.

mod login;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

pub use login::{Login, Lost};

use self::login::auth_frame;
use super::{
    chat::{self, Chat, Known},
    command::Command,
    effects::{Ack, Effects, Refusal, To},
    member::{Member, MemberId, Now, Role},
    presence::{self, Presence},
    questions::{self, Questions},
    status::Status,
    turn::Turn,
    voice::{self, Voice},
    wire::{Close, ErrorCode, Frame},
};
use crate::{
    config::Config,
    db::{KeptQuestions, RoomRow},
    person::Username,
    time::parse_rfc3339,
};

/// What a room is held to.
#[derive(Clone, Debug)]
pub struct Rules {
    chat: chat::Rules,
    questions: questions::Rules,
    voice: voice::Rules,
    /// Who is back within it never left.
    reload_grace: Duration,
    /// From the end of the stream to the closing of sockets.
    linger: Duration,
    /// Sockets at once.
    members: usize,
}

impl Rules {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        Self {
            chat: chat::Rules::of(config),
            questions: questions::Rules::of(config),
            voice: voice::Rules::of(config),
            reload_grace: config.limits.hub_reload_grace,
            linger: config.hub.linger,
            members: config.limits.hub_members,
        }
    }
}

/// One socket's place.
#[derive(Debug)]
struct Place {
    member: Member,
    address: IpAddr,
    /// By which name it came, as URLs for it begin.
    site: Arc<str>,
    login: Option<(i64, Duration)>,
}

/// One room.
#[derive(Debug)]
pub struct Room {
    places: HashMap<MemberId, Place>,
    chat: Chat,
    questions: Questions,
    voice: Voice,
    presence: Presence,
    status: Status,
    linger: Duration,
    members_max: usize,
    /// When sockets are closed because the stream is over.
    closes_at: Option<Duration>,
}

impl Room {
    /// An empty room with what the database has of it.
    pub fn new(rules: &Rules, row: &RoomRow, status: Status, now: Now) -> Self {
        let peak = usize::try_from(row.peak).unwrap_or(usize::MAX);
        Self {
            places: HashMap::new(),
            chat: Chat::new(rules.chat.clone(), row),
            questions: Questions::new(rules.questions.clone(), vec![], 0),
            voice: Voice::new(rules.voice.clone(), Turn::default()),
            presence: Presence::new(rules.reload_grace, peak),
            closes_at: status.is_over().then(|| now.mono + rules.linger),
            status,
            linger: rules.linger,
            members_max: rules.members,
        }
    }

    /// With the questions that the database has, and the servers that callers need.
    #[must_use]
    pub fn with(mut self, rules: &Rules, kept: KeptQuestions, turn: Turn) -> Self {
        self.questions = Questions::new(rules.questions.clone(), kept.rows, kept.last_id);
        self.voice = Voice::new(rules.voice.clone(), turn);
        self
    }

    /// A socket comes in; it is told all that a newcomer is told.
    ///
    /// # Errors
    /// The close code it gets instead.
    pub fn join(
        &mut self,
        now: Now,
        id: MemberId,
        from: (IpAddr, Arc<str>),
        login: Option<Login>,
        known: Option<&Known>,
    ) -> Result<Effects, Close> {
        let (address, site) = from;
        if self.places.len() >= self.members_max {
            return Err(Close::Overloaded);
        }
        let member = self.member(id, login.as_ref());
        let count = self.presence.joined(now, id, address, member.user.as_ref());
        if self.places.is_empty() && self.status.is_over() {
            self.closes_at = Some(now.mono + self.linger);
        }
        let mut effects = Effects::none();
        let users = self.presence.greet(now, id, count);
        for frame in self.greeting(&member, &site, users, known) {
            effects.send(To::Member(id), frame);
        }
        effects.append(self.voice.arrived(now, &member));
        let login = login.map(|login| (login.generation, login.expires));
        let place = Place {
            member,
            address,
            site,
            login,
        };
        self.places.insert(id, place);
        Ok(effects)
    }

    /// A socket left.
    pub fn leave(&mut self, now: Now, id: MemberId) -> Effects {
        if self.places.remove(&id).is_some() {
            self.presence.left(now, id);
            self.voice.left(now, id);
        }
        Effects::none()
    }

    /// Carries out one frame.
    ///
    /// # Errors
    /// As the contract names them.
    pub fn apply(
        &mut self,
        now: Now,
        id: MemberId,
        subscribed: bool,
        command: Command,
    ) -> Result<(Effects, Ack), Refusal> {
        let place = self.places.get(&id);
        let place = place.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "You have left."))?;
        let member = &place.member;
        // The next tick tells the member so.
        if place.login.is_some_and(|(_, expires)| expires <= now.mono) {
            return Err(Refusal::new(
                ErrorCode::TokenExpired,
                "Your login has expired: log in again.",
            ));
        }
        match command {
            Command::UsersList { cursor } => {
                if member.user.is_none() {
                    return Err(Refusal::login());
                }
                if !member.role.is_staff() {
                    let message = "Only the owner and moderators see the list.";
                    return Err(Refusal::new(ErrorCode::Forbidden, message));
                }
                let members = self.places.values().map(|place| &place.member);
                let mut effects = Effects::none();
                effects.send(To::Member(id), presence::list(members, cursor.as_deref()));
                Ok((effects, Ack::default()))
            }
            Command::Chat(mut command) => {
                let live = self.status.is_live();
                let target = command.target().and_then(|target| target.user.as_ref());
                let target = target.map(|(user_id, _)| *user_id);
                let (mut effects, ack) = self.chat.apply(now, live, subscribed, member, command)?;
                // Who may not write any more may not speak either.
                let out = target.filter(|id| self.chat.may_write(now, true, *id).is_err());
                if let Some(user_id) = out {
                    effects.append(self.voice.expel(now, user_id));
                }
                Ok((effects, ack))
            }
            Command::Question(command) => {
                if let Some(user) = &member.user {
                    self.chat.may_write(now, true, user.id)?;
                }
                let started_at = self.status.started_at.as_deref();
                let started_at_ms = started_at.and_then(parse_rfc3339);
                self.questions.apply(now, started_at_ms, member, command)
            }
            Command::Voice(command) => {
                if let Some(user) = &member.user {
                    self.chat.may_write(now, true, user.id)?;
                }
                let users = || self.places.values().filter_map(|p| p.member.user.as_ref());
                let stage = voice::Room {
                    is_live: self.status.is_live(),
                    find: &|name| {
                        let key = Username::key_of(name);
                        users()
                            .find(|user| Username::key_of(&user.name) == key)
                            .cloned()
                    },
                };
                self.voice.apply(now, &stage, member, command)
            }
        }
    }

    /// What time brings: counts, expired logins, the end.
    pub fn tick(&mut self, now: Now) -> Effects {
        let mut effects = self.presence.tick(now);
        self.chat.tick(now);
        effects.append(self.questions.tick(now));
        effects.append(self.voice.tick(now));
        effects.append(self.expire(now));
        if self.closes_at.is_some_and(|at| at <= now.mono) {
            effects.close(To::Everyone, Close::Ended);
        }
        effects
    }

    /// The stream is another way now.
    pub fn set_status(&mut self, now: Now, status: Status) -> Effects {
        let mut effects = Effects::none();
        if status == self.status {
            return effects;
        }
        if status.is_over() && !self.status.is_over() {
            self.closes_at = Some(now.mono + self.linger);
        }
        // Once for each name that members came by: one, when `http.public_url` is set.
        let mut frames: HashMap<&str, Frame> = HashMap::new();
        for place in self.places.values() {
            let frame = frames
                .entry(&place.site)
                .or_insert_with(|| status.frame(&place.site));
            effects.send(To::Member(place.member.id), frame.clone());
        }
        if !status.is_live() {
            effects.append(self.voice.finish(now));
        }
        self.status = status;
        effects
    }

    /// All that a member needs after it lost frames.
    pub fn catch_up(&self, now: Now, id: MemberId) -> Vec<Frame> {
        let Some(place) = self.places.get(&id) else {
            return vec![];
        };
        let users = self.presence.frame(now);
        self.greeting(&place.member, &place.site, users, None)
            .split_off(1)
    }

    /// Whether a message of this member needs to know if it subscribed; and to which channel.
    pub fn asks_subscription(&self, id: MemberId) -> Option<(i64, i64)> {
        let member = &self.places.get(&id)?.member;
        let wanted = self.chat.asks_subscription(member);
        let user = member.user.as_ref().filter(|_| wanted)?;
        Some((self.chat.channel_id()?, user.id))
    }

    /// Whether a member is owner or moderator.
    pub fn is_staff(&self, id: MemberId) -> bool {
        let place = self.places.get(&id);
        place.is_some_and(|place| place.member.role.is_staff())
    }

    /// Members who get what is sent to `to`; `None`: all.
    pub fn addressed(&self, to: &To) -> Option<Vec<MemberId>> {
        let those = |wanted: &dyn Fn(&Member) -> bool| {
            let members = self.places.values().map(|place| &place.member);
            let wanted = members.filter(|member| wanted(member));
            Some(wanted.map(|member| member.id).collect())
        };
        match to {
            To::Everyone => None,
            To::Member(id) => Some(vec![*id]),
            To::Staff => those(&|member| member.role.is_staff()),
            To::Viewers => those(&|member| !member.role.is_staff()),
            To::Moderators => those(&|member| member.role == Role::Moderator),
            To::Owner => those(&|member| member.role == Role::Owner),
            To::AllBut(ids) => those(&|member| !ids.contains(&member.id)),
            To::User(name) => {
                those(&|member| member.user.as_ref().is_some_and(|user| user.name == *name))
            }
        }
    }

    /// Whether the owner is here.
    pub fn has_owner(&self) -> bool {
        let mut members = self.places.values().map(|place| &place.member);
        members.any(|member| member.role == Role::Owner)
    }

    /// Accounts that are logged in here.
    pub fn users(&self) -> HashSet<i64> {
        let users = self.places.values().filter_map(|p| p.member.user.as_ref());
        users.map(|user| user.id).collect()
    }

    /// The channel of the stream.
    pub fn channel_id(&self) -> Option<i64> {
        self.chat.channel_id()
    }

    /// What everyone was last told of the stream.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// People now.
    pub fn people(&self, now: Now) -> usize {
        self.presence.count(now).count
    }

    /// Nobody is here or on the way back.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.presence.is_empty()
    }

    fn member(&self, id: MemberId, login: Option<&Login>) -> Member {
        let user = login.map(|login| login.user.clone());
        let role = user
            .as_ref()
            .map_or(Role::Viewer, |user| self.chat.role(user.id));
        Member { id, user, role }
    }

    /// Begins with `auth`; what the contract does not name comes last.
    fn greeting(
        &self,
        member: &Member,
        site: &str,
        users: Frame,
        known: Option<&Known>,
    ) -> Vec<Frame> {
        let mut frames = vec![auth_frame(member, None), self.status.frame(site), users];
        let mut chat = self.chat.greet(known);
        let mut questions = self.questions.greet(member);
        let rest = [chat.split_off(1), questions.split_off(1)].concat();
        frames.extend(chat);
        frames.extend(questions);
        frames.extend(self.voice.greet(member));
        frames.extend(rest);
        frames
    }

    /// What a login brings: one's votes, and what owner and moderators see besides.
    fn for_role(&self, member: &Member) -> Vec<Frame> {
        let mut frames = self.questions.recognise(member);
        frames.extend(self.voice.recognise(member));
        frames
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
