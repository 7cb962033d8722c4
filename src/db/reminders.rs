//! Who wants to be told when a scheduled stream goes live. It does not know how they are told.

use rusqlite::{Connection, named_params};

use super::{Db, streams::asking};
use crate::{
    error::{Error, Kind, Result},
    name::StreamUid,
};

/// Reminders taken at once: the sender comes again for more.
const BATCH_MAX: u32 = 100;

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    /// Who wants it.
    pub user_id: i64,
    /// Where to.
    pub email: String,
    /// The stream that went live.
    pub uid: StreamUid,
    /// Its title.
    pub title: String,
    /// Its channel's name.
    pub channel: String,
}

impl Db {
    /// Notes that a user wants to be reminded; a second time changes nothing. False when the stream
    /// is not scheduled or has begun.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn remind(&self, uid: &StreamUid, user_id: i64, now_ms: i64) -> Result<bool> {
        let uid = uid.clone();
        self.write(move |c| add(c, &uid, user_id, now_ms)).await
    }

    /// Forgets a reminder; none is no error.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn forget_reminder(&self, uid: &StreamUid, user_id: i64) -> Result<()> {
        let uid = uid.clone();
        let sql = "DELETE FROM reminders WHERE user_id = :user
                   AND stream_id = (SELECT id FROM streams WHERE uid = :uid)";
        self.write(move |c| {
            let values = named_params! { ":uid": uid.as_str(), ":user": user_id };
            c.execute(sql, values).map(drop).map_err(failed)
        })
        .await
    }

    /// Reminders of streams that are live now, at most 100. They come again until they are
    /// forgotten: a mail that was not sent is not lost with the process.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn due_reminders(&self) -> Result<Vec<Reminder>> {
        self.readers.read(due).await
    }
}

fn add(connection: &Connection, uid: &StreamUid, user_id: i64, now_ms: i64) -> Result<bool> {
    let added = connection.execute(
        "INSERT INTO reminders (stream_id, user_id, created_at_ms)
         SELECT id, :user, :now FROM streams
         WHERE uid = :uid AND is_programed = 1 AND status = 'pending'
         ON CONFLICT DO UPDATE SET user_id = excluded.user_id",
        named_params! { ":uid": uid.as_str(), ":user": user_id, ":now": now_ms },
    );
    added.map(|rows| rows > 0).map_err(failed)
}

fn due(connection: &Connection) -> Result<Vec<Reminder>> {
    let rows = || {
        let mut statement = connection.prepare_cached(
            "SELECT r.user_id, u.email, s.uid, s.title, c.username FROM reminders r
             JOIN streams s ON s.id = r.stream_id
             JOIN channels c ON c.id = s.channel_id
             JOIN users u ON u.id = r.user_id
             WHERE s.status = 'live' ORDER BY r.created_at_ms LIMIT ?1",
        )?;
        let rows = statement.query_map([BATCH_MAX], |row| {
            Ok(Reminder {
                user_id: row.get(0)?,
                email: row.get(1)?,
                uid: row.get(2)?,
                title: row.get(3)?,
                channel: row.get(4)?,
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    rows().map_err(|error| asking("reminders", error))
}

fn failed(error: rusqlite::Error) -> Error {
    Error::with(Kind::Unavailable, "cannot change reminders", error)
}
