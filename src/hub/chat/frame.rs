//! The chat's frames: what clients send and what they are sent. It does not know when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Moderation;
use crate::{
    db::ChatRow,
    hub::wire::{Frame, encode},
    time::rfc3339,
};

/// What a client asks of the chat.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A new message.
    Say {
        /// As typed.
        message: String,
        /// Id of the message that it answers.
        reply_to: Option<String>,
    },
    /// Another text for a message.
    Edit {
        /// Which.
        id: String,
        /// As typed.
        message: String,
    },
    /// A message away.
    Delete {
        /// Which.
        id: String,
    },
    /// Owner and moderators.
    Moderate(Moderation),
}

/// The user whom an action is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As written.
    pub name: String,
    /// The account, once it was looked up; `None`: there is none.
    pub user: Option<(i64, String)>,
}

impl Command {
    /// The user whose account is to be looked up before this is carried out.
    pub fn target(&mut self) -> Option<&mut Target> {
        match self {
            Self::Moderate(
                Moderation::Timeout { user, .. }
                | Moderation::Ban { user, .. }
                | Moderation::Unban { user },
            ) => Some(user),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Say {
    message: String,
    #[serde(default)]
    reply_to: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Edit {
    id: String,
    message: String,
}

#[derive(Deserialize)]
pub(super) struct Delete {
    id: String,
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub(super) enum Moderate {
    Timeout {
        user: String,
        seconds: f64,
        #[serde(default)]
        reason: Option<String>,
    },
    Ban {
        user: String,
        #[serde(default)]
        reason: Option<String>,
    },
    Unban {
        user: String,
    },
    Slow {
        seconds: f64,
    },
    SubscribersOnly {
        enabled: bool,
    },
    Pin {
        id: String,
    },
    Unpin {},
}

impl Say {
    pub(super) fn command(self) -> Command {
        Command::Say {
            message: self.message,
            reply_to: self.reply_to,
        }
    }
}

impl Edit {
    pub(super) fn command(self) -> Command {
        Command::Edit {
            id: self.id,
            message: self.message,
        }
    }
}

impl Delete {
    pub(super) fn command(self) -> Command {
        Command::Delete { id: self.id }
    }
}

impl Moderate {
    pub(super) fn command(self) -> Command {
        let target = |name| Target { name, user: None };
        Command::Moderate(match self {
            Self::Timeout {
                user,
                seconds,
                reason,
            } => Moderation::Timeout {
                user: target(user),
                seconds,
                reason,
            },
            Self::Ban { user, reason } => Moderation::Ban {
                user: target(user),
                reason,
            },
            Self::Unban { user } => Moderation::Unban { user: target(user) },
            Self::Slow { seconds } => Moderation::Slow { seconds },
            Self::SubscribersOnly { enabled } => Moderation::SubscribersOnly { enabled },
            Self::Pin { id } => Moderation::Pin { id },
            Self::Unpin {} => Moderation::Unpin,
        })
    }
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    seq: u64,
    user: &'a str,
    message: &'a str,
    role: &'a str,
    reply_to: Option<&'a str>,
    created_at: String,
}

#[derive(Serialize)]
struct Past<'a> {
    #[serde(flatten)]
    message: Message<'a>,
    edited_at: Option<String>,
    deleted: bool,
}

#[derive(Serialize)]
struct History<'a> {
    messages: Vec<Past<'a>>,
    epoch: &'a str,
    seq: u64,
}

#[derive(Serialize)]
struct Edited<'a> {
    id: &'a str,
    message: &'a str,
    edited_at: String,
}

#[derive(Serialize)]
struct Deleted<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Settings {
    slow_s: f64,
    subscribers_only: bool,
}

#[derive(Serialize)]
struct Pinned<'a> {
    message: Option<Message<'a>>,
}

fn message(row: &ChatRow) -> Message<'_> {
    Message {
        id: &row.id,
        seq: row.seq,
        user: &row.user,
        message: &row.text,
        role: &row.role,
        reply_to: row.reply_to.as_deref(),
        created_at: rfc3339(row.created_at_ms),
    }
}

pub(super) fn said_frame(row: &ChatRow) -> Frame {
    encode("chat", &message(row))
}

pub(super) fn history_frame<'a>(
    rows: impl Iterator<Item = &'a ChatRow>,
    epoch: &str,
    seq: u64,
) -> Frame {
    let messages = rows
        .map(|row| Past {
            message: message(row),
            edited_at: row.edited_at_ms.map(rfc3339),
            deleted: row.deleted,
        })
        .collect();
    encode(
        "chat_history",
        &History {
            messages,
            epoch,
            seq,
        },
    )
}

pub(super) fn edited_frame(id: &str, text: &str, at_ms: i64) -> Frame {
    let edited = Edited {
        id,
        message: text,
        edited_at: rfc3339(at_ms),
    };
    encode("chat_edited", &edited)
}

pub(super) fn deleted_frame(id: &str) -> Frame {
    encode("chat_deleted", &Deleted { id })
}

/// What a client that has a message must be told of it, if anything.
pub(super) fn changed_frame(row: &ChatRow) -> Option<Frame> {
    if row.deleted {
        return Some(deleted_frame(&row.id));
    }
    let at_ms = row.edited_at_ms?;
    Some(edited_frame(&row.id, &row.text, at_ms))
}

pub(super) fn settings_frame(slow: Duration, subscribers_only: bool) -> Frame {
    let settings = Settings {
        slow_s: slow.as_secs_f64(),
        subscribers_only,
    };
    encode("chat_settings", &settings)
}

pub(super) fn pinned_frame(row: Option<&ChatRow>) -> Frame {
    let pinned = Pinned {
        message: row.map(message),
    };
    encode("chat_pinned", &pinned)
}
