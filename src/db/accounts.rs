//! The SQL of `users`: making, finding and describing accounts. It does not know how passwords or
//! codes are made or checked.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::{Db, now_ms};
use crate::{
    auth::KeyHash,
    error::{Error, Kind, Result},
    person::{Email, Phone, Username},
};

const COLUMNS: &str = "id, username, email, phone, password_hash, first_name, last_name, \
                       birth_date, country, gender, photo, active, banned, token_generation, code_expires_at_ms";

/// A row of `users`. Where text may be absent it is `None`, never empty.
#[derive(Clone, Debug)]
pub struct UserRow {
    /// Primary key.
    pub id: i64,
    /// As its owner wrote it.
    pub username: String,
    /// As its owner wrote it.
    pub email: String,
    /// As its owner wrote it.
    pub phone: Option<String>,
    /// Argon2id in PHC form.
    pub password_hash: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// `YYYY-MM-DD`
    pub birth_date: Option<String>,
    /// Free text.
    pub country: Option<String>,
    /// male, female, other.
    pub gender: Option<String>,
    /// Last part of the photo's key in the store.
    pub photo: Option<String>,
    /// Whether the e-mail address was confirmed, or need not be.
    pub active: bool,
    /// Whether an operator has locked it.
    pub banned: bool,
    /// What its login tokens must carry.
    pub token_generation: i64,
    /// Until when the last activation code is good; `None`: there is none.
    pub code_expires_at_ms: Option<i64>,
}

/// What a person tells of themselves. Where text may be absent, `None`.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Unique.
    pub email: Email,
    /// Unique.
    pub phone: Option<Phone>,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// `YYYY-MM-DD`
    pub birth_date: Option<String>,
    /// Free text.
    pub country: Option<String>,
    /// male, female, other.
    pub gender: Option<String>,
}

/// An account to be made, with its channel.
#[derive(Clone)]
pub struct NewUser {
    /// Unique among accounts and channels.
    pub username: Username,
    /// The rest of what they told.
    pub profile: Profile,
    /// Argon2id in PHC form.
    pub password_hash: String,
    /// The hash of the code that activates it, and until when (milliseconds since 1970); `None` makes
    /// an active account.
    pub code: Option<([u8; 32], i64)>,
    /// Question numbers with the hashes of their answers.
    pub answers: Vec<(i64, String)>,
    /// The channel's permanent key.
    pub channel_key: KeyHash,
    /// The same, sealed.
    pub channel_key_sealed: Vec<u8>,
}

/// The names of the fields (`username`, `email`, `phone`) that somebody else has already.
pub type Taken = Vec<&'static str>;

impl Db {
    /// The account of this id.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn user(&self, id: i64) -> Result<Option<UserRow>> {
        self.readers.read(move |c| find(c, "id = ?1", id)).await
    }

    /// The account with this [`Username::key`].
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn user_by_name(&self, username_key: &str) -> Result<Option<UserRow>> {
        let key = username_key.to_owned();
        self.readers
            .read(move |c| find(c, "username_key = ?1", key))
            .await
    }

    /// The account that somebody means who logs in with `text`: a username, an e-mail address, or a
    /// phone number. No text can be two of them.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn user_by_login(&self, text: &str) -> Result<Option<UserRow>> {
        let (column, key) = if let Some(email) = Email::parse(text) {
            ("email_key = ?1", email.key().to_owned())
        } else if let Some(phone) = Phone::parse(text) {
            ("phone_key = ?1", phone.key().to_owned())
        } else {
            ("username_key = ?1", Username::key_of(text))
        };
        self.readers.read(move |c| find(c, column, key)).await
    }

    /// Makes an account and its channel in one transaction; returns once committed. Accounts that were
    /// not activated in time give their names back.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn create_user(&self, user: NewUser) -> Result<Result<UserRow, Taken>> {
        self.write(move |c| insert(c, &user, now_ms())).await
    }

    /// Replaces an account's profile.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn set_profile(&self, id: i64, profile: Profile) -> Result<Result<UserRow, Taken>> {
        self.write(move |c| update(c, id, &profile, now_ms())).await
    }

    /// Names an account's photo; returns the account as it is now, and the name of the one before.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn set_photo(&self, id: i64, photo: &str) -> Result<(UserRow, Option<String>)> {
        let photo = photo.to_owned();
        self.write(move |c| {
            let before = known(c, id)?.photo;
            let sql = "UPDATE users SET photo = ?2, updated_at_ms = ?3 WHERE id = ?1";
            c.execute(sql, params![id, photo, now_ms()])
                .map_err(writing)?;
            Ok((known(c, id)?, before))
        })
        .await
    }
}

fn insert(c: &Connection, user: &NewUser, now_ms: i64) -> Result<Result<UserRow, Taken>> {
    let (username, profile) = (&user.username, &user.profile);
    let phone_key = profile.phone.as_ref().map(Phone::key);
    c.execute(
        "DELETE FROM users WHERE active = 0 AND banned = 0 AND code_expires_at_ms < ?1
         AND (username_key = ?2 OR email_key = ?3 OR phone_key = ?4)",
        params![now_ms, username.key(), profile.email.key(), phone_key],
    )
    .map_err(writing)?;
    let mut taken = taken(c, 0, profile)?;
    let sql = "SELECT EXISTS (SELECT 1 FROM users WHERE username_key = ?1)
               OR EXISTS (SELECT 1 FROM channels WHERE username_key = ?1)";
    if exists(c, sql, params![username.key()])? {
        taken.insert(0, "username");
    }
    if !taken.is_empty() {
        return Ok(Err(taken));
    }
    let id = insert_user(c, user, now_ms)?;
    for (question, answer) in &user.answers {
        let sql = "INSERT OR REPLACE INTO security_answers VALUES (?1, ?2, ?3)";
        c.execute(sql, params![id, question, answer])
            .map_err(writing)?;
    }
    insert_channel(c, id, user, now_ms)?;
    known(c, id).map(Ok)
}

/// Its id.
fn insert_user(c: &Connection, user: &NewUser, now_ms: i64) -> Result<i64> {
    let (username, profile) = (&user.username, &user.profile);
    let phone_key = profile.phone.as_ref().map(Phone::key);
    let (code_hash, expires) = user.code.unzip();
    c.execute(
        "INSERT INTO users (username, username_key, email, email_key, phone, phone_key,
            password_hash, first_name, last_name, birth_date, country, gender, active, code_hash,
            code_expires_at_ms, created_at_ms, updated_at_ms)
         VALUES (:username, :username_key, :email, :email_key, :phone, :phone_key, :password,
            :first, :last, :birth, :country, :gender, :active, :code, :expires, :now, :now)",
        named_params! {
            ":username": username.as_str(), ":username_key": username.key(),
            ":email": profile.email.as_str(), ":email_key": profile.email.key(),
            ":phone": profile.phone.as_ref().map(Phone::as_str), ":phone_key": phone_key,
            ":password": user.password_hash, ":first": profile.first_name,
            ":last": profile.last_name, ":birth": profile.birth_date,
            ":country": profile.country, ":gender": profile.gender,
            ":active": user.code.is_none(), ":code": code_hash, ":expires": expires,
            ":now": now_ms,
        },
    )
    .map_err(writing)?;
    Ok(c.last_insert_rowid())
}

/// The channel that comes with the account, under its name.
fn insert_channel(c: &Connection, id: i64, user: &NewUser, now_ms: i64) -> Result<()> {
    let username = &user.username;
    c.execute(
        "INSERT INTO channels (user_id, username, username_key, name, key_hash, key_sealed,
            created_at_ms, updated_at_ms)
         VALUES (?1, ?2, ?3, ?2, ?4, ?5, ?6, ?6)",
        params![
            id,
            username.as_str(),
            username.key(),
            user.channel_key.0,
            user.channel_key_sealed,
            now_ms
        ],
    )
    .map(drop)
    .map_err(writing)
}

fn update(c: &Connection, id: i64, to: &Profile, now: i64) -> Result<Result<UserRow, Taken>> {
    known(c, id)?;
    let taken = taken(c, id, to)?;
    if !taken.is_empty() {
        return Ok(Err(taken));
    }
    c.execute(
        "UPDATE users SET email = :email, email_key = :email_key, phone = :phone,
            phone_key = :phone_key, first_name = :first, last_name = :last, birth_date = :birth,
            country = :country, gender = :gender, updated_at_ms = :now
         WHERE id = :id",
        named_params! {
            ":id": id, ":email": to.email.as_str(), ":email_key": to.email.key(),
            ":phone": to.phone.as_ref().map(Phone::as_str),
            ":phone_key": to.phone.as_ref().map(Phone::key), ":first": to.first_name,
            ":last": to.last_name, ":birth": to.birth_date, ":country": to.country,
            ":gender": to.gender, ":now": now,
        },
    )
    .map_err(writing)?;
    known(c, id).map(Ok)
}

/// Which of a profile's unique fields another account than `id` has.
fn taken(c: &Connection, id: i64, profile: &Profile) -> Result<Taken> {
    let mut taken = vec![];
    let sql = "SELECT EXISTS (SELECT 1 FROM users WHERE email_key = ?1 AND id <> ?2)";
    if exists(c, sql, params![profile.email.key(), id])? {
        taken.push("email");
    }
    if let Some(phone) = &profile.phone {
        let sql = "SELECT EXISTS (SELECT 1 FROM users WHERE phone_key = ?1 AND id <> ?2)";
        if exists(c, sql, params![phone.key(), id])? {
            taken.push("phone");
        }
    }
    Ok(taken)
}

fn exists(c: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<bool> {
    c.query_row(sql, values, |row| row.get(0)).map_err(writing)
}

/// The account of an id that was found before.
pub(super) fn known(c: &Connection, id: i64) -> Result<UserRow> {
    find(c, "id = ?1", id)?.ok_or_else(|| Error::new(Kind::NotFound, format!("no user {id}")))
}

pub(super) fn writing(error: rusqlite::Error) -> Error {
    Error::with(Kind::Unavailable, "cannot write an account", error)
}

/// The account that `condition` with its one parameter names.
pub(super) fn find(
    connection: &Connection,
    condition: &'static str,
    value: impl rusqlite::ToSql,
) -> Result<Option<UserRow>> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE {condition}");
    connection
        .query_row(&sql, params![value], row)
        .optional()
        .map_err(|error| Error::with(Kind::Unavailable, "cannot look up an account", error))
}

fn row(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        id: row.get("id")?,
        username: row.get("username")?,
        email: row.get("email")?,
        phone: row.get("phone")?,
        password_hash: row.get("password_hash")?,
        first_name: row.get("first_name")?,
        last_name: row.get("last_name")?,
        birth_date: row.get("birth_date")?,
        country: row.get("country")?,
        gender: row.get("gender")?,
        photo: row.get("photo")?,
        active: row.get("active")?,
        banned: row.get("banned")?,
        token_generation: row.get("token_generation")?,
        code_expires_at_ms: row.get("code_expires_at_ms")?,
    })
}
