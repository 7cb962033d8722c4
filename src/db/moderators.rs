//! Who moderates which channel, who subscribed to it, and which logins still hold: what rooms ask
//! about people. It does not know what moderators may do.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::{Db, streams::asking};
use crate::error::{Error, Kind, Result};

/// Moderators that one channel may have.
pub const MODERATORS_MAX: usize = 1000;

/// A moderator of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moderator {
    /// The account.
    pub user_id: i64,
    /// Its present name.
    pub username: String,
    /// Since when, milliseconds since 1970, UTC.
    pub created_at_ms: i64,
}

/// What decides whether an account's logins hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What its tokens must carry.
    pub generation: i64,
    /// Locked by an operator.
    pub banned: bool,
    /// Activated.
    pub active: bool,
}

impl Db {
    /// A channel's moderators by name.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn moderators(&self, channel_id: i64) -> Result<Vec<Moderator>> {
        let read = move |c: &Connection| list(c, channel_id).map_err(|e| asking("moderators", e));
        self.readers.read(read).await
    }

    /// Names a moderator; a second time changes nothing.
    ///
    /// # Errors
    /// [`Kind::Conflict`] at [`MODERATORS_MAX`], [`Kind::Unavailable`].
    pub async fn add_moderator(&self, channel_id: i64, user_id: i64, now_ms: i64) -> Result<()> {
        self.write(move |c| {
            let known = ids(c, channel_id).map_err(failed)?;
            if known.len() >= MODERATORS_MAX && !known.contains(&user_id) {
                return Err(Error::new(
                    Kind::Conflict,
                    "the channel has 1000 moderators",
                ));
            }
            c.execute(
                "INSERT INTO moderators (channel_id, user_id, created_at_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO NOTHING",
                [channel_id, user_id, now_ms],
            )
            .map(|_| ())
            .map_err(failed)
        })
        .await
    }

    /// Takes the role away; false when it was not there.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn remove_moderator(&self, channel_id: i64, user_id: i64) -> Result<bool> {
        let sql = "DELETE FROM moderators WHERE channel_id = ?1 AND user_id = ?2";
        self.write(move |c| {
            let removed = c.execute(sql, [channel_id, user_id]).map_err(failed)?;
            Ok(removed > 0)
        })
        .await
    }

    /// The moderators of each of these channels.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn moderator_ids(&self, channels: Vec<i64>) -> Result<HashMap<i64, Vec<i64>>> {
        let read = move |c: &Connection| {
            let each = channels.into_iter().map(|id| Ok((id, ids(c, id)?)));
            each.collect::<rusqlite::Result<_>>()
                .map_err(|e| asking("moderators", e))
        };
        self.readers.read(read).await
    }

    /// How these accounts stand; one that is gone is left out.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn standings(&self, users: Vec<i64>) -> Result<HashMap<i64, Standing>> {
        let read = move |c: &Connection| standings(c, &users).map_err(|e| asking("accounts", e));
        self.readers.read(read).await
    }

    /// Whether a user subscribed to a channel.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn is_subscriber(&self, channel_id: i64, user_id: i64) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM subscriptions
                                  WHERE channel_id = ?1 AND user_id = ?2)";
        let read = move |c: &Connection| {
            c.query_row(sql, [channel_id, user_id], |row| row.get(0))
                .map_err(|e| asking("subscriptions", e))
        };
        self.readers.read(read).await
    }
}

/// Users who moderate a channel.
pub(super) fn ids(c: &Connection, channel_id: i64) -> rusqlite::Result<Vec<i64>> {
    c.prepare_cached("SELECT user_id FROM moderators WHERE channel_id = ?1")?
        .query_map([channel_id], |row| row.get(0))?
        .collect()
}

fn list(c: &Connection, channel_id: i64) -> rusqlite::Result<Vec<Moderator>> {
    c.prepare_cached(
        "SELECT u.id, u.username, m.created_at_ms FROM moderators m
         JOIN users u ON u.id = m.user_id WHERE m.channel_id = ?1 ORDER BY u.username_key",
    )?
    .query_map([channel_id], |row| {
        Ok(Moderator {
            user_id: row.get(0)?,
            username: row.get(1)?,
            created_at_ms: row.get(2)?,
        })
    })?
    .collect()
}

fn standings(c: &Connection, users: &[i64]) -> rusqlite::Result<HashMap<i64, Standing>> {
    let mut one =
        c.prepare_cached("SELECT token_generation, banned, active FROM users WHERE id = ?1")?;
    let mut found = HashMap::with_capacity(users.len());
    for user in users {
        let standing = one.query_row([user], |row| {
            Ok(Standing {
                generation: row.get(0)?,
                banned: row.get(1)?,
                active: row.get(2)?,
            })
        });
        if let Some(standing) = standing.optional()? {
            found.insert(*user, standing);
        }
    }
    Ok(found)
}

fn failed(error: rusqlite::Error) -> Error {
    Error::with(Kind::Unavailable, "cannot change moderators", error)
}
