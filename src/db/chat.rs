//! Chat rows: messages, who may not write, who moderates, settings, and the audit of all that was
//! moderated. It does not know who may do what.

/// A message as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRow {
    /// Number within its stream; never used twice.
    pub seq: u64,
    /// Public name.
    pub id: String,
    /// Who wrote.
    pub user_id: i64,
    /// Their username when they wrote.
    pub user: String,
    /// owner, moderator or viewer when they wrote.
    pub role: String,
    /// The text; empty once deleted.
    pub text: String,
    /// Id of the message that it answers.
    pub reply_to: Option<String>,
    /// Times are milliseconds since 1970, UTC.
    pub created_at_ms: i64,
    /// When it was last edited.
    pub edited_at_ms: Option<i64>,
    /// It was taken away.
    pub deleted: bool,
}

/// A change to a stream's chat, in the order of the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatWrite {
    /// A new message.
    Said(ChatRow),
}
