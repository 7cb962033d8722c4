//! Who is in a room: one socket, what it may do, and when that is. It does not know sockets.

use std::{sync::Arc, time::Duration};

/// One socket; never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub u64);

/// What a member may do in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Of the channel.
    Owner,
    /// Named by the owner.
    Moderator,
    /// Everyone else.
    Viewer,
}

impl Role {
    /// As frames write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Moderator => "moderator",
            Self::Viewer => "viewer",
        }
    }

    /// Owner and moderators.
    pub fn is_staff(self) -> bool {
        self != Self::Viewer
    }
}

/// A logged-in person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The account.
    pub id: i64,
    /// Its username.
    pub name: Arc<str>,
}

/// One socket in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which one.
    pub id: MemberId,
    /// Who holds it; `None` is anonymous.
    pub user: Option<User>,
    /// What it may do here.
    pub role: Role,
}

/// The two clocks, read once for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, milliseconds since 1970, UTC: for what is shown and stored.
    pub wall_ms: i64,
    /// Time since the hub started, never going back: for waits and limits.
    pub mono: Duration,
}
