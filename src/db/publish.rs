//! What a publishing key belongs to: a stream, or a channel with its streams. It does not know
//! whether it may publish now: `auth` decides.

use rusqlite::{Connection, OptionalExtension as _};

use super::{Db, Status, streams::asking};
use crate::{auth::KeyHash, error::Result, name::StreamUid};

/// What a key was found to belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishTarget {
    /// One stream's own key.
    Stream {
        /// Which.
        uid: StreamUid,
        /// Where it is in its life.
        status: Status,
        /// Whether its owner is banned.
        banned: bool,
    },
    /// A channel's permanent key.
    Channel {
        /// The channel's row.
        id: i64,
        /// Its live stream, or the one that waits for a publisher; never a scheduled one.
        open: Option<StreamUid>,
        /// When its last stream was stopped, milliseconds since 1970; `None` when that one ended
        /// in another way.
        stopped_at_ms: Option<i64>,
        /// Whether its owner is banned.
        banned: bool,
    },
}

/// What a running publish rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishFacts {
    /// Where the stream is in its life.
    pub status: Status,
    /// What its key is looked up by now.
    pub key: KeyHash,
    /// Whether its owner is banned.
    pub banned: bool,
}

impl Db {
    /// What the key with this hash belongs to.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable).
    pub async fn publish_target(&self, key: &KeyHash) -> Result<Option<PublishTarget>> {
        let wanted = *key;
        let found = self.readers.read(move |c| target(c, &wanted)).await?;
        // The index compares byte by byte; this comparison is the one that counts.
        Ok(found
            .filter(|(_, stored)| stored == key)
            .map(|(target, _)| target))
    }

    /// What a publish to this stream rests on.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable).
    pub async fn publish_facts(&self, uid: &StreamUid) -> Result<Option<PublishFacts>> {
        let uid = uid.clone();
        self.readers.read(move |c| facts(c, &uid)).await
    }
}

fn target(connection: &Connection, key: &KeyHash) -> Result<Option<(PublishTarget, KeyHash)>> {
    let found = || match stream(connection, key)? {
        Some(found) => Ok(Some(found)),
        None => channel(connection, key),
    };
    found().map_err(|error| asking("a stream key", error))
}

fn stream(
    connection: &Connection,
    key: &KeyHash,
) -> rusqlite::Result<Option<(PublishTarget, KeyHash)>> {
    let mut statement = connection.prepare_cached(
        "SELECT s.uid, s.status, s.key_hash, coalesce(u.banned, 0) FROM streams s
         LEFT JOIN channels c ON c.id = s.channel_id LEFT JOIN users u ON u.id = c.user_id
         WHERE s.key_hash = ?1",
    )?;
    let found = statement.query_row([key.0], |row| {
        let target = PublishTarget::Stream {
            uid: row.get(0)?,
            status: row.get(1)?,
            banned: row.get(3)?,
        };
        Ok((target, KeyHash(row.get(2)?)))
    });
    found.optional()
}

fn channel(
    connection: &Connection,
    key: &KeyHash,
) -> rusqlite::Result<Option<(PublishTarget, KeyHash)>> {
    // At most one unscheduled stream of a channel is open (streams_one_open).
    let mut statement = connection.prepare_cached(
        "SELECT c.id, c.key_hash, u.banned,
             (SELECT uid FROM streams WHERE channel_id = c.id AND is_programed = 0
                  AND status IN ('pending', 'live')),
             (SELECT CASE ended_reason WHEN 'stopped' THEN ended_at_ms END FROM streams
                  WHERE channel_id = c.id AND is_programed = 0 AND ended_at_ms IS NOT NULL
                  ORDER BY ended_at_ms DESC, id DESC LIMIT 1)
         FROM channels c JOIN users u ON u.id = c.user_id WHERE c.key_hash = ?1",
    )?;
    let found = statement.query_row([key.0], |row| {
        let target = PublishTarget::Channel {
            id: row.get(0)?,
            open: row.get(3)?,
            stopped_at_ms: row.get(4)?,
            banned: row.get(2)?,
        };
        Ok((target, KeyHash(row.get(1)?)))
    });
    found.optional()
}

fn facts(connection: &Connection, uid: &StreamUid) -> Result<Option<PublishFacts>> {
    let found = || {
        let mut statement = connection.prepare_cached(
            "SELECT s.status, s.key_hash, coalesce(u.banned, 0) FROM streams s
             LEFT JOIN channels c ON c.id = s.channel_id LEFT JOIN users u ON u.id = c.user_id
             WHERE s.uid = ?1",
        )?;
        let found = statement.query_row([uid.as_str()], |row| {
            Ok(PublishFacts {
                status: row.get(0)?,
                key: KeyHash(row.get(1)?),
                banned: row.get(2)?,
            })
        });
        found.optional()
    };
    found().map_err(|error| asking(&format!("stream {uid}"), error))
}
