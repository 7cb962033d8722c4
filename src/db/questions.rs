//! Rows of viewers' questions. It does not know when a question may change.

/// A question as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct QuestionRow {
    /// Number within its stream.
    pub id: u64,
    /// Who asked.
    pub author_id: i64,
    /// Their username when they asked.
    pub author: String,
    /// The author is shown to the owner only.
    pub anonymous: bool,
    /// What was asked.
    pub text: String,
    /// pending, open, live, answered or dismissed.
    pub state: String,
    /// Answered in writing.
    pub answer: Option<String>,
    /// Answered at this moment of the stream, seconds from its start.
    pub answered_offset_s: Option<f64>,
    /// Shown above the others.
    pub pinned: bool,
    /// The first question with the same text.
    pub duplicate_of: Option<u64>,
    /// When it was asked, milliseconds since 1970, UTC.
    pub created_at_ms: i64,
}

/// A change to a stream's questions.
#[derive(Clone, Debug, PartialEq)]
pub enum QuestionWrite {
    /// A new question, or all of a changed one.
    Save(QuestionRow),
    /// A vote, or its end.
    Vote {
        /// Which question.
        id: u64,
        /// Whose vote.
        user_id: i64,
        /// Whether it stands.
        stands: bool,
    },
}
