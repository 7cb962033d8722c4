//! Who may do what: the server's secret, stream keys, login tokens. It does not know sockets or
//! requests.

mod account;
mod attempts;
mod desk;
mod identity;
mod password;
mod publish;
mod seal;
mod secret;
mod token;

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

pub use account::{LoginRefused, Registered, Registration};
pub use identity::Identity;
pub use publish::PublishRefusal;
pub use secret::{KeyHash, Secret};
pub use token::{BadToken, Bearer, Issued};

use self::{
    attempts::Attempts,
    identity::{Known, Standing},
    password::Passwords,
    token::Tokens,
};
use crate::{
    config::{Config, Limits},
    db::{Db, UserRow},
    error::Result,
};

/// Why nobody is identified.
#[derive(Debug)]
pub enum NoIdentity {
    /// The token is at fault.
    Token(BadToken),
    /// The database could not be asked.
    Unavailable(crate::error::Error),
}

/// Checks keys and tokens against the database; clones share it.
#[derive(Clone)]
pub struct Auth {
    db: Db,
    secret: Secret,
    inner: Arc<Inner>,
}

struct Inner {
    tokens: Tokens,
    known: Known,
    publishes: publish::SharedAttempts,
    passwords: Passwords,
    attempts: Attempts,
    limits: Limits,
    refresh_for_s: i64,
}

impl Auth {
    /// An authority over `db`.
    pub fn new(db: Db, secret: Secret, config: &Config) -> Self {
        let limits = config.limits.clone();
        let inner = Inner {
            tokens: Tokens::new(&secret, config.auth.token_ttl),
            publishes: publish::SharedAttempts::default(),
            known: Known::new(limits.cached_users),
            passwords: Passwords::new(limits.logins_at_once, limits.logins_waiting),
            attempts: Attempts::new(limits.login_window, limits.login_subjects),
            limits,
            refresh_for_s: i64::try_from(config.auth.refresh_for.as_secs()).unwrap_or(i64::MAX),
        };
        Self {
            db,
            secret,
            inner: Arc::new(inner),
        }
    }

    /// Hashes, seals and opens stream keys.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Who holds this login token.
    ///
    /// # Errors
    /// A token that is no longer or never was good, or a database that does not answer.
    pub async fn identity(&self, bearer: &str) -> Result<Identity, NoIdentity> {
        self.bearer(bearer).await.map(|(_, identity)| identity)
    }

    /// [`Auth::identity`] with what else the token says.
    ///
    /// # Errors
    /// As [`Auth::identity`].
    pub async fn bearer(&self, bearer: &str) -> Result<(Bearer, Identity), NoIdentity> {
        let verified = self.inner.tokens.verify(bearer, now_s());
        let bearer = verified.map_err(NoIdentity::Token)?;
        let standing = self.standing(bearer.user_id).await?;
        match standing {
            Some(standing) if standing.may_log_in && standing.generation == bearer.generation => {
                let identity = Identity {
                    user_id: bearer.user_id,
                    username: standing.username,
                };
                Ok((bearer, identity))
            }
            _ => Err(NoIdentity::Token(BadToken::Revoked)),
        }
    }

    async fn standing(&self, user_id: i64) -> Result<Option<Standing>, NoIdentity> {
        let epoch = match self.inner.known.find(user_id, Instant::now()) {
            Ok(standing) => return Ok(Some(standing)),
            Err(epoch) => epoch,
        };
        let row = self
            .db
            .user(user_id)
            .await
            .map_err(NoIdentity::Unavailable)?;
        Ok(row.map(|row| {
            let standing = Standing {
                may_log_in: row.active && !row.banned,
                generation: row.token_generation,
                username: row.username,
            };
            self.inner
                .known
                .keep(epoch, user_id, &standing, Instant::now());
            standing
        }))
    }

    /// A login token. `orig_iat` is that of the token it renews; `None` at a login.
    pub fn issue(&self, user: &UserRow, orig_iat: Option<i64>) -> Issued {
        let now_s = now_s();
        let orig_iat = orig_iat.unwrap_or(now_s);
        let generation = user.token_generation;
        self.inner
            .tokens
            .issue(user.id, &user.username, generation, orig_iat, now_s)
    }

    /// Whether `auth.refresh_for` has passed since the login that this token goes back to.
    pub fn too_old_to_refresh(&self, bearer: &Bearer) -> bool {
        now_s().saturating_sub(bearer.orig_iat) >= self.inner.refresh_for_s
    }

    /// Must be called after every change to an account's name, password or ban.
    pub fn forget(&self, user_id: i64) {
        self.inner.known.forget(user_id);
    }
}

/// The wall clock as tokens keep times: seconds since 1970.
fn now_s() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{StreamKey, StreamUid};

    async fn authority(directory: &tempfile::TempDir) -> (Db, Auth, StreamUid, StreamKey) {
        let db = Db::open(&directory.path().join("t.db"), 16).unwrap();
        let secret = Secret::load_or_create(&directory.path().join("jwt.key")).unwrap();
        let (uid, key) = (StreamUid::random(), StreamKey::random());
        let hash = secret.key_hash(&key);
        db.create_stream(&uid, &hash, "", true).await.unwrap();
        (
            db.clone(),
            Auth::new(db, secret, &Config::default()),
            uid,
            key,
        )
    }

    #[tokio::test]
    async fn a_key_publishes_until_the_stream_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let (db, auth, uid, key) = authority(&directory).await;
        assert_eq!(auth.authorize_publish(key.as_str()).await, Ok(uid.clone()));
        db.mark_live(&uid, 1).await.unwrap();
        assert_eq!(auth.authorize_publish(key.as_str()).await, Ok(uid.clone()));
        db.finish_stream(&uid, "stopped", 2).await.unwrap();
        let refused = auth.authorize_publish(key.as_str()).await;
        assert_eq!(refused, Err(PublishRefusal::Ended));
    }

    #[tokio::test]
    async fn other_keys_are_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let (_db, auth, uid, _key) = authority(&directory).await;
        let other = StreamKey::random();
        for key in [
            other.as_str(),
            uid.as_str(),
            "",
            "../../etc/passwd",
            "' OR 1=1 --",
        ] {
            let refused = auth.authorize_publish(key).await;
            assert_eq!(refused, Err(PublishRefusal::UnknownKey), "{key}");
        }
    }

    #[tokio::test]
    async fn a_closed_database_is_no_wrong_key() {
        let directory = tempfile::tempdir().unwrap();
        let (db, auth, _uid, key) = authority(&directory).await;
        db.close().await;
        let refused = auth.authorize_publish(key.as_str()).await;
        assert_eq!(refused, Err(PublishRefusal::Unavailable));
    }
}
