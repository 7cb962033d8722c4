//! The SQL of `segments` and of closed recordings. It does not know what the store has.

use std::time::Duration;

use rusqlite::{
    Connection, Row, named_params, params,
    types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef},
};

use super::{
    Counters, Db,
    cache::Touch,
    streams::{asking, known, save_counters},
};
use crate::{
    error::{Error, Kind, Result},
    name::{SegmentName, SessionId, StreamUid},
};

const SELECT: &str = "SELECT sequence, session, duration_90k, date_us, discontinuity,
        discontinuities, independent, bytes
     FROM segments WHERE stream_id = (SELECT id FROM streams WHERE uid = ?1) ORDER BY sequence";

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It can be played.
    Done,
    /// Nothing of it is there.
    Failed,
}

impl Recorded {
    /// As the database and the API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// A segment as a playlist listed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// Its name.
    pub name: SegmentName,
    /// EXTINF, 90 kHz.
    pub duration_90k: u64,
    /// EXT-X-PROGRAM-DATE-TIME, since the Unix epoch; kept to the microsecond.
    pub date: Duration,
    /// A DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Discontinuities before that one.
    pub discontinuities: u64,
    /// It opens with an IDR, or has no video.
    pub independent: bool,
    /// Length of its object.
    pub bytes: u64,
}

impl Db {
    /// Writes what was listed, and forgets the segments numbered below `gone_below`, all at once
    /// with the counters that go with it (see [`Db::save_counters`]).
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn save_listed(
        &self,
        uid: &StreamUid,
        counters: Counters,
        rows: Vec<SegmentRow>,
        gone_below: u64,
    ) -> Result<()> {
        let uid = uid.clone();
        self.write_touching(move |c| {
            let first = save_counters(c, &uid, counters)?;
            insert(c, &uid, &rows).map_err(|error| writing(&uid, error))?;
            if gone_below > 0 {
                delete_below(c, &uid, gone_below).map_err(|error| writing(&uid, error))?;
            }
            let touch = if first {
                Touch::Stream(uid)
            } else {
                Touch::Nothing
            };
            Ok(((), touch))
        })
        .await
    }

    /// What a stream's playlist listed, oldest first.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn segments(&self, uid: &StreamUid) -> Result<Vec<SegmentRow>> {
        let uid = uid.clone();
        let work = move |c: &Connection| {
            let rows = || {
                c.prepare_cached(SELECT)?
                    .query_map([uid.as_str()], row)?
                    .collect::<rusqlite::Result<Vec<_>>>()
            };
            rows().map_err(|error| asking(&format!("segments of {uid}"), error))
        };
        self.readers.read(work).await
    }

    /// Notes what became of an ended stream's recording, and forgets the segments numbered in
    /// `absent`. False, and nothing changes, when it is recorded no more.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn close_recording(
        &self,
        uid: &StreamUid,
        outcome: Recorded,
        absent: Vec<u64>,
    ) -> Result<bool> {
        let uid = uid.clone();
        self.write_stream(move |c| {
            let closed = c.execute(
                "UPDATE streams SET recorded = ?2
                 WHERE uid = ?1 AND record = 1 AND status IN ('finished', 'cancel')",
                params![uid.as_str(), outcome],
            );
            let closed = known(c, &uid, closed)?;
            if closed {
                delete_each(c, &uid, &absent).map_err(|error| writing(&uid, error))?;
            }
            Ok((closed, uid))
        })
        .await
    }

    /// Forgets all segments of a stream: their objects are gone.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn forget_segments(&self, uid: &StreamUid) -> Result<()> {
        let uid = uid.clone();
        self.write(move |c| {
            let deleted = delete_below(c, &uid, u64::MAX);
            deleted.map_err(|error| writing(&uid, error))
        })
        .await
    }

    /// At most `limit` closed recordings that ended before `ended_before_ms`, oldest first.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn old_recordings(&self, ended_before_ms: i64, limit: u32) -> Result<Vec<StreamUid>> {
        let sql = "SELECT uid FROM streams
                   WHERE record = 1 AND recorded IS NOT NULL AND ended_at_ms < ?1
                   ORDER BY ended_at_ms LIMIT ?2";
        self.uids(sql, ended_before_ms, limit).await
    }

    /// At most `limit` streams that ended before `ended_before_ms` and are not recorded, but whose
    /// segments nobody noted as deleted.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn undeleted_streams(
        &self,
        ended_before_ms: i64,
        limit: u32,
    ) -> Result<Vec<StreamUid>> {
        let sql = "SELECT uid FROM streams
                   WHERE id IN (SELECT DISTINCT stream_id FROM segments) AND record = 0
                       AND status IN ('finished', 'cancel') AND ended_at_ms < ?1 LIMIT ?2";
        self.uids(sql, ended_before_ms, limit).await
    }

    async fn uids(&self, sql: &'static str, before_ms: i64, limit: u32) -> Result<Vec<StreamUid>> {
        let work = move |c: &Connection| {
            let rows = || {
                c.prepare_cached(sql)?
                    .query_map(params![before_ms, limit], |row| row.get(0))?
                    .collect::<rusqlite::Result<Vec<_>>>()
            };
            rows().map_err(|error| asking("recordings", error))
        };
        self.readers.read(work).await
    }
}

fn insert(connection: &Connection, uid: &StreamUid, rows: &[SegmentRow]) -> rusqlite::Result<()> {
    // A row that is there already is the same: numbers are given once.
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO segments (stream_id, sequence, session, duration_90k, date_us,
             discontinuity, discontinuities, independent, bytes)
         SELECT id, :sequence, :session, :duration, :date, :discontinuity, :discontinuities,
             :independent, :bytes
         FROM streams WHERE uid = :uid",
    )?;
    for row in rows {
        statement.execute(named_params! {
            ":uid": uid.as_str(),
            ":sequence": signed(row.name.sequence),
            ":session": row.name.session.as_str(),
            ":duration": signed(row.duration_90k),
            ":date": i64::try_from(row.date.as_micros()).unwrap_or(i64::MAX),
            ":discontinuity": row.discontinuity,
            ":discontinuities": signed(row.discontinuities),
            ":independent": row.independent,
            ":bytes": signed(row.bytes),
        })?;
    }
    Ok(())
}

fn delete_below(connection: &Connection, uid: &StreamUid, below: u64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM segments
               WHERE stream_id = (SELECT id FROM streams WHERE uid = ?1) AND sequence < ?2";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![uid.as_str(), signed(below)])?;
    Ok(())
}

fn delete_each(connection: &Connection, uid: &StreamUid, gone: &[u64]) -> rusqlite::Result<()> {
    let sql = "DELETE FROM segments
               WHERE stream_id = (SELECT id FROM streams WHERE uid = ?1) AND sequence = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    for sequence in gone {
        statement.execute(params![uid.as_str(), signed(*sequence)])?;
    }
    Ok(())
}

fn writing(uid: &StreamUid, error: rusqlite::Error) -> Error {
    Error::with(
        Kind::Unavailable,
        format!("cannot change segments of {uid}"),
        error,
    )
}

/// Numbers that grow by one from zero never get so far.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn row(row: &Row<'_>) -> rusqlite::Result<SegmentRow> {
    // The schema holds them at zero or above.
    let number = |name: &str| row.get::<_, i64>(name).map(i64::unsigned_abs);
    Ok(SegmentRow {
        name: SegmentName {
            session: row.get("session")?,
            sequence: number("sequence")?,
        },
        duration_90k: number("duration_90k")?,
        date: Duration::from_micros(number("date_us")?),
        discontinuity: row.get("discontinuity")?,
        discontinuities: number("discontinuities")?,
        independent: row.get("independent")?,
        bytes: number("bytes")?,
    })
}

impl FromSql for SessionId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl FromSql for Recorded {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "done" => Ok(Self::Done),
            "failed" => Ok(Self::Failed),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

impl ToSql for Recorded {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}
