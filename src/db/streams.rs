//! The SQL of `streams`. It does not know threads or transactions: it gets a connection.

use rusqlite::{
    Connection, OptionalExtension as _, Row, named_params,
    types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef},
};

use super::{Counters, Status, StreamRow};
use crate::{
    auth::KeyHash,
    error::{Error, Kind, Result},
    name::StreamUid,
};

const COLUMNS: &str = "uid, title, status, record, created_at_ms, started_at_ms, ended_at_ms, \
                       ended_reason, paused_at_ms, recorded, next_sequence, discontinuities, \
                       target_duration_s";

pub(super) fn insert(
    connection: &Connection,
    uid: &StreamUid,
    key: &KeyHash,
    title: &str,
    record: bool,
    now_ms: i64,
) -> Result<StreamRow> {
    let sql = format!(
        "INSERT INTO streams (uid, key_hash, title, record, created_at_ms)
         VALUES (:uid, :key, :title, :record, :now) RETURNING {COLUMNS}"
    );
    let values = named_params! {
        ":uid": uid.as_str(), ":key": key.0, ":title": title, ":record": record, ":now": now_ms,
    };
    connection.query_row(&sql, values, row).map_err(|error| {
        let taken = error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation);
        let kind = if taken {
            Kind::Conflict
        } else {
            Kind::Unavailable
        };
        Error::with(kind, format!("cannot create stream {uid}"), error)
    })
}

pub(super) fn by_uid(connection: &Connection, uid: &StreamUid) -> Result<Option<StreamRow>> {
    let sql = format!("SELECT {COLUMNS} FROM streams WHERE uid = ?1");
    connection
        .query_row(&sql, [uid.as_str()], row)
        .optional()
        .map_err(|error| asking(&format!("stream {uid}"), error))
}

/// The row, and the hash that it was found by for a comparison in constant time.
pub(super) fn by_key(
    connection: &Connection,
    key: &KeyHash,
) -> Result<Option<(StreamRow, KeyHash)>> {
    let sql = format!("SELECT {COLUMNS}, key_hash FROM streams WHERE key_hash = ?1");
    connection
        .query_row(&sql, [key.0], |found| {
            Ok((row(found)?, KeyHash(found.get("key_hash")?)))
        })
        .optional()
        .map_err(|error| asking("a stream key", error))
}

pub(super) fn list(connection: &Connection, status: Option<Status>) -> Result<Vec<StreamRow>> {
    let filter = if status.is_some() {
        "WHERE status = ?1"
    } else {
        "WHERE ?1 IS NULL"
    };
    let sql =
        format!("SELECT {COLUMNS} FROM streams {filter} ORDER BY created_at_ms DESC, id DESC");
    let rows = || {
        connection
            .prepare(&sql)?
            .query_map([status], row)?
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    rows().map_err(|error| asking("the streams", error))
}

pub(super) fn mark_live(connection: &Connection, uid: &StreamUid, now_ms: i64) -> Result<bool> {
    let changed = connection.execute(
        "UPDATE streams SET status = 'live', started_at_ms = coalesce(started_at_ms, :now)
         WHERE uid = :uid AND status IN ('pending', 'live')",
        named_params! { ":uid": uid.as_str(), ":now": now_ms },
    );
    known(connection, uid, changed)
}

pub(super) fn finish(
    connection: &Connection,
    uid: &StreamUid,
    reason: &str,
    now_ms: i64,
) -> Result<bool> {
    let changed = connection.execute(
        "UPDATE streams SET status = 'finished', ended_at_ms = :now, ended_reason = :reason,
                paused_at_ms = NULL
         WHERE uid = :uid AND status IN ('pending', 'live')",
        named_params! { ":uid": uid.as_str(), ":reason": reason, ":now": now_ms },
    );
    known(connection, uid, changed)
}

pub(super) fn pause(connection: &Connection, uid: &StreamUid, now_ms: i64) -> Result<bool> {
    let changed = connection.execute(
        "UPDATE streams SET paused_at_ms = coalesce(paused_at_ms, :now)
         WHERE uid = :uid AND status = 'live'",
        named_params! { ":uid": uid.as_str(), ":now": now_ms },
    );
    known(connection, uid, changed)
}

pub(super) fn resume(connection: &Connection, uid: &StreamUid) -> Result<bool> {
    let changed = connection.execute(
        "UPDATE streams SET paused_at_ms = NULL WHERE uid = :uid AND status = 'live'",
        named_params! { ":uid": uid.as_str() },
    );
    known(connection, uid, changed)
}

/// True when these are the first segments.
pub(super) fn save_counters(
    connection: &Connection,
    uid: &StreamUid,
    counters: Counters,
) -> Result<bool> {
    let number = |value: u64| {
        i64::try_from(value).map_err(|error| Error::with(Kind::Internal, "a counter", error))
    };
    // Asked at every segment of every stream: statements are kept, and only a number is read.
    let before = || {
        connection
            .prepare_cached("SELECT next_sequence FROM streams WHERE uid = ?1")?
            .query_row([uid.as_str()], |row| row.get::<_, i64>(0))
            .optional()
    };
    let before = before().map_err(|error| asking("a stream's counters", error))?;
    let (sequence, discontinuities) = (
        number(counters.next_sequence)?,
        number(counters.discontinuities)?,
    );
    let change = || {
        let sql = "UPDATE streams SET
                next_sequence = max(next_sequence, :sequence),
                discontinuities = max(discontinuities, :discontinuities),
                target_duration_s = coalesce(target_duration_s, :target)
             WHERE uid = :uid";
        connection.prepare_cached(sql)?.execute(named_params! {
            ":uid": uid.as_str(),
            ":sequence": sequence,
            ":discontinuities": discontinuities,
            ":target": counters.target_duration_s,
        })
    };
    let changed = change();
    known(connection, uid, changed)?;
    Ok(before == Some(0) && counters.next_sequence > 0)
}

/// Whether a row changed; a stream that does not exist is an error.
pub(super) fn known(
    connection: &Connection,
    uid: &StreamUid,
    changed: rusqlite::Result<usize>,
) -> Result<bool> {
    let changed = changed.map_err(|error| {
        Error::with(
            Kind::Unavailable,
            format!("cannot change stream {uid}"),
            error,
        )
    })?;
    if changed == 0 && by_uid(connection, uid)?.is_none() {
        return Err(Error::new(Kind::NotFound, format!("no stream {uid}")));
    }
    Ok(changed > 0)
}

pub(super) fn asking(what: &str, error: rusqlite::Error) -> Error {
    Error::with(Kind::Unavailable, format!("cannot look up {what}"), error)
}

fn row(row: &Row<'_>) -> rusqlite::Result<StreamRow> {
    let number = |name: &str| {
        let value: i64 = row.get(name)?;
        // The schema holds them at zero or above.
        Ok::<_, rusqlite::Error>(value.unsigned_abs())
    };
    Ok(StreamRow {
        uid: row.get("uid")?,
        title: row.get("title")?,
        status: row.get("status")?,
        record: row.get("record")?,
        created_at_ms: row.get("created_at_ms")?,
        started_at_ms: row.get("started_at_ms")?,
        ended_at_ms: row.get("ended_at_ms")?,
        ended_reason: row.get("ended_reason")?,
        paused_at_ms: row.get("paused_at_ms")?,
        recorded: row.get("recorded")?,
        counters: Counters {
            next_sequence: number("next_sequence")?,
            discontinuities: number("discontinuities")?,
            target_duration_s: row.get("target_duration_s")?,
        },
    })
}

impl FromSql for StreamUid {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for Status {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Status {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}
