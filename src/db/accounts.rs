//! The SQL of `users`: reading accounts. It does not know what a password or a token is.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Db;
use crate::error::{Error, Kind, Result};

const COLUMNS: &str = "id, username, email, phone, password_hash, first_name, last_name, \
                       birth_date, country, gender, photo, active, banned, token_generation";

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
}

impl Db {
    /// The account of this id.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn user(&self, id: i64) -> Result<Option<UserRow>> {
        self.readers.read(move |c| find(c, "id = ?1", id)).await
    }
}

/// The account that `condition` with its one parameter names.
fn find(
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
    })
}
