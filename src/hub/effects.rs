//! What a state machine wants done: frames to members, each encoded once, and rows to the database.
//! It does not know how either is carried out.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use super::{
    member::MemberId,
    wire::{Close, ErrorCode, Frame},
};
use crate::db::{ChatWrite, QuestionWrite};

/// Who gets a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// One socket.
    Member(MemberId),
    /// All sockets in the room.
    Everyone,
    /// Owner and moderators.
    Staff,
    /// All but owner and moderators.
    Viewers,
    /// Moderators, without the owner.
    Moderators,
    /// The owner.
    Owner,
    /// Every socket of this username.
    User(Arc<str>),
    /// Everyone but these sockets.
    AllBut(Arc<HashSet<MemberId>>),
}

/// A durable write, made behind the broadcast.
#[derive(Clone, Debug, PartialEq)]
pub enum Persist {
    /// Of the chat.
    Chat(ChatWrite),
    /// Of the questions.
    Question(QuestionWrite),
}

/// What is to be done after a step, in this order.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Frames.
    pub events: Vec<(To, Frame)>,
    /// Sockets to be closed after that.
    pub closes: Vec<(To, Close)>,
    /// Rows.
    pub persist: Vec<Persist>,
}

/// What an accepted frame is answered if it had a `ref`; the room adds type and ref.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Of what was made or changed.
    pub id: Option<String>,
    /// Of a chat message.
    pub seq: Option<u64>,
}

/// Why a frame was not accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What programs read.
    pub code: ErrorCode,
    /// What people read.
    pub message: Cow<'static, str>,
    /// When it may be tried again, seconds.
    pub retry_after_s: Option<f64>,
}

impl Effects {
    /// Nothing to do.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a frame.
    pub fn send(&mut self, to: To, frame: Frame) {
        self.events.push((to, frame));
    }

    /// Closes sockets, after the frames.
    pub fn close(&mut self, to: To, close: Close) {
        self.closes.push((to, close));
    }

    /// Adds all of `other`, after what is here.
    pub fn append(&mut self, mut other: Effects) {
        self.events.append(&mut other.events);
        self.closes.append(&mut other.closes);
        self.persist.append(&mut other.persist);
    }
}

impl Ack {
    /// Names what was made or changed.
    pub fn id(id: impl Into<String>) -> Self {
        Self {
            id: Some(id.into()),
            seq: None,
        }
    }
}

impl Refusal {
    /// A refusal that waiting does not change.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// A refusal that ends by itself in `seconds`.
    pub fn retry(code: ErrorCode, message: impl Into<Cow<'static, str>>, seconds: f64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..Self::new(code, message)
        }
    }

    /// A writing frame of an anonymous member.
    pub fn login() -> Self {
        Self::new(ErrorCode::AuthRequired, "Log in to do this.")
    }
}
