//! Channels: whose they are and what they say of themselves. It does not know streams; a channel is
//! made with its account.

use rusqlite::{Connection, OptionalExtension as _, Params, Row, named_params};

use super::{Db, cache::Touch, details::pattern, streams::asking};
use crate::{
    auth::KeyHash,
    error::{Error, Kind, Result},
};

/// A statement's beginning; it wants `:viewer`, the user who asks.
const SELECT: &str = "SELECT c.*, u.username AS author, u.photo,
        (SELECT count(*) FROM subscriptions WHERE channel_id = c.id) AS subscriptions_count,
        EXISTS (SELECT 1 FROM subscriptions
            WHERE channel_id = c.id AND user_id = :viewer) AS i_subscribed
     FROM channels c JOIN users u ON u.id = c.user_id";

/// Channels listed at most.
const LISTED_MAX: u32 = 1000;

/// A channel as it is shown. Times are milliseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Its row.
    pub id: i64,
    /// The user that it belongs to.
    pub owner_id: i64,
    /// That user's name.
    pub author: String,
    /// That user's picture, as the account has it.
    pub photo: Option<String>,
    /// Its own name.
    pub username: String,
    /// Its title.
    pub name: String,
    /// May be empty, as the following.
    pub description: String,
    /// Where it is on Instagram.
    pub instagram: String,
    /// Where it is on Facebook.
    pub facebook: String,
    /// Where it is on Twitter.
    pub twitter: String,
    /// Where it is on TikTok.
    pub tiktok: String,
    /// What its permanent key is looked up by.
    pub key: KeyHash,
    /// Its permanent key under the server's secret.
    pub key_sealed: Vec<u8>,
    /// How many subscribed.
    pub subscriptions_count: u64,
    /// Whether who asks is one of them.
    pub i_subscribed: bool,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it was last edited.
    pub updated_at_ms: i64,
}

/// What is to be changed of a channel; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct ChannelEdit {
    /// Its name, and what makes names the same.
    pub username: Option<(String, String)>,
    /// Title.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Instagram.
    pub instagram: Option<String>,
    /// Facebook.
    pub facebook: Option<String>,
    /// Twitter.
    pub twitter: Option<String>,
    /// TikTok.
    pub tiktok: Option<String>,
}

/// What became of an edit.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelEdited {
    /// The channel as it is now.
    Done(Box<Channel>),
    /// Another channel has this name.
    NameTaken,
    /// It was to be taken over as new, and its owner has edited it before.
    NotNew,
    /// The user has no channel.
    Missing,
}

impl Db {
    /// The channel with this name, as `viewer` sees it. `username_key` is what makes names the same.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn channel(
        &self,
        username_key: &str,
        viewer: Option<i64>,
    ) -> Result<Option<Channel>> {
        let key = username_key.to_owned();
        let condition = "WHERE c.username_key = :key";
        self.readers
            .read(move |c| {
                one(
                    c,
                    condition,
                    named_params! { ":viewer": viewer, ":key": key },
                )
            })
            .await
    }

    /// The channel of this user, as its owner sees it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn channel_of(&self, owner_id: i64) -> Result<Option<Channel>> {
        self.readers.read(move |c| of_owner(c, owner_id)).await
    }

    /// Whether this user's channel was edited since it was made with the account.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn channel_edited(&self, owner_id: i64) -> Result<bool> {
        const QUERY: &str = "SELECT 1 FROM channels WHERE user_id = ? AND edited = 1";
        let found = move |c: &Connection| c.prepare_cached(QUERY)?.exists([owner_id]);
        self.readers
            .read(move |c| found(c).map_err(|error| asking("a channel", error)))
            .await
    }

    /// Channels by name, at most 1000; with `search` those that have it in their name or title.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn channels(
        &self,
        search: Option<String>,
        viewer: Option<i64>,
    ) -> Result<Vec<Channel>> {
        self.readers
            .read(move |c| list(c, search.as_deref(), viewer))
            .await
    }

    /// Changes what `edit` names of a user's channel. `as_new`: only while it is as it was made
    /// with the account.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn edit_channel(
        &self,
        owner_id: i64,
        edit: ChannelEdit,
        as_new: bool,
        now_ms: i64,
    ) -> Result<ChannelEdited> {
        self.write_touching(move |c| {
            let edited = update(c, owner_id, &edit, as_new, now_ms)?;
            // Its name is part of all of its streams.
            Ok((edited, Touch::Streams))
        })
        .await
    }
}

fn update(
    connection: &Connection,
    owner_id: i64,
    edit: &ChannelEdit,
    as_new: bool,
    now_ms: i64,
) -> Result<ChannelEdited> {
    let (username, username_key) = match &edit.username {
        Some((username, key)) => (Some(username), Some(key)),
        None => (None, None),
    };
    let changed = connection.execute(
        "UPDATE channels SET edited = 1, updated_at_ms = :now,
             username = coalesce(:username, username),
             username_key = coalesce(:username_key, username_key),
             name = coalesce(:name, name), description = coalesce(:description, description),
             instagram = coalesce(:instagram, instagram), facebook = coalesce(:facebook, facebook),
             twitter = coalesce(:twitter, twitter), tiktok = coalesce(:tiktok, tiktok)
         WHERE user_id = :owner AND (edited = 0 OR NOT :as_new)",
        named_params! {
            ":owner": owner_id, ":as_new": as_new, ":now": now_ms, ":username": username,
            ":username_key": username_key, ":name": edit.name, ":description": edit.description,
            ":instagram": edit.instagram, ":facebook": edit.facebook, ":twitter": edit.twitter,
            ":tiktok": edit.tiktok,
        },
    );
    match changed {
        Ok(0) if of_owner(connection, owner_id)?.is_some() => Ok(ChannelEdited::NotNew),
        Ok(0) => Ok(ChannelEdited::Missing),
        Ok(_) => match of_owner(connection, owner_id)? {
            Some(channel) => Ok(ChannelEdited::Done(Box::new(channel))),
            None => Ok(ChannelEdited::Missing),
        },
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
        {
            Ok(ChannelEdited::NameTaken)
        }
        Err(error) => {
            let context = "cannot change a channel";
            Err(Error::with(Kind::Unavailable, context, error))
        }
    }
}

fn of_owner(connection: &Connection, owner_id: i64) -> Result<Option<Channel>> {
    let values = named_params! { ":viewer": owner_id };
    one(connection, "WHERE c.user_id = :viewer", values)
}

fn one(connection: &Connection, condition: &str, values: impl Params) -> Result<Option<Channel>> {
    let found = || {
        let mut statement = connection.prepare_cached(&format!("{SELECT} {condition}"))?;
        statement.query_row(values, row).optional()
    };
    found().map_err(|error| asking("a channel", error))
}

fn list(
    connection: &Connection,
    search: Option<&str>,
    viewer: Option<i64>,
) -> Result<Vec<Channel>> {
    let rows = || {
        let mut statement = connection.prepare_cached(&format!(
            r"{SELECT} WHERE :search IS NULL OR c.username LIKE :search ESCAPE '\'
                  OR c.name LIKE :search ESCAPE '\' ORDER BY c.username_key LIMIT :limit"
        ))?;
        let values = named_params! {
            ":viewer": viewer, ":search": search.map(pattern), ":limit": LISTED_MAX,
        };
        let rows = statement.query_map(values, row)?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    rows().map_err(|error| asking("channels", error))
}

fn row(row: &Row<'_>) -> rusqlite::Result<Channel> {
    Ok(Channel {
        id: row.get("id")?,
        owner_id: row.get("user_id")?,
        author: row.get("author")?,
        photo: row.get("photo")?,
        username: row.get("username")?,
        name: row.get("name")?,
        description: row.get("description")?,
        instagram: row.get("instagram")?,
        facebook: row.get("facebook")?,
        twitter: row.get("twitter")?,
        tiktok: row.get("tiktok")?,
        key: KeyHash(row.get("key_hash")?),
        key_sealed: row.get("key_sealed")?,
        subscriptions_count: row.get::<_, i64>("subscriptions_count")?.unsigned_abs(),
        i_subscribed: row.get("i_subscribed")?,
        created_at_ms: row.get("created_at_ms")?,
        updated_at_ms: row.get("updated_at_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Secret, name::StreamKey};

    /// Accounts for the tests of every part.
    impl Db {
        /// An active account with its channel of the same name; its id and the channel's key.
        pub(crate) async fn sample_user(&self, name: &str, secret: &Secret) -> (i64, StreamKey) {
            let key = StreamKey::random();
            let (hash, sealed) = (secret.key_hash(&key), secret.seal(&key));
            let name = name.to_owned();
            let id = self.write(move |c| {
                c.execute(
                    "INSERT INTO users (username, username_key, email, email_key, password_hash, active,
                         created_at_ms, updated_at_ms)
                     VALUES (?1, lower(?1), ?1 || '@x.example', lower(?1) || '@x.example', '', 1, 1, 1)",
                    [&name],
                )
                .unwrap();
                let id = c.last_insert_rowid();
                c.execute(
                    "INSERT INTO channels (user_id, username, username_key, name, key_hash, key_sealed,
                         created_at_ms, updated_at_ms) VALUES (?1, ?2, lower(?2), ?2, ?3, ?4, 1, 1)",
                    (id, &name, hash.0, sealed),
                )
                .unwrap();
                Ok(id)
            });
            (id.await.unwrap(), key)
        }

        pub(crate) async fn sample_ban(&self, user_id: i64) {
            let sql = "UPDATE users SET banned = 1 WHERE id = ?1";
            let banned = self.write(move |c| Ok(c.execute(sql, [user_id]).unwrap()));
            assert_eq!(banned.await.unwrap(), 1);
        }
    }
}
