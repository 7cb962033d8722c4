//! The questions of one room as a pure state machine: ask, vote, hold, answer, pin (realtime rule
//! 13). It does not know sockets or the database: time comes in, frames and rows go out.
//!
//! A question moves pending -> open -> live -> answered or dismissed. One that is asked again by
//! somebody else is kept with `duplicate_of` naming the first; by the same person it is refused as
//! `duplicate`. The newest and most wanted stay here; every question stays in the database.

mod frame;
mod state;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub use frame::Command;
pub use state::State;

use super::{
    chat::BlockedWords,
    effects::{Ack, Effects, Persist, Refusal, To},
    member::{Member, Now, Role, User},
    pace::{Pace, Throttle},
    wire::{ErrorCode, Frame},
};
use crate::{
    config::Config,
    db::{QuestionRow, QuestionWrite},
};

/// Characters of a written answer.
const ANSWER_CHARS_MAX: usize = 1000;
/// Votes that one user may cast at once, and how often after that: who changes their mind each
/// second is not told apart from a machine.
const VOTES_BURST: u32 = 20;
const VOTE_EVERY: Duration = Duration::from_millis(500);
/// Counts of votes go out together after this time, at most so many questions at once: every one
/// of them goes to everyone.
const COUNTS_EVERY: Duration = Duration::from_millis(250);
const COUNTS_AT_ONCE: usize = 16;
/// Questions in the list that a member gets on joining, and the bytes of their texts: it must fit
/// a member's queue. The rest is read from the REST page.
const LISTED_MAX: usize = 100;
const LISTED_BYTES: usize = 64 * 1024;

/// What questions are held to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether a viewer's question waits for a moderator.
    pub moderated: bool,
    /// Characters of a question after NFKC.
    pub chars_max: usize,
    /// One question a user in this time.
    pub per: Duration,
    /// Questions kept in memory.
    pub kept: usize,
    /// Words that viewers may use in questions as little as in the chat.
    pub blocked: BlockedWords,
}

impl Rules {
    /// As configured: `questions.*`, `limits.questions_kept`, `chat.blocked_words`.
    pub fn of(config: &Config) -> Self {
        Self {
            moderated: config.questions.moderated,
            chars_max: config.questions.max_chars,
            per: config.questions.per,
            kept: config.limits.questions_kept,
            blocked: BlockedWords::new(&config.chat.blocked_words),
        }
    }
}

/// A question with its votes. `row.state` is written when it is saved; `state` is what counts.
#[derive(Clone, Debug)]
struct Question {
    row: QuestionRow,
    state: State,
    normal: String,
    voters: BTreeSet<i64>,
    /// The stream's moment when it went on screen.
    shown_offset_s: Option<f64>,
}

/// All questions of one room.
#[derive(Debug)]
pub struct Questions {
    rules: Rules,
    kept: BTreeMap<u64, Question>,
    next_id: u64,
    asked: Pace<i64>,
    voted: Pace<i64>,
    counts: Throttle,
    recounted: BTreeSet<u64>,
}

/// What an accepted frame leads to.
type Done = Result<(Effects, Ack), Refusal>;

impl Questions {
    /// The questions of a stream: `rows` are what the database still has, each with its voters, and
    /// `last_id` is the highest number ever given (0 = none).
    pub fn new(rules: Rules, rows: Vec<(QuestionRow, Vec<i64>)>, last_id: u64) -> Self {
        let kept = rows.into_iter().filter_map(|(row, voters)| {
            let question = Question {
                state: State::parse(&row.state)?,
                normal: text::normal(&row.text),
                voters: voters.into_iter().collect(),
                shown_offset_s: None,
                row,
            };
            Some((question.row.id, question))
        });
        let mut questions = Self {
            kept: kept.collect(),
            next_id: last_id + 1,
            asked: Pace::new(1, rules.per),
            voted: Pace::new(VOTES_BURST, VOTE_EVERY),
            counts: Throttle::new(COUNTS_EVERY),
            recounted: BTreeSet::new(),
            rules,
        };
        questions.make_room(None);
        questions
    }

    /// Carries out one frame. `started_at_ms` is when the stream first went live.
    ///
    /// # Errors
    /// As the contract names them: `auth_required`, `forbidden`, `rate_limited`, `too_long`,
    /// `blocked_word`, `duplicate`, `bad_message`, `not_found`.
    pub fn apply(
        &mut self,
        now: Now,
        started_at_ms: Option<i64>,
        member: &Member,
        command: Command,
    ) -> Done {
        let user = member.user.as_ref().ok_or_else(Refusal::login)?;
        match command {
            Command::Ask { text, anonymous } => self.ask(now, member.role, user, &text, anonymous),
            Command::Vote { id, stands } => self.vote(now, member.role, user, id, stands),
            Command::Move { id, to, answer } => {
                staff_only(member.role)?;
                self.change_state(moment_s(now, started_at_ms), id, to, answer)
            }
            Command::Pin { id, pinned } => {
                staff_only(member.role)?;
                self.pin(id, pinned)
            }
        }
    }

    /// What a member gets on joining: `questions`, and `my_votes` if logged in.
    pub fn greet(&self, member: &Member) -> Vec<Frame> {
        let votes = member.user.as_ref().map(|user| self.votes_of(user));
        let list = self.list(member.role);
        std::iter::once(list).chain(votes).collect()
    }

    /// What a member gets on logging in later: `my_votes`, and to owner and moderators the list as
    /// they see it, with the pending ones.
    pub fn recognise(&self, member: &Member) -> Vec<Frame> {
        let mut frames = Vec::new();
        if member.role.is_staff() {
            frames.push(self.list(member.role));
        }
        frames.extend(member.user.as_ref().map(|user| self.votes_of(user)));
        frames
    }

    /// When [`Questions::tick`] has something to do, on the monotonic clock.
    pub fn due(&self) -> Option<Duration> {
        (!self.recounted.is_empty()).then(|| self.counts.open_at())
    }

    /// Sends the counts that were held back.
    pub fn tick(&mut self, now: Now) -> Effects {
        let mut effects = Effects::none();
        if self.recounted.is_empty() || !self.counts.passes(now.mono) {
            return effects;
        }
        let ids: Vec<_> = self
            .recounted
            .iter()
            .copied()
            .take(COUNTS_AT_ONCE)
            .collect();
        for id in ids {
            self.recounted.remove(&id);
            if let Some(question) = self.kept.get(&id) {
                announce(&mut effects, question, true);
            }
        }
        effects
    }

    fn ask(&mut self, now: Now, role: Role, user: &User, text: &str, anonymous: bool) -> Done {
        if let Some(seconds) = self.asked.wait_s(&user.id, now.mono) {
            let message = "One question at a time: wait a little.";
            return Err(Refusal::retry(ErrorCode::RateLimited, message, seconds));
        }
        let text = text::clean(text, self.rules.chars_max)?;
        if self.rules.blocked.found_in(&text) {
            let message = "The question contains a word that is not allowed here.";
            return Err(Refusal::new(ErrorCode::BlockedWord, message));
        }
        let normal = text::normal(&text);
        let mut same = self.kept.values().filter(|q| q.normal == normal);
        if same.any(|q| q.row.author_id == user.id && q.state != State::Dismissed) {
            let message = "You have asked this already.";
            return Err(Refusal::new(ErrorCode::Duplicate, message));
        }
        let mut same = self.kept.values().filter(|q| q.normal == normal);
        let first = same.next().map(|q| q.row.duplicate_of.unwrap_or(q.row.id));
        let state = if self.rules.moderated && !role.is_staff() {
            State::Pending
        } else {
            State::Open
        };
        let id = self.next_id;
        self.next_id += 1;
        self.asked.count(user.id, now.mono);
        let row = QuestionRow {
            id,
            author_id: user.id,
            author: user.name.to_string(),
            anonymous,
            text,
            state: state.as_str().into(),
            answer: None,
            answered_offset_s: None,
            pinned: false,
            duplicate_of: first,
            created_at_ms: now.wall_ms,
        };
        let question = Question {
            row,
            state,
            normal,
            voters: BTreeSet::new(),
            shown_offset_s: None,
        };
        let mut effects = Effects::none();
        announce(&mut effects, &question, false);
        save(&mut effects, &question);
        self.kept.insert(id, question);
        self.make_room(Some(id));
        Ok((effects, Ack::id(id.to_string())))
    }

    fn vote(&mut self, now: Now, role: Role, user: &User, id: u64, stands: bool) -> Done {
        let seen = |q: &&mut Question| q.state.is_public() || role.is_staff();
        let question = self.kept.get_mut(&id).filter(seen).ok_or_else(not_found)?;
        let ack = Ack::id(id.to_string());
        if question.voters.contains(&user.id) == stands {
            return Ok((Effects::none(), ack));
        }
        self.voted.take(user.id, now.mono).map_err(|seconds| {
            Refusal::retry(ErrorCode::RateLimited, "Too many votes at once.", seconds)
        })?;
        if stands {
            question.voters.insert(user.id);
        } else {
            question.voters.remove(&user.id);
        }
        self.recounted.insert(id);
        let mut effects = self.tick(now);
        let vote = QuestionWrite::Vote {
            id,
            user_id: user.id,
            stands,
        };
        effects.persist.push(Persist::Question(vote));
        Ok((effects, ack))
    }

    fn change_state(
        &mut self,
        moment_s: Option<f64>,
        id: u64,
        to: State,
        answer: Option<String>,
    ) -> Done {
        let question = self.kept.get_mut(&id).ok_or_else(not_found)?;
        let ack = Ack::id(id.to_string());
        let answer = match answer.filter(|_| to == State::Answered) {
            Some(words) if !words.trim().is_empty() => Some(text::clean(&words, ANSWER_CHARS_MAX)?),
            _ => None,
        };
        let from = question.state;
        if from == to && answer.is_none() {
            return Ok((Effects::none(), ack));
        }
        if !from.may_become(to) {
            let message = format!(
                "A question that is {} cannot become {}.",
                from.as_str(),
                to.as_str()
            );
            return Err(Refusal::new(ErrorCode::BadMessage, message));
        }
        if to == State::Answered {
            // In the stream the answer begins when the question comes on screen.
            let spoken = question.shown_offset_s.or(moment_s);
            question.row.answered_offset_s = spoken.filter(|_| answer.is_none());
            question.row.answer = answer;
        }
        question.shown_offset_s = moment_s.filter(|_| to == State::Live);
        question.state = to;
        question.row.state = to.as_str().into();
        self.recounted.remove(&id);
        let question = &self.kept[&id];
        let mut effects = Effects::none();
        announce_change(&mut effects, question, from.is_public());
        save(&mut effects, question);
        Ok((effects, ack))
    }

    fn pin(&mut self, id: u64, pinned: bool) -> Done {
        let question = self.kept.get_mut(&id).ok_or_else(not_found)?;
        let mut effects = Effects::none();
        if question.row.pinned != pinned {
            question.row.pinned = pinned;
            self.recounted.remove(&id);
            announce(&mut effects, question, true);
            save(&mut effects, question);
        }
        Ok((effects, Ack::id(id.to_string())))
    }

    /// Lets go of what is wanted least; `newest` stays, or nobody could be heard in a full room.
    fn make_room(&mut self, newest: Option<u64>) {
        while self.kept.len() > self.rules.kept.max(1) {
            let others = self.kept.iter().filter(|(id, _)| Some(**id) != newest);
            let least = others.min_by_key(|(id, q)| {
                let rank = match q.state {
                    _ if q.row.pinned => 4,
                    State::Dismissed => 0,
                    State::Answered => 1,
                    State::Pending | State::Open => 2,
                    State::Live => 3,
                };
                (rank, q.voters.len(), **id)
            });
            let Some((&id, _)) = least else { return };
            self.kept.remove(&id);
            self.recounted.remove(&id);
        }
    }

    /// `questions` as a role sees it: pinned, on screen, waiting, then by votes and newest.
    fn list(&self, role: Role) -> Frame {
        let seen = |q: &&Question| q.state.is_public() || role.is_staff();
        let mut listed: Vec<_> = self.kept.values().filter(seen).collect();
        listed.sort_by_key(|q| {
            let above = match q.state {
                _ if q.row.pinned => 0,
                State::Live => 1,
                State::Pending => 2,
                State::Open => 3,
                State::Answered => 4,
                State::Dismissed => 5,
            };
            (above, std::cmp::Reverse((q.voters.len(), q.row.id)))
        });
        let mut bytes = 0;
        let fits = |q: &&Question| {
            bytes += q.row.text.len() + q.row.answer.as_ref().map_or(0, String::len);
            bytes <= LISTED_BYTES
        };
        let listed: Vec<_> = listed
            .into_iter()
            .take(LISTED_MAX)
            .take_while(fits)
            .collect();
        frame::list(&listed, role == Role::Owner)
    }

    fn votes_of(&self, user: &User) -> Frame {
        let voted = self
            .kept
            .iter()
            .filter(|(_, q)| q.voters.contains(&user.id));
        frame::my_votes(voted.map(|(id, _)| id.to_string()).collect())
    }
}

fn staff_only(role: Role) -> Result<(), Refusal> {
    if role.is_staff() {
        return Ok(());
    }
    let message = "Only the owner and moderators may do this.";
    Err(Refusal::new(ErrorCode::Forbidden, message))
}

fn not_found() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "There is no such question.")
}

/// Seconds of the stream at this moment; `None` before its start.
fn moment_s(now: Now, started_at_ms: Option<i64>) -> Option<f64> {
    let since_ms = now.wall_ms.saturating_sub(started_at_ms?).max(0);
    Some(since_ms as f64 / 1000.0)
}

fn save(effects: &mut Effects, question: &Question) {
    let write = QuestionWrite::Save(question.row.clone());
    effects.persist.push(Persist::Question(write));
}

/// Tells all who see the question; `known` is whether they have seen it before.
fn announce(effects: &mut Effects, question: &Question, known: bool) {
    let kind = if known {
        "question_updated"
    } else {
        "question"
    };
    tell(
        effects,
        question,
        question.state.is_public().then_some(kind),
        kind,
    );
}

/// Tells of another state: who could not see the question gets it as a new one.
fn announce_change(effects: &mut Effects, question: &Question, was_public: bool) {
    let viewers = match (was_public, question.state.is_public()) {
        (true, _) => Some("question_updated"),
        (false, true) => Some("question"),
        (false, false) => None,
    };
    tell(effects, question, viewers, "question_updated");
}

/// Sends the question under one type to viewers, under another to staff. An anonymous author's name
/// goes to the owner alone.
fn tell(effects: &mut Effects, question: &Question, viewers: Option<&str>, staff: &str) {
    let plain = frame::one(staff, question, false);
    if viewers == Some(staff) && !question.row.anonymous {
        return effects.send(To::Everyone, plain);
    }
    if let Some(kind) = viewers {
        effects.send(To::Viewers, frame::one(kind, question, false));
    }
    effects.send(To::Moderators, plain);
    effects.send(To::Owner, frame::one(staff, question, true));
}

#[cfg(test)]
mod tests;
