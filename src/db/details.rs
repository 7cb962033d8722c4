//! Streams as the REST API shows, lists and edits them. It does not know who asks, nor what of a
//! stream is live in memory.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, named_params};

use super::{
    Db, Recorded, Status,
    streams::{asking, known},
};
use crate::{
    auth::KeyHash,
    error::{Error, Kind, Result},
    name::StreamUid,
};

const SELECT: &str = "SELECT s.uid, s.title, s.description, s.status, s.record,
        s.next_sequence > 0 AS has_media, s.is_programed, s.program_date_time_ms, s.created_at_ms,
        s.started_at_ms, s.ended_at_ms, s.ended_reason, s.recorded, s.key_hash, s.key_sealed,
        c.id AS channel_id, c.username AS channel, c.user_id AS owner_id
     FROM streams s LEFT JOIN channels c ON c.id = s.channel_id";

/// The channel of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRef {
    /// Its row.
    pub id: i64,
    /// Its name.
    pub username: String,
    /// The user that it belongs to.
    pub owner_id: i64,
}

/// A stream as its page shows it. Times are milliseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamDetails {
    /// Public name.
    pub uid: StreamUid,
    /// `None` for what was made on the command line for nobody.
    pub channel: Option<ChannelRef>,
    /// May be empty.
    pub title: String,
    /// May be empty.
    pub description: String,
    /// Where it is in its life.
    pub status: Status,
    /// Whether it is kept after its end.
    pub record: bool,
    /// Whether it ever had a segment.
    pub has_media: bool,
    /// Whether it is scheduled.
    pub is_programed: bool,
    /// When it is announced for.
    pub program_date_time_ms: Option<i64>,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it first went live.
    pub started_at_ms: Option<i64>,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// stopped, publisher_lost, max_pause, cancelled, server_lost.
    pub ended_reason: Option<String>,
    /// What became of its recording; `None` until that is closed.
    pub recorded: Option<Recorded>,
    /// What its key is looked up by.
    pub key: KeyHash,
    /// Its key under the server's secret.
    pub key_sealed: Option<Vec<u8>>,
}

/// A stream to be made.
#[derive(Clone, Debug)]
pub struct NewStream {
    /// Public name.
    pub uid: StreamUid,
    /// What its key is looked up by.
    pub key: KeyHash,
    /// Its key under the server's secret.
    pub key_sealed: Vec<u8>,
    /// Whose it is.
    pub channel_id: Option<i64>,
    /// May be empty.
    pub title: String,
    /// May be empty.
    pub description: String,
    /// Whether it is kept after its end.
    pub record: bool,
    /// When it is announced for, milliseconds since 1970.
    pub program_date_time_ms: Option<i64>,
    /// Whether that was to come.
    pub is_programed: bool,
}

/// What is to be changed of a stream; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct StreamEdit {
    /// Title.
    pub title: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// The announced time, if any, in milliseconds since 1970, and whether it is to come.
    pub program: Option<(Option<i64>, bool)>,
}

/// Which streams are listed.
#[derive(Clone, Debug, Default)]
pub struct StreamFilter {
    /// Of the channel with this name, in the form that makes names the same.
    pub channel: Option<String>,
    /// With this text in title, description, channel or uid.
    pub search: Option<String>,
    /// With one of these; empty is all.
    pub statuses: Vec<Status>,
    /// At most so many.
    pub limit: u64,
    /// Without the first so many.
    pub offset: u64,
}

impl Db {
    /// Adds a pending stream; returns once committed.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when the channel has an open unscheduled stream and this is another,
    /// [`Kind::Unavailable`].
    pub async fn add_stream(&self, new: NewStream, now_ms: i64) -> Result<Arc<StreamDetails>> {
        self.write(move |c| insert(c, &new, now_ms).map(Arc::new))
            .await
    }

    /// The stream of this name. Answered from memory when it was asked for before and did not
    /// change; what another process changed is seen after [`Db::data_version`] was asked.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn stream_details(&self, uid: &StreamUid) -> Result<Option<Arc<StreamDetails>>> {
        let began = match self.cache.get(uid) {
            Ok(row) => return Ok(Some(row)),
            Err(began) => began,
        };
        let wanted = uid.clone();
        let found = self.readers.read(move |c| by_uid(c, &wanted)).await?;
        Ok(found.map(|row| {
            let row = Arc::new(row);
            self.cache.keep(began, &row);
            row
        }))
    }

    /// How many streams there are and those that were asked for, newest first.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn list_streams(&self, filter: StreamFilter) -> Result<(u64, Vec<StreamDetails>)> {
        self.readers.read(move |c| list(c, &filter)).await
    }

    /// Changes what `edit` names and returns the stream as it is then.
    ///
    /// # Errors
    /// [`Kind::Conflict`] for another time of a stream that has begun, or when it would become a
    /// second open unscheduled stream; [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn edit_stream(
        &self,
        uid: &StreamUid,
        edit: StreamEdit,
    ) -> Result<Arc<StreamDetails>> {
        let uid = uid.clone();
        self.write_stream(move |c| Ok((Arc::new(update(c, &uid, &edit)?), uid)))
            .await
    }

    /// pending -> cancel; false when it is not pending.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn cancel_stream(&self, uid: &StreamUid, now_ms: i64) -> Result<bool> {
        let uid = uid.clone();
        let sql = "UPDATE streams SET status = 'cancel', ended_at_ms = :now,
                       ended_reason = 'cancelled' WHERE uid = :uid AND status = 'pending'";
        let work = move |c: &Connection| {
            let values = named_params! { ":uid": uid.as_str(), ":now": now_ms };
            known(c, &uid, c.execute(sql, values)).map(|done| (done, uid))
        };
        self.write_stream(work).await
    }

    /// Gives an open stream another key; false when it has ended.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn change_key(&self, uid: &StreamUid, key: KeyHash, sealed: Vec<u8>) -> Result<bool> {
        let uid = uid.clone();
        let sql = "UPDATE streams SET key_hash = :key, key_sealed = :sealed
                   WHERE uid = :uid AND status IN ('pending', 'live')";
        let work = move |c: &Connection| {
            let values = named_params! { ":uid": uid.as_str(), ":key": key.0, ":sealed": sealed };
            known(c, &uid, c.execute(sql, values)).map(|done| (done, uid))
        };
        self.write_stream(work).await
    }

    /// Notes that the recording of an ended stream is wanted no more; false while it is open.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn drop_recording(&self, uid: &StreamUid) -> Result<bool> {
        let uid = uid.clone();
        let sql = "UPDATE streams SET record = 0
                   WHERE uid = ?1 AND status IN ('finished', 'cancel')";
        let work = move |c: &Connection| {
            known(c, &uid, c.execute(sql, [uid.as_str()])).map(|done| (done, uid))
        };
        self.write_stream(work).await
    }
}

fn insert(connection: &Connection, new: &NewStream, now_ms: i64) -> Result<StreamDetails> {
    let values = named_params! {
        ":uid": new.uid.as_str(), ":key": new.key.0, ":sealed": new.key_sealed,
        ":channel": new.channel_id, ":title": new.title, ":description": new.description,
        ":record": new.record, ":program": new.program_date_time_ms,
        ":is_programed": new.is_programed, ":now": now_ms,
    };
    let inserted = connection
        .prepare_cached(
            "INSERT INTO streams (uid, key_hash, key_sealed, channel_id, title, description,
                 record, program_date_time_ms, is_programed, created_at_ms)
             VALUES (:uid, :key, :sealed, :channel, :title, :description,
                 :record, :program, :is_programed, :now)",
        )
        .and_then(|mut statement| statement.execute(values));
    inserted.map_err(|error| refused(error, format!("cannot create stream {}", new.uid)))?;
    existing(connection, &new.uid)
}

/// A write that the schema refuses is a conflict with what is there.
fn refused(error: rusqlite::Error, context: String) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => Kind::Conflict,
        _ => Kind::Unavailable,
    };
    Error::with(kind, context, error)
}

fn by_uid(connection: &Connection, uid: &StreamUid) -> Result<Option<StreamDetails>> {
    let sql = format!("{SELECT} WHERE s.uid = ?1");
    let found = || {
        let mut statement = connection.prepare_cached(&sql)?;
        statement.query_row([uid.as_str()], row).optional()
    };
    found().map_err(|error| asking(&format!("stream {uid}"), error))
}

fn existing(connection: &Connection, uid: &StreamUid) -> Result<StreamDetails> {
    by_uid(connection, uid)?.ok_or_else(|| Error::new(Kind::NotFound, format!("no stream {uid}")))
}

fn update(connection: &Connection, uid: &StreamUid, edit: &StreamEdit) -> Result<StreamDetails> {
    let before = existing(connection, uid)?;
    let began = before.status != Status::Pending;
    if began && edit.program.is_some() {
        let line = format!("stream {uid} has begun: its time cannot change");
        return Err(Error::new(Kind::Conflict, line));
    }
    let (time, is_programed) = match edit.program {
        Some(program) => program,
        None => (before.program_date_time_ms, before.is_programed),
    };
    let changed = connection.execute(
        "UPDATE streams SET title = coalesce(:title, title),
             description = coalesce(:description, description),
             program_date_time_ms = :program, is_programed = :is_programed
         WHERE uid = :uid",
        named_params! {
            ":uid": uid.as_str(), ":title": edit.title, ":description": edit.description,
            ":program": time, ":is_programed": is_programed,
        },
    );
    changed.map_err(|error| refused(error, format!("cannot change stream {uid}")))?;
    existing(connection, uid)
}

fn list(connection: &Connection, filter: &StreamFilter) -> Result<(u64, Vec<StreamDetails>)> {
    let search = filter.search.as_deref().map(pattern);
    let mut conditions = Vec::new();
    let mut values: Vec<(&str, &dyn ToSql)> = Vec::new();
    if let Some(channel) = &filter.channel {
        conditions.push("c.username_key = :channel".to_owned());
        values.push((":channel", channel));
    }
    if let Some(search) = &search {
        let fields = ["s.title", "s.description", "c.username", "s.uid"];
        let any = fields.map(|field| format!(r"{field} LIKE :search ESCAPE '\'"));
        conditions.push(format!("({})", any.join(" OR ")));
        values.push((":search", search));
    }
    if !filter.statuses.is_empty() {
        // The words are ours: nothing that a client wrote gets into the statement.
        let words: Vec<_> = filter.statuses.iter().map(|s| s.as_str()).collect();
        conditions.push(format!("s.status IN ('{}')", words.join("', '")));
    }
    let mut condition = String::new();
    if !conditions.is_empty() {
        condition = format!(" WHERE {}", conditions.join(" AND "));
    }
    let (limit, offset) = (signed(filter.limit), signed(filter.offset));
    let mut paged = values.clone();
    paged.extend([(":limit", &limit as &dyn ToSql), (":offset", &offset)]);
    let page = || {
        // One snapshot for both: the count belongs to the page.
        let snapshot = connection.unchecked_transaction()?;
        let sql = format!(
            "SELECT count(*) FROM streams s LEFT JOIN channels c ON c.id = s.channel_id{condition}"
        );
        let mut counted = snapshot.prepare_cached(&sql)?;
        let count = counted.query_row(&values[..], |row| row.get::<_, i64>(0))?;
        let sql = format!(
            "{SELECT}{condition} ORDER BY s.created_at_ms DESC, s.id DESC
             LIMIT :limit OFFSET :offset"
        );
        let mut listed = snapshot.prepare_cached(&sql)?;
        let rows = listed.query_map(&paged[..], row)?;
        Ok((count.unsigned_abs(), rows.collect::<rusqlite::Result<_>>()?))
    };
    page().map_err(|error| asking("the streams", error))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A text as a LIKE pattern that means the text itself, anywhere.
pub(super) fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn row(row: &Row<'_>) -> rusqlite::Result<StreamDetails> {
    let channel = match row.get::<_, Option<i64>>("channel_id")? {
        None => None,
        Some(id) => Some(ChannelRef {
            id,
            username: row.get("channel")?,
            owner_id: row.get("owner_id")?,
        }),
    };
    Ok(StreamDetails {
        uid: row.get("uid")?,
        channel,
        title: row.get("title")?,
        description: row.get("description")?,
        status: row.get("status")?,
        record: row.get("record")?,
        has_media: row.get("has_media")?,
        is_programed: row.get("is_programed")?,
        program_date_time_ms: row.get("program_date_time_ms")?,
        created_at_ms: row.get("created_at_ms")?,
        started_at_ms: row.get("started_at_ms")?,
        ended_at_ms: row.get("ended_at_ms")?,
        ended_reason: row.get("ended_reason")?,
        recorded: row.get("recorded")?,
        key: KeyHash(row.get("key_hash")?),
        key_sealed: row.get("key_sealed")?,
    })
}

#[cfg(test)]
impl StreamDetails {
    /// A pending stream of nobody.
    pub(crate) fn sample(uid: StreamUid) -> Self {
        Self {
            uid,
            channel: None,
            title: String::new(),
            description: String::new(),
            status: Status::Pending,
            record: true,
            has_media: false,
            is_programed: false,
            program_date_time_ms: None,
            created_at_ms: 0,
            started_at_ms: None,
            ended_at_ms: None,
            ended_reason: None,
            recorded: None,
            key: KeyHash([0; 32]),
            key_sealed: None,
        }
    }
}
