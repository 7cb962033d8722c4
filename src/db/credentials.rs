//! The SQL of what lets people into `users`: passwords, codes, reset tokens, bans. All of it comes
//! hashed; it does not know of what.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Db,
    accounts::{UserRow, find, known, writing},
    now_ms,
};
use crate::error::{Error, Kind, Result};

impl Db {
    /// Activates the account of an e-mail key whose code has this hash and is still good.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn activate(&self, email_key: &str, code: [u8; 32]) -> Result<Option<UserRow>> {
        let email_key = email_key.to_owned();
        self.write(move |c| {
            let sql = "UPDATE users SET active = 1, code_hash = NULL, code_expires_at_ms = NULL,
                           updated_at_ms = ?3
                       WHERE email_key = ?1 AND code_hash = ?2 AND code_expires_at_ms >= ?3
                           AND active = 0 AND banned = 0
                       RETURNING id";
            let found = one(c, sql, params![email_key, code, now_ms()])?;
            found.map(|id| known(c, id)).transpose()
        })
        .await
    }

    /// Gives an account that is not active yet another code, good until `expires_at_ms`.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn set_code(&self, id: i64, code: [u8; 32], expires_at_ms: i64) -> Result<()> {
        self.write(move |c| {
            let sql = "UPDATE users SET code_hash = ?2, code_expires_at_ms = ?3
                       WHERE id = ?1 AND active = 0";
            let done = c.execute(sql, params![id, code, expires_at_ms]);
            done.map(drop).map_err(writing)
        })
        .await
    }

    /// Gives an account a reset token, good until `expires_at_ms`; the one before it is void.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn set_reset(&self, id: i64, token: [u8; 32], expires_at_ms: i64) -> Result<()> {
        self.write(move |c| {
            let sql = "UPDATE users SET reset_hash = ?2, reset_expires_at_ms = ?3 WHERE id = ?1";
            let done = c.execute(sql, params![id, token, expires_at_ms]);
            done.map(drop).map_err(writing)
        })
        .await
    }

    /// The account that may reset its password with this token.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn user_by_reset(&self, token: [u8; 32]) -> Result<Option<UserRow>> {
        let now_ms = now_ms();
        self.readers
            .read(move |c| {
                let sql = "SELECT id FROM users
                           WHERE reset_hash = ?1 AND reset_expires_at_ms >= ?2 AND banned = 0";
                let id = one(c, sql, params![token, now_ms])?;
                id.map_or(Ok(None), |id| find(c, "id = ?1", id))
            })
            .await
    }

    /// Uses a reset token up: sets the password, ends the login tokens. Whoever has the token has the
    /// mailbox, so that the account is active from then on. The account, if the token was good.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn finish_reset(&self, token: [u8; 32], password: String) -> Result<Option<UserRow>> {
        self.write(move |c| {
            let sql = "UPDATE users SET password_hash = ?2, active = 1, code_hash = NULL,
                           code_expires_at_ms = NULL, reset_hash = NULL,
                           reset_expires_at_ms = NULL, token_generation = token_generation + 1,
                           updated_at_ms = ?3
                       WHERE reset_hash = ?1 AND reset_expires_at_ms >= ?3 AND banned = 0
                       RETURNING id";
            let found = one(c, sql, params![token, password, now_ms()])?;
            found.map(|id| known(c, id)).transpose()
        })
        .await
    }

    /// Sets the password and ends the login tokens of the account with this username key.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn set_password(&self, username_key: &str, password: String) -> Result<UserRow> {
        let key = username_key.to_owned();
        self.write(move |c| {
            let sql = "UPDATE users SET password_hash = ?2, reset_hash = NULL,
                           reset_expires_at_ms = NULL, token_generation = token_generation + 1,
                           updated_at_ms = ?3
                       WHERE username_key = ?1 RETURNING id";
            changed(c, one(c, sql, params![key, password, now_ms()])?)
        })
        .await
    }

    /// Locks or unlocks the account with this username key; its login tokens end either way.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn set_banned(&self, username_key: &str, banned: bool) -> Result<UserRow> {
        let key = username_key.to_owned();
        self.write(move |c| {
            let sql = "UPDATE users SET banned = ?2, token_generation = token_generation + 1,
                           updated_at_ms = ?3
                       WHERE username_key = ?1 RETURNING id";
            changed(c, one(c, sql, params![key, banned, now_ms()])?)
        })
        .await
    }
}

/// The id that a statement returns, if it found a row.
fn one(c: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Option<i64>> {
    c.query_row(sql, values, |row| row.get(0))
        .optional()
        .map_err(writing)
}

fn changed(c: &Connection, id: Option<i64>) -> Result<UserRow> {
    let id = id.ok_or_else(|| Error::new(Kind::NotFound, "no such user"))?;
    known(c, id)
}
