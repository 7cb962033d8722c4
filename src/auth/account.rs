//! The life of an account as far as secrets go: made, activated, logged in, its password reset.
//! It does not know how codes reach people or how requests look.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::Auth;
use crate::{
    db::{NewUser, Profile, Taken, UserRow, now_ms},
    error::{Error, Result},
    name::{StreamKey, random_bytes},
    person::{Email, Username},
};

/// How long a reset token works (realtime rule 8).
const RESET_TTL: Duration = Duration::from_mins(30);
const CODE_LABEL: &[u8] = b"cauce activation code v1\0";
const RESET_LABEL: &[u8] = b"cauce reset token v1\0";

/// Who wants an account.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The account's and its channel's name.
    pub username: Username,
    /// What they tell of themselves.
    pub profile: Profile,
    /// In plain text; hashed before anything else happens.
    pub password: String,
    /// Question numbers and answers in plain text; hashed too.
    pub answers: Vec<(i64, String)>,
}

/// A new account.
#[derive(Debug)]
pub struct Registered {
    /// Its row.
    pub user: UserRow,
    /// The code that activates it, to be told to its owner and nobody else.
    pub code: Option<String>,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub enum LoginRefused {
    /// No such account, another password, or banned: which of them is not told.
    Wrong,
    /// The password is right and the account is not activated.
    NotActive(Box<UserRow>),
    /// Too many failures: again in so many seconds.
    Throttled(u64),
    /// The database or the machine cannot.
    Failed(Error),
}

impl From<Error> for LoginRefused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Auth {
    /// Makes an account and its channel. With `activation` it waits for a code.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub async fn register(
        &self,
        who: Registration,
        activation: bool,
    ) -> Result<Result<Registered, Taken>> {
        let (questions, mut plain): (Vec<_>, Vec<_>) = who.answers.into_iter().unzip();
        plain.push(who.password);
        let mut hashes = self.inner.passwords.turn().await?.hash(plain).await?;
        let password_hash = hashes.pop().unwrap_or_default();
        let code = activation.then(|| self.new_code(&who.profile.email));
        let channel_key = StreamKey::random();
        let new = NewUser {
            username: who.username,
            profile: who.profile,
            password_hash,
            code: code.as_ref().map(|(_, hash, until)| (*hash, *until)),
            answers: questions.into_iter().zip(hashes).collect(),
            channel_key: self.secret.key_hash(&channel_key),
            channel_key_sealed: self.secret.seal(&channel_key),
        };
        let made = self.db.create_user(new).await?;
        Ok(made.map(|user| Registered {
            user,
            code: code.map(|(code, ..)| code),
        }))
    }

    /// Lets a user in by username, e-mail address or phone number.
    ///
    /// # Errors
    /// See [`LoginRefused`]. The last failure that is allowed says already how long to rest.
    pub async fn log_in(
        &self,
        login: &str,
        password: &str,
        client: IpAddr,
    ) -> Result<UserRow, LoginRefused> {
        let user = self.db.user_by_login(login).await?;
        let account = match &user {
            Some(user) => format!("account {}", user.id),
            None => format!("unknown {}", login.to_lowercase()),
        };
        self.rested(&account, client)?;
        let turn = self.inner.passwords.turn().await?;
        // Those who waited together fail one after the other.
        self.rested(&account, client)?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let right = turn.verify(password.to_owned(), hash).await?;
        match user.filter(|user| right && !user.banned) {
            None => {
                self.failed(&account, client)?;
                Err(LoginRefused::Wrong)
            }
            Some(user) => {
                self.inner.attempts.clear(&account);
                match user.active {
                    true => Ok(user),
                    false => Err(LoginRefused::NotActive(Box::new(user))),
                }
            }
        }
    }

    /// Activates the account of an e-mail address by its code.
    ///
    /// # Errors
    /// As [`Auth::log_in`].
    pub async fn activate(
        &self,
        email: &str,
        code: &str,
        client: IpAddr,
    ) -> Result<UserRow, LoginRefused> {
        let Some(email) = Email::parse(email) else {
            return Err(LoginRefused::Wrong);
        };
        let subject = format!("code {}", email.key());
        self.rested(&subject, client)?;
        let hash = self.code_hash(&email, code);
        match self.db.activate(email.key(), hash).await? {
            Some(user) => {
                self.inner.attempts.clear(&subject);
                self.forget(user.id);
                Ok(user)
            }
            None => {
                self.failed(&subject, client)?;
                Err(LoginRefused::Wrong)
            }
        }
    }

    /// Another activation code for an account that waits for one; `None` when it has one that is
    /// younger than `limits.code_rest`, or was given too many of late.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub async fn renew_code(&self, user: &UserRow) -> Result<Option<String>> {
        let limits = &self.inner.limits;
        let made_ms = user
            .code_expires_at_ms
            .map(|until| until - ms(limits.code_ttl));
        // The letter is on its way: another one would make its code void.
        if made_ms.is_some_and(|made| now_ms() - made < ms(limits.code_rest)) {
            return Ok(None);
        }
        let Some(email) = Email::parse(&user.email).filter(|_| self.may_mail(user)) else {
            return Ok(None);
        };
        let (code, hash, until) = self.new_code(&email);
        self.db.set_code(user.id, hash, until).await?;
        Ok(Some(code))
    }

    /// The account that `login` means, and a token that resets its password once; `None` when
    /// there is no such account, or it was given too many of late.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub async fn start_reset(&self, login: &str) -> Result<Option<(UserRow, String)>> {
        let found = self.db.user_by_login(login).await?;
        let Some(user) = found.filter(|user| !user.banned && self.may_mail(user)) else {
            return Ok(None);
        };
        let token = URL_SAFE_NO_PAD.encode(random_bytes::<32>());
        let until = now_ms() + ms(RESET_TTL);
        let hash = self.secret.hash(RESET_LABEL, token.as_bytes());
        self.db.set_reset(user.id, hash, until).await?;
        Ok(Some((user, token)))
    }

    /// Whether a reset token would work now.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub async fn can_reset(&self, token: &str) -> Result<bool> {
        let hash = self.secret.hash(RESET_LABEL, token.as_bytes());
        Ok(self.db.user_by_reset(hash).await?.is_some())
    }

    /// Sets a new password by a reset token, which is used up; false when it does not work.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub async fn finish_reset(&self, token: &str, password: &str) -> Result<bool> {
        if !self.can_reset(token).await? {
            return Ok(false);
        }
        let hash = self.password_hash(password).await?;
        let token = self.secret.hash(RESET_LABEL, token.as_bytes());
        let user = self.db.finish_reset(token, hash).await?;
        if let Some(user) = &user {
            self.forget(user.id);
            self.inner.attempts.clear(&format!("account {}", user.id));
        }
        Ok(user.is_some())
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// [`crate::error::Kind::Unavailable`].
    pub async fn password_hash(&self, password: &str) -> Result<String> {
        let turn = self.inner.passwords.turn().await?;
        let mut hashes = turn.hash(vec![password.to_owned()]).await?;
        Ok(hashes.pop().unwrap_or_default())
    }

    /// A code, its hash, and until when it is good.
    fn new_code(&self, email: &Email) -> (String, [u8; 32], i64) {
        let number = u64::from_be_bytes(random_bytes::<8>()) % 1_000_000;
        let code = format!("{number:06}");
        let hash = self.code_hash(email, &code);
        (code, hash, now_ms() + ms(self.inner.limits.code_ttl))
    }

    /// Keyed: a million codes are tried in no time by whoever reads the database.
    fn code_hash(&self, email: &Email, code: &str) -> [u8; 32] {
        let text = format!("{}\0{code}", email.key());
        self.secret.hash(CODE_LABEL, text.as_bytes())
    }

    /// Whether the account may be sent one more letter; counts it.
    fn may_mail(&self, user: &UserRow) -> bool {
        let subject = format!("mail {}", user.id);
        let (attempts, now) = (&self.inner.attempts, Instant::now());
        let max = self.inner.limits.account_mails;
        let may = attempts.rest_s(&subject, max, now).is_none();
        if may {
            attempts.failed(&subject, now);
        }
        may
    }

    /// Refuses who must rest.
    fn rested(&self, subject: &str, client: IpAddr) -> Result<(), LoginRefused> {
        let limits = &self.inner.limits;
        let now = Instant::now();
        let rest = |subject: &str, max| self.inner.attempts.rest_s(subject, max, now);
        let account = rest(subject, limits.login_attempts);
        let address = rest(&place(client), limits.login_attempts_per_address);
        account
            .max(address)
            .map_or(Ok(()), |seconds| Err(LoginRefused::Throttled(seconds)))
    }

    /// Counts a failure, and refuses when it was one too many.
    fn failed(&self, subject: &str, client: IpAddr) -> Result<(), LoginRefused> {
        let now = Instant::now();
        self.inner.attempts.failed(subject, now);
        self.inner.attempts.failed(&place(client), now);
        self.rested(subject, client)
    }
}

/// Where attempts come from: an IPv4 address, or the /64 an IPv6 host chooses its addresses from.
fn place(client: IpAddr) -> String {
    match client {
        IpAddr::V4(v4) => format!("address {v4}"),
        IpAddr::V6(v6) => {
            let network = Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64));
            format!("address {network}")
        }
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
