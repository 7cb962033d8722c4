//! The chat of one room as a pure state machine: what is said, edited, deleted and pinned, and in
//! what order (`seq`). Who may not write stands in `moderation`. It does not know sockets or the
//! database: time comes in, frames and rows go out.

mod frame;
mod moderation;
mod rate;
#[cfg(test)]
mod tests;
mod words;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

pub use frame::{Command, Target};
pub use moderation::Moderation;
pub use words::BlockedWords;

use self::{frame::said_frame, rate::Rate};
use super::{
    effects::{Ack, Effects, Persist, Refusal, To},
    member::{Member, Now, Role, User},
    wire::{self, ErrorCode, Frame},
};
use crate::{
    config::Config,
    db::{Audit, ChatRow, ChatWrite, RoomRow},
};

/// Bytes of an id that is looked for: ours are shorter.
const ID_BYTES_MAX: usize = 64;

/// What the chat is held to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Characters of a message after NFKC.
    chars_max: usize,
    /// Messages one user may send in `per`.
    burst: usize,
    per: Duration,
    blocked: BlockedWords,
    /// Messages kept for those who join.
    history: usize,
}

impl Rules {
    /// As configured: `chat.*` and `hub.history`.
    pub fn of(config: &Config) -> Self {
        Self {
            chars_max: config.chat.max_chars,
            burst: config.chat.burst,
            per: config.chat.per,
            blocked: BlockedWords::new(&config.chat.blocked_words),
            history: config.hub.history,
        }
    }
}

/// What a client knows already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The highest `seq` it has.
    pub since: u64,
    /// The epoch of that number.
    pub epoch: String,
}

/// The chat of one room.
#[derive(Debug)]
pub struct Chat {
    rules: Rules,
    epoch: String,
    seq: u64,
    history: VecDeque<ChatRow>,
    pinned: Option<ChatRow>,
    slow: Duration,
    subscribers_only: bool,
    channel_id: Option<i64>,
    owner_id: Option<i64>,
    moderators: HashSet<i64>,
    /// Users who may not write; `None` is for ever, else the wall clock, milliseconds.
    silenced: HashMap<i64, Option<i64>>,
    rate: Rate,
    /// When each user last wrote, kept while slow mode is on.
    last_said: HashMap<i64, Duration>,
}

/// What an accepted frame leads to.
pub type Done = Result<(Effects, Ack), Refusal>;

impl Chat {
    /// The chat as the database has it.
    pub fn new(rules: Rules, row: &RoomRow) -> Self {
        Self {
            rate: Rate::new(rules.burst, rules.per),
            rules,
            epoch: row.epoch.clone(),
            seq: row.seq,
            history: row.messages.iter().cloned().collect(),
            pinned: row.pinned.clone(),
            slow: Duration::from_millis(row.slow_ms.unsigned_abs()),
            subscribers_only: row.subscribers_only,
            channel_id: row.channel_id,
            owner_id: row.owner_id,
            moderators: row.moderators.iter().copied().collect(),
            silenced: row.silenced.iter().copied().collect(),
            last_said: HashMap::new(),
        }
    }

    /// Whether a message of this member needs to know if it subscribed.
    pub fn asks_subscription(&self, member: &Member) -> bool {
        self.subscribers_only && !member.role.is_staff() && member.user.is_some()
    }

    /// Other users moderate now.
    pub fn set_moderators(&mut self, moderators: HashSet<i64>) {
        self.moderators = moderators;
    }

    /// What a user may do here.
    pub fn role(&self, user_id: i64) -> Role {
        if self.owner_id == Some(user_id) {
            Role::Owner
        } else if self.moderators.contains(&user_id) {
            Role::Moderator
        } else {
            Role::Viewer
        }
    }

    /// The channel of the stream.
    pub fn channel_id(&self) -> Option<i64> {
        self.channel_id
    }

    /// Carries out one frame. `live`: the stream is; `subscribed`: the member is, to its channel.
    ///
    /// # Errors
    /// As the contract names them.
    pub fn apply(
        &mut self,
        now: Now,
        live: bool,
        subscribed: bool,
        member: &Member,
        command: Command,
    ) -> Done {
        let user = member.user.as_ref().ok_or_else(Refusal::login)?;
        match command {
            Command::Say { message, reply_to } => {
                self.may_write(now, live, user.id)?;
                let text = self.text(&message)?;
                if let Some(id) = &reply_to {
                    self.find(id)?;
                }
                self.may_say(now, subscribed, member, user)?;
                self.say(now, member, user, text, reply_to)
            }
            Command::Edit { id, message } => {
                self.may_write(now, live, user.id)?;
                let text = self.text(&message)?;
                self.edit(now, member, user, &id, text)
            }
            Command::Delete { id } => self.delete(now, member, user, &id),
            Command::Moderate(action) => self.moderate(now, member, user, action),
        }
    }

    /// What a newcomer gets: what it missed, else the newest messages.
    pub fn greet(&self, known: Option<&Known>) -> Vec<Frame> {
        let mut frames = Vec::with_capacity(3);
        match known.filter(|known| self.remembers(known)) {
            Some(known) => {
                let old = self.history.partition_point(|row| row.seq <= known.since);
                frames.push(self.history_frame(old));
                // What changed of the messages that it has.
                let changed = self.history.iter().take(old);
                frames.extend(changed.filter_map(frame::changed_frame));
            }
            None => frames.push(self.history_frame(0)),
        }
        if self.slow > Duration::ZERO || self.subscribers_only {
            frames.push(self.settings_frame());
        }
        if self.pinned.is_some() {
            frames.push(self.pinned_frame());
        }
        frames
    }

    /// Forgets what no longer counts.
    pub fn tick(&mut self, now: Now) {
        self.rate.sweep(now.mono);
        let slow = self.slow;
        self.last_said.retain(|_, last| *last + slow > now.mono);
        self.silenced
            .retain(|_, until| until.is_none_or(|until| until > now.wall_ms));
    }

    /// Whether everything after what the client has is still here.
    fn remembers(&self, known: &Known) -> bool {
        let oldest = self.history.front().map_or(self.seq + 1, |row| row.seq);
        known.epoch == self.epoch && known.since <= self.seq && known.since + 1 >= oldest
    }

    /// Whether this user may write now: not banned, not silenced, and the stream is live.
    pub(super) fn may_write(&self, now: Now, live: bool, user_id: i64) -> Result<(), Refusal> {
        match self.silenced.get(&user_id) {
            Some(None) => Err(Refusal::new(
                ErrorCode::Banned,
                "You are banned from this channel's chat.",
            )),
            Some(Some(until)) if *until > now.wall_ms => Err(Refusal::retry(
                ErrorCode::TimedOut,
                "You may not write for a while.",
                seconds_between(now.wall_ms, *until),
            )),
            _ if live => Ok(()),
            _ => Err(Refusal::new(
                ErrorCode::NotLive,
                "The chat opens when the stream is live.",
            )),
        }
    }

    /// The text as it is kept, within the rules.
    fn text(&self, message: &str) -> Result<String, Refusal> {
        let text = words::plain(message);
        if text.is_empty() {
            let message = "The message is empty.";
            return Err(Refusal::new(ErrorCode::BadMessage, message));
        }
        if words::count(&text) > self.rules.chars_max {
            let message = format!("At most {} characters.", self.rules.chars_max);
            return Err(Refusal::new(ErrorCode::TooLong, message));
        }
        if self.rules.blocked.found_in(&text) {
            let message = "The message contains a word that is not allowed here.";
            return Err(Refusal::new(ErrorCode::BlockedWord, message));
        }
        Ok(text)
    }

    /// The room's own limits on a new message; the one that is accepted counts.
    fn may_say(
        &mut self,
        now: Now,
        subscribed: bool,
        member: &Member,
        user: &User,
    ) -> Result<(), Refusal> {
        let staff = member.role.is_staff();
        if self.subscribers_only && !staff && !subscribed {
            let message = "Only subscribers of the channel write here now.";
            return Err(Refusal::new(ErrorCode::Forbidden, message));
        }
        let last = self.last_said.get(&user.id);
        if let (false, Some(last)) = (staff, last)
            && let Some(wait) = (*last + self.slow).checked_sub(now.mono)
            && wait > Duration::ZERO
        {
            let message = "The chat is in slow mode.";
            return Err(Refusal::retry(
                ErrorCode::SlowMode,
                message,
                wait.as_secs_f64(),
            ));
        }
        self.rate.take(user.id, now.mono).map_err(|wait| {
            let message = "You are writing too fast.";
            Refusal::retry(ErrorCode::RateLimited, message, wait.as_secs_f64())
        })
    }

    fn say(
        &mut self,
        now: Now,
        member: &Member,
        user: &User,
        text: String,
        reply_to: Option<String>,
    ) -> Done {
        self.seq += 1;
        let row = ChatRow {
            seq: self.seq,
            id: format!("{}-{}", self.epoch, self.seq),
            user_id: user.id,
            user: user.name.to_string(),
            role: member.role.as_str().to_owned(),
            text,
            reply_to,
            created_at_ms: now.wall_ms,
            edited_at_ms: None,
            deleted: false,
        };
        if self.slow > Duration::ZERO {
            self.last_said.insert(user.id, now.mono);
        }
        let ack = Ack {
            id: Some(row.id.clone()),
            seq: Some(row.seq),
        };
        let mut effects = Effects::none();
        effects.send(To::Everyone, said_frame(&row));
        effects
            .persist
            .push(Persist::Chat(ChatWrite::Said(row.clone())));
        self.history.push_back(row);
        while self.history.len() > self.rules.history {
            self.history.pop_front();
        }
        Ok((effects, ack))
    }

    fn edit(&mut self, now: Now, member: &Member, user: &User, id: &str, text: String) -> Done {
        let row = self.find(id)?;
        let own = row.user_id == user.id;
        if !own && !member.role.is_staff() {
            return Err(not_yours());
        }
        let (seq, before) = (row.seq, row.text.clone());
        self.rate.take(user.id, now.mono).map_err(|wait| {
            let message = "You are writing too fast.";
            Refusal::retry(ErrorCode::RateLimited, message, wait.as_secs_f64())
        })?;
        let mut effects = Effects::none();
        let frame = frame::edited_frame(id, &text, now.wall_ms);
        effects.send(To::Everyone, frame);
        effects.persist.push(Persist::Chat(ChatWrite::Edited {
            seq,
            text: text.clone(),
            at_ms: now.wall_ms,
        }));
        if !own {
            effects
                .persist
                .push(audit(now, user, "edit", Some(id), Some(before)));
        }
        self.change(seq, |row| {
            row.text.clone_from(&text);
            row.edited_at_ms = Some(now.wall_ms);
        });
        if self.pinned.as_ref().is_some_and(|pinned| pinned.seq == seq) {
            effects.send(To::Everyone, self.pinned_frame());
        }
        Ok((effects, Ack::id(id)))
    }

    fn delete(&mut self, now: Now, member: &Member, user: &User, id: &str) -> Done {
        let row = self.find(id)?;
        let own = row.user_id == user.id;
        if !own && !member.role.is_staff() {
            return Err(not_yours());
        }
        let (seq, before) = (row.seq, row.text.clone());
        let mut effects = Effects::none();
        effects.send(To::Everyone, frame::deleted_frame(id));
        let write = ChatWrite::Deleted { seq };
        effects.persist.push(Persist::Chat(write));
        if !own {
            let record = audit(now, user, "delete", Some(id), Some(before));
            effects.persist.push(record);
        }
        self.change(seq, |row| {
            row.text.clear();
            row.deleted = true;
        });
        if self.pinned.as_ref().is_some_and(|pinned| pinned.seq == seq) {
            self.pinned = None;
            effects.send(To::Everyone, self.pinned_frame());
            effects.persist.push(self.settings_write());
        }
        Ok((effects, Ack::id(id)))
    }

    /// A message that was not deleted. Older ones than the room keeps are out of reach.
    fn find(&self, id: &str) -> Result<&ChatRow, Refusal> {
        let known = self.history.iter().rev().chain(&self.pinned);
        let mut named = known.filter(|row| id.len() <= ID_BYTES_MAX && row.id == id);
        named
            .find(|row| !row.deleted)
            .ok_or_else(|| Refusal::new(ErrorCode::NotFound, "There is no such message."))
    }

    fn change(&mut self, seq: u64, change: impl Fn(&mut ChatRow)) {
        let here = self.history.iter_mut().chain(&mut self.pinned);
        here.filter(|row| row.seq == seq).for_each(change);
    }

    fn history_frame(&self, skip: usize) -> Frame {
        let messages = self.history.iter().skip(skip);
        frame::history_frame(messages, &self.epoch, self.seq)
    }

    fn settings_frame(&self) -> Frame {
        frame::settings_frame(self.slow, self.subscribers_only)
    }

    fn pinned_frame(&self) -> Frame {
        frame::pinned_frame(self.pinned.as_ref())
    }

    fn settings_write(&self) -> Persist {
        Persist::Chat(ChatWrite::Settings {
            slow_ms: i64::try_from(self.slow.as_millis()).unwrap_or(i64::MAX),
            subscribers_only: self.subscribers_only,
            pinned_seq: self.pinned.as_ref().map(|row| row.seq),
        })
    }
}

fn not_yours() -> Refusal {
    Refusal::new(ErrorCode::Forbidden, "This is another user's message.")
}

/// Seconds from one wall time to a later one.
fn seconds_between(from_ms: i64, to_ms: i64) -> f64 {
    to_ms.saturating_sub(from_ms).max(0) as f64 / 1000.0
}

fn audit(
    now: Now,
    user: &User,
    action: &'static str,
    target: Option<&str>,
    detail: Option<String>,
) -> Persist {
    Persist::Chat(ChatWrite::Audit(Audit {
        actor_id: user.id,
        actor: user.name.to_string(),
        action,
        target: target.map(str::to_owned),
        detail,
        at_ms: now.wall_ms,
    }))
}

/// Reads a chat frame's data; `None`: the type is another feature's.
pub fn parse(
    kind: &str,
    data: Option<&serde_json::value::RawValue>,
) -> Option<Result<Command, Refusal>> {
    Some(match kind {
        "chat" => wire::data(data).map(frame::Say::command),
        "chat_edit" => wire::data(data).map(frame::Edit::command),
        "chat_delete" => wire::data(data).map(frame::Delete::command),
        "chat_moderate" => wire::data(data).map(frame::Moderate::command),
        _ => return None,
    })
}
