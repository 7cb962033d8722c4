//! Who subscribed to which channel. It does not know what subscribers get.

use rusqlite::{Connection, named_params};

use super::{Db, streams::asking};
use crate::error::{Error, Kind, Result};

/// Subscribers listed at most: whoever wants all of a bigger channel needs more than a page.
const LISTED_MAX: u32 = 10_000;

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// The subscriber's name.
    pub username: String,
    /// Since when, milliseconds since 1970.
    pub created_at_ms: i64,
}

impl Db {
    /// A channel's subscribers, newest first, at most 10,000.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn subscribers(&self, channel_id: i64) -> Result<Vec<Subscriber>> {
        self.readers.read(move |c| list(c, channel_id)).await
    }

    /// Subscribes a user; a second time changes nothing.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn subscribe(
        &self,
        channel_id: i64,
        user_id: i64,
        now_ms: i64,
    ) -> Result<Subscriber> {
        self.write(move |c| subscribe(c, channel_id, user_id, now_ms))
            .await
    }

    /// Ends a subscription; none is no error.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn unsubscribe(&self, channel_id: i64, user_id: i64) -> Result<()> {
        let sql = "DELETE FROM subscriptions WHERE channel_id = ?1 AND user_id = ?2";
        self.write(move |c| match c.execute(sql, [channel_id, user_id]) {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(error)),
        })
        .await
    }
}

fn list(connection: &Connection, channel_id: i64) -> Result<Vec<Subscriber>> {
    let rows = || {
        let mut statement = connection.prepare_cached(
            "SELECT u.username, s.created_at_ms FROM subscriptions s
             JOIN users u ON u.id = s.user_id WHERE s.channel_id = ?1
             ORDER BY s.created_at_ms DESC, s.user_id DESC LIMIT ?2",
        )?;
        let rows = statement.query_map([channel_id, LISTED_MAX.into()], |row| {
            Ok(Subscriber {
                username: row.get(0)?,
                created_at_ms: row.get(1)?,
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    rows().map_err(|error| asking("subscribers", error))
}

fn subscribe(
    connection: &Connection,
    channel_id: i64,
    user_id: i64,
    now_ms: i64,
) -> Result<Subscriber> {
    let ids = named_params! { ":channel": channel_id, ":user": user_id, ":now": now_ms };
    connection
        .execute(
            "INSERT INTO subscriptions (channel_id, user_id, created_at_ms)
             VALUES (:channel, :user, :now) ON CONFLICT DO NOTHING",
            ids,
        )
        .and_then(|_| {
            connection.query_row(
                "SELECT u.username, s.created_at_ms FROM subscriptions s
                 JOIN users u ON u.id = s.user_id
                 WHERE s.channel_id = ?1 AND s.user_id = ?2",
                [channel_id, user_id],
                |row| {
                    Ok(Subscriber {
                        username: row.get(0)?,
                        created_at_ms: row.get(1)?,
                    })
                },
            )
        })
        .map_err(failed)
}

fn failed(error: rusqlite::Error) -> Error {
    Error::with(Kind::Unavailable, "cannot change subscriptions", error)
}
