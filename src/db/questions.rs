//! Rows of viewers' questions. It does not know when a question may change.

use rusqlite::{Connection, named_params, params};

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

/// Carries one write out.
pub(super) fn write(c: &Connection, stream_id: i64, write: &QuestionWrite) -> rusqlite::Result<()> {
    let signed = |id: u64| i64::try_from(id).unwrap_or(i64::MAX);
    let changed = match write {
        QuestionWrite::Save(row) => c.execute(
            "INSERT INTO questions (stream_id, id, author_id, author, anonymous, text, state,
                 answer, answered_offset_s, pinned, duplicate_of, created_at_ms)
             VALUES (:stream, :id, :author_id, :author, :anonymous, :text, :state, :answer,
                 :offset, :pinned, :duplicate_of, :created)
             ON CONFLICT DO UPDATE SET text = excluded.text, state = excluded.state,
                 answer = excluded.answer, answered_offset_s = excluded.answered_offset_s,
                 pinned = excluded.pinned, duplicate_of = excluded.duplicate_of",
            named_params! {
                ":stream": stream_id, ":id": signed(row.id), ":author_id": row.author_id,
                ":author": row.author, ":anonymous": row.anonymous, ":text": row.text,
                ":state": row.state, ":answer": row.answer, ":offset": row.answered_offset_s,
                ":pinned": row.pinned, ":duplicate_of": row.duplicate_of.map(signed),
                ":created": row.created_at_ms,
            },
        ),
        QuestionWrite::Vote {
            id,
            user_id,
            stands: true,
        } => c.execute(
            "INSERT INTO question_votes (stream_id, question_id, user_id) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
            params![stream_id, signed(*id), user_id],
        ),
        QuestionWrite::Vote {
            id,
            user_id,
            stands: false,
        } => c.execute(
            "DELETE FROM question_votes
             WHERE stream_id = ?1 AND question_id = ?2 AND user_id = ?3",
            params![stream_id, signed(*id), user_id],
        ),
    };
    changed.map(|_| ())
}
