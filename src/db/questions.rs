//! Rows of viewers' questions and their votes. It does not know when a question may change.

use rusqlite::{Connection, Row, ToSql, named_params, params};

use super::{Db, streams::asking};
use crate::{error::Result, name::StreamUid};

/// A question's columns; `votes` counts the rows that stand, so that it cannot drift from them.
const SELECT: &str = "SELECT q.id, q.author_id, q.author, q.anonymous, q.text, q.state, q.answer,
        q.answered_offset_s, q.pinned, q.duplicate_of, q.created_at_ms,
        (SELECT count(*) FROM question_votes v
         WHERE v.stream_id = q.stream_id AND v.question_id = q.id) AS votes
     FROM questions q";
const OF_STREAM: &str = "q.stream_id = (SELECT id FROM streams WHERE uid = :uid)";

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

/// What a room begins with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptQuestions {
    /// The questions most worth keeping, each with the accounts that vote for it.
    pub rows: Vec<(QuestionRow, Vec<i64>)>,
    /// The highest number given in this stream; 0 = none.
    pub last_id: u64,
}

/// How a page is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionSort {
    /// Most votes first, then newest.
    Votes,
    /// Newest first.
    Newest,
    /// In the order of asking.
    Oldest,
}

/// Which questions of a stream are asked for.
#[derive(Clone, Copy, Debug)]
pub struct QuestionFilter<'a> {
    /// One state, or all.
    pub state: Option<&'a str>,
    /// Leave out what only owner and moderators see.
    pub public_only: bool,
    /// In which order.
    pub sort: QuestionSort,
    /// Rows at most.
    pub limit: u64,
    /// Rows before the first.
    pub offset: u64,
}

impl Db {
    /// Writes changes of one stream's questions as a room does, and waits for the commit.
    #[cfg(test)]
    pub(crate) async fn write_questions(
        &self,
        uid: &StreamUid,
        writes: Vec<QuestionWrite>,
    ) -> Result<()> {
        let uid = uid.clone();
        self.write(move |c| {
            let id = "SELECT id FROM streams WHERE uid = ?1";
            let apply = || {
                let stream_id = c.query_row(id, [uid.as_str()], |row| row.get(0))?;
                writes.iter().try_for_each(|row| write(c, stream_id, row))
            };
            apply().map_err(|error| asking("questions", error))
        })
        .await
    }

    /// What a room of this stream begins with, `limit` questions at most.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub async fn kept_questions(&self, uid: &StreamUid, limit: usize) -> Result<KeptQuestions> {
        let uid = uid.clone();
        self.readers
            .read(move |c| kept(c, &uid, limit).map_err(|error| asking("questions", error)))
            .await
    }

    /// A page of a stream's questions, each with its votes, and how many there are in all.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub async fn questions(
        &self,
        uid: &StreamUid,
        filter: QuestionFilter<'_>,
    ) -> Result<(u64, Vec<(QuestionRow, u64)>)> {
        let (uid, state) = (uid.clone(), filter.state.map(str::to_owned));
        let filter = QuestionFilter {
            state: None,
            ..filter
        };
        self.readers
            .read(move |c| {
                let filter = QuestionFilter {
                    state: state.as_deref(),
                    ..filter
                };
                page(c, &uid, &filter).map_err(|error| asking("questions", error))
            })
            .await
    }
}

/// Carries one write out.
pub(super) fn write(c: &Connection, stream_id: i64, write: &QuestionWrite) -> rusqlite::Result<()> {
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

fn kept(connection: &Connection, uid: &StreamUid, limit: usize) -> rusqlite::Result<KeptQuestions> {
    let sql = format!(
        "{SELECT} WHERE {OF_STREAM}
         ORDER BY q.pinned DESC, q.state = 'dismissed', q.state = 'answered', votes DESC,
             q.id DESC
         LIMIT :limit"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let values = named_params! { ":uid": uid.as_str(), ":limit": limit };
    let found = statement.query_map(values, row)?;
    let found: Vec<_> = found.collect::<rusqlite::Result<_>>()?;
    let mut voters = connection.prepare_cached(
        "SELECT user_id FROM question_votes
         WHERE stream_id = (SELECT id FROM streams WHERE uid = :uid) AND question_id = :number",
    )?;
    let mut kept = KeptQuestions::default();
    for (row, _) in found {
        let values = named_params! { ":uid": uid.as_str(), ":number": signed(row.id) };
        let accounts = voters.query_map(values, |row| row.get(0))?;
        kept.rows
            .push((row, accounts.collect::<rusqlite::Result<_>>()?));
    }
    let last = format!("SELECT coalesce(max(q.id), 0) FROM questions q WHERE {OF_STREAM}");
    let values = named_params! { ":uid": uid.as_str() };
    let last: i64 = connection.query_row(&last, values, |row| row.get(0))?;
    kept.last_id = last.unsigned_abs();
    Ok(kept)
}

fn page(
    connection: &Connection,
    uid: &StreamUid,
    filter: &QuestionFilter<'_>,
) -> rusqlite::Result<(u64, Vec<(QuestionRow, u64)>)> {
    let order = match filter.sort {
        QuestionSort::Votes => "votes DESC, q.id DESC",
        QuestionSort::Newest => "q.id DESC",
        QuestionSort::Oldest => "q.id",
    };
    let matching = format!(
        "{OF_STREAM} AND (:state IS NULL OR q.state = :state)
             AND (NOT :public OR q.state IN ('open', 'live', 'answered'))"
    );
    let uid = uid.as_str();
    let limits = [filter.limit, filter.offset].map(signed);
    let matched: [(&str, &dyn ToSql); 3] = [
        (":uid", &uid),
        (":state", &filter.state),
        (":public", &filter.public_only),
    ];
    let count = format!("SELECT count(*) FROM questions q WHERE {matching}");
    let count: i64 = connection.query_row(&count, &matched, |row| row.get(0))?;
    let sql = format!("{SELECT} WHERE {matching} ORDER BY {order} LIMIT :limit OFFSET :offset");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut values = matched.to_vec();
    values.push((":limit", &limits[0]));
    values.push((":offset", &limits[1]));
    let rows = statement.query_map(&*values, row)?;
    Ok((count.unsigned_abs(), rows.collect::<rusqlite::Result<_>>()?))
}

/// SQLite's integers are signed; none of ours comes near the end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn row(row: &Row<'_>) -> rusqlite::Result<(QuestionRow, u64)> {
    let number = |name: &str| row.get::<_, i64>(name).map(i64::unsigned_abs);
    let question = QuestionRow {
        id: number("id")?,
        author_id: row.get("author_id")?,
        author: row.get("author")?,
        anonymous: row.get("anonymous")?,
        text: row.get("text")?,
        state: row.get("state")?,
        answer: row.get("answer")?,
        answered_offset_s: row.get("answered_offset_s")?,
        pinned: row.get("pinned")?,
        duplicate_of: row
            .get::<_, Option<i64>>("duplicate_of")?
            .map(i64::unsigned_abs),
        created_at_ms: row.get("created_at_ms")?,
    };
    Ok((question, number("votes")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::KeyHash, db::now_ms, error::Kind};

    const ANA: i64 = 1;
    const BEA: i64 = 2;

    fn question(id: u64, state: &str) -> QuestionRow {
        QuestionRow {
            id,
            author_id: ANA,
            author: "ana".into(),
            anonymous: id == 2,
            text: format!("Question {id}?"),
            state: state.into(),
            answer: (state == "answered").then(|| "Yes.".into()),
            answered_offset_s: None,
            pinned: id == 1,
            duplicate_of: (id == 3).then_some(1),
            created_at_ms: 1000 * id as i64,
        }
    }

    fn vote(id: u64, user_id: i64, stands: bool) -> QuestionWrite {
        QuestionWrite::Vote {
            id,
            user_id,
            stands,
        }
    }

    /// A stream and two accounts.
    async fn database(directory: &tempfile::TempDir) -> (Db, StreamUid) {
        let db = Db::open(&directory.path().join("cauce.db"), 16).unwrap();
        let uid = StreamUid::random();
        db.create_stream(&uid, &KeyHash([1; 32]), "", true)
            .await
            .unwrap();
        db.write(|c| {
            let insert = "INSERT INTO users (username, username_key, email, email_key,
                              password_hash, active, created_at_ms, updated_at_ms)
                          VALUES (?1, ?1, ?1, ?1, '', 1, ?2, ?2)";
            for name in ["ana", "bea"] {
                c.execute(insert, (name, now_ms())).unwrap();
            }
            Ok(())
        })
        .await
        .unwrap();
        (db, uid)
    }

    fn all(sort: QuestionSort) -> QuestionFilter<'static> {
        QuestionFilter {
            state: None,
            public_only: false,
            sort,
            limit: 10,
            offset: 0,
        }
    }

    async fn ids(db: &Db, uid: &StreamUid, filter: QuestionFilter<'_>) -> (u64, Vec<u64>) {
        let (count, rows) = db.questions(uid, filter).await.unwrap();
        (count, rows.into_iter().map(|(row, _)| row.id).collect())
    }

    #[tokio::test]
    async fn questions_and_votes_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let (db, uid) = database(&directory).await;
        let mut writes: Vec<_> = ["open", "pending", "dismissed", "open"]
            .iter()
            .zip(1..)
            .map(|(state, id)| QuestionWrite::Save(question(id, state)))
            .collect();
        // A vote counts once however often it is written.
        for write in [
            (4, ANA, true),
            (4, BEA, true),
            (4, BEA, true),
            (1, ANA, true),
            (1, ANA, false),
        ] {
            writes.push(vote(write.0, write.1, write.2));
        }
        writes.push(QuestionWrite::Save(question(4, "answered")));
        db.write_questions(&uid, writes).await.unwrap();
        db.close().await;

        let db = Db::open(&directory.path().join("cauce.db"), 16).unwrap();
        let kept = db.kept_questions(&uid, 3).await.unwrap();
        assert_eq!(kept.last_id, 4);
        let expected = vec![
            (question(1, "open"), vec![]),
            (question(2, "pending"), vec![]),
            (question(4, "answered"), vec![ANA, BEA]),
        ];
        assert_eq!(kept.rows, expected);
        let other = db.kept_questions(&StreamUid::random(), 3).await.unwrap();
        assert_eq!(other, KeptQuestions::default());
    }

    #[tokio::test]
    async fn pages_are_filtered_and_sorted() {
        let directory = tempfile::tempdir().unwrap();
        let (db, uid) = database(&directory).await;
        let states = ["open", "pending", "dismissed", "open", "answered"];
        let mut writes: Vec<_> = states
            .iter()
            .zip(1..)
            .map(|(state, id)| QuestionWrite::Save(question(id, state)))
            .collect();
        writes.push(vote(1, BEA, true));
        db.write_questions(&uid, writes).await.unwrap();

        let newest = all(QuestionSort::Newest);
        assert_eq!(ids(&db, &uid, newest).await, (5, vec![5, 4, 3, 2, 1]));
        let votes = all(QuestionSort::Votes);
        assert_eq!(ids(&db, &uid, votes).await, (5, vec![1, 5, 4, 3, 2]));
        let public = QuestionFilter {
            public_only: true,
            limit: 2,
            offset: 1,
            ..all(QuestionSort::Oldest)
        };
        assert_eq!(ids(&db, &uid, public).await, (3, vec![4, 5]));
        let open = QuestionFilter {
            state: Some("open"),
            ..newest
        };
        assert_eq!(ids(&db, &uid, open).await, (2, vec![4, 1]));
        let hidden = QuestionFilter {
            state: Some("pending"),
            public_only: true,
            ..newest
        };
        assert_eq!(ids(&db, &uid, hidden).await, (0, vec![]));
    }

    #[tokio::test]
    async fn a_vote_on_nothing_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (db, uid) = database(&directory).await;
        let writes = vec![QuestionWrite::Save(question(1, "open")), vote(9, ANA, true)];
        let error = db.write_questions(&uid, writes).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        let kept = db.kept_questions(&uid, 3).await.unwrap();
        assert_eq!(kept, KeptQuestions::default());
    }
}
