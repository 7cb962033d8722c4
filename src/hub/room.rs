//! One room as a pure state machine: its members, what they may do, and its features put together.
//! It does not know sockets, the database or a clock.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use super::{
    chat::{self, Chat, Known},
    command::Command,
    effects::{Ack, Effects, Refusal, To},
    member::{Member, MemberId, Now, Role, User},
    presence::{self, Presence},
    questions::{self, Questions},
    status::Status,
    turn::Turn,
    voice::{self, Voice},
    wire::{Close, ErrorCode, Frame, encode},
};
use crate::{
    config::Config,
    db::{KeptQuestions, RoomRow},
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

/// A valid login token's holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub user: User,
    /// What the account's tokens must carry for this one to stay good.
    pub generation: i64,
    /// When the token's time is over, by the hub's own clock.
    pub expires: Duration,
}

/// Why a member is logged in no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Its password was changed, or the account is gone.
    Revoked,
    /// The account was banned.
    Banned,
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

#[derive(Serialize)]
struct Auth<'a> {
    authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
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
        self.presence.joined(now, id, address, member.user.as_ref());
        if self.places.is_empty() && self.status.is_over() {
            self.closes_at = Some(now.mono + self.linger);
        }
        let mut effects = Effects::none();
        for frame in self.greeting(now, &member, &site, known) {
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

    /// A socket logs in, or in again.
    pub fn login(&mut self, now: Now, id: MemberId, login: Login) -> Effects {
        let mut effects = Effects::none();
        let member = self.member(id, Some(&login));
        let Some(place) = self.places.get_mut(&id) else {
            return effects;
        };
        place.login = Some((login.generation, login.expires));
        if place.member.user != member.user {
            self.voice.left(now, id);
        }
        place.member = member.clone();
        self.presence
            .joined(now, id, place.address, member.user.as_ref());
        effects.send(To::Member(id), auth_frame(&member, None));
        for frame in self.for_role(&member) {
            effects.send(To::Member(id), frame);
        }
        effects.append(self.voice.arrived(now, &member));
        effects
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
                    find: &|name| users().find(|user| *user.name == *name).cloned(),
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
        let over = |place: &Place| place.login.is_some_and(|(_, expires)| expires <= now.mono);
        let expired = self.places.values().filter(|place| over(place));
        for id in expired.map(|place| place.member.id).collect::<Vec<_>>() {
            effects.append(self.expire(now, id));
        }
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

    /// Who moderates was read again.
    pub fn set_moderators(&mut self, moderators: HashSet<i64>) -> Effects {
        self.chat.set_moderators(moderators);
        let mut changed = vec![];
        for place in self.places.values_mut() {
            let Some(user) = &place.member.user else {
                continue;
            };
            let role = self.chat.role(user.id);
            if role != place.member.role {
                place.member.role = role;
                changed.push(place.member.clone());
            }
        }
        let mut effects = Effects::none();
        for member in changed {
            effects.send(To::Member(member.id), auth_frame(&member, None));
            for frame in self.for_role(&member) {
                effects.send(To::Member(member.id), frame);
            }
        }
        effects
    }

    /// Accounts were read again: `lost` says of a user and its token's generation whether the login
    /// holds.
    pub fn recheck(&self, lost: impl Fn(i64, i64) -> Option<Lost>) -> Effects {
        let mut effects = Effects::none();
        for place in self.places.values() {
            let (Some(user), Some((generation, _))) = (&place.member.user, place.login) else {
                continue;
            };
            let close = match lost(user.id, generation) {
                None => continue,
                Some(Lost::Revoked) => Close::Revoked,
                Some(Lost::Banned) => Close::Banned,
            };
            effects.close(To::Member(place.member.id), close);
        }
        effects
    }

    /// All that a member needs after it lost frames.
    pub fn catch_up(&self, now: Now, id: MemberId) -> Vec<Frame> {
        let Some(place) = self.places.get(&id) else {
            return vec![];
        };
        self.greeting(now, &place.member, &place.site, None)
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

    /// Ends a login whose token's time is over; the socket goes on reading.
    fn expire(&mut self, now: Now, id: MemberId) -> Effects {
        let mut effects = Effects::none();
        let Some(place) = self.places.get_mut(&id) else {
            return effects;
        };
        if place.login.is_none_or(|(_, expires)| expires > now.mono) {
            return effects;
        }
        place.login = None;
        self.voice.left(now, id);
        place.member.user = None;
        place.member.role = Role::Viewer;
        self.presence.joined(now, id, place.address, None);
        let frame = auth_frame(&place.member, Some("token_expired"));
        effects.send(To::Member(id), frame);
        effects
    }

    /// Begins with `auth`.
    fn greeting(&self, now: Now, member: &Member, site: &str, known: Option<&Known>) -> Vec<Frame> {
        let mut frames = vec![
            auth_frame(member, None),
            self.status.frame(site),
            self.presence.frame(now),
        ];
        frames.extend(self.chat.greet(known));
        frames.extend(self.questions.greet(member));
        frames.extend(self.voice.greet(member));
        frames
    }

    /// What a login brings: one's votes, and what owner and moderators see besides.
    fn for_role(&self, member: &Member) -> Vec<Frame> {
        let mut frames = self.questions.recognise(member);
        frames.extend(self.voice.recognise(member));
        frames
    }
}

fn auth_frame(member: &Member, reason: Option<&'static str>) -> Frame {
    let username: Option<&Arc<str>> = member.user.as_ref().map(|user| &user.name);
    let auth = Auth {
        authenticated: username.is_some(),
        username: username.map(|name| &**name),
        role: username.map(|_| member.role.as_str()),
        reason,
    };
    encode("auth", &auth)
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
