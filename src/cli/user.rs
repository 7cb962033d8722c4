//! `cauce user`: accounts from the command line, also beside a running server, which notices within a
//! second. It does not know how users log in.

use std::io::Read as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Answer, output::printable};
use crate::{
    auth::{Auth, Registration, Secret},
    config::Config,
    db::{Db, Profile, UserRow},
    error::{Error, Kind, Result},
    person::{Email, Username},
};

/// Longest password, characters.
const PASSWORD_CHARS_MAX: usize = 128;
/// Fewest characters of a password.
const PASSWORD_CHARS_MIN: usize = 8;
/// Most bytes that are read from standard input for one.
const STDIN_BYTES_MAX: u64 = 4096;

/// `cauce user ...`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create an active account, and its channel
    Create {
        /// Name of the account and its channel
        username: String,
        /// E-mail address
        #[arg(long)]
        email: String,
        #[command(flatten)]
        password: NewPassword,
    },
    /// Set a password; every login ends
    Password {
        /// Name of the account
        username: String,
        #[command(flatten)]
        password: NewPassword,
    },
    /// Lock an account; every login ends
    Ban {
        /// Name of the account
        username: String,
    },
    /// Unlock an account
    Unban {
        /// Name of the account
        username: String,
    },
}

/// Where a password comes from.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct NewPassword {
    /// Read the password from standard input, without the line break at its end
    #[arg(long)]
    password_stdin: bool,
    /// The password; other users of this machine can see it while the command runs
    #[arg(long)]
    password: Option<String>,
}

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPassword(..)")
    }
}

impl NewPassword {
    fn read(&self) -> Result<String> {
        let text = match &self.password {
            Some(text) => text.clone(),
            None => {
                let mut text = String::new();
                let mut limited = std::io::stdin().lock().take(STDIN_BYTES_MAX);
                limited.read_to_string(&mut text).map_err(|error| {
                    Error::with(Kind::Config, "cannot read standard input", error)
                })?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        if (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&text.chars().count()) {
            return Ok(text);
        }
        let line =
            format!("a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters");
        Err(Error::new(Kind::Config, line))
    }
}

impl Command {
    pub(super) async fn run(&self, config: &Config) -> Result<Answer> {
        let db = Db::open(&config.database_path, config.limits.db_queue)?;
        let secret = Secret::load_or_create(&config.auth.jwt_secret_file)?;
        let auth = Auth::new(db.clone(), secret, config);
        let answer = self.act(&db, &auth).await;
        drop(auth);
        db.close().await;
        answer
    }

    async fn act(&self, db: &Db, auth: &Auth) -> Result<Answer> {
        match self {
            Self::Create {
                username,
                email,
                password,
            } => create(auth, username, email, password.read()?).await,
            Self::Password { username, password } => {
                let hash = auth.password_hash(&password.read()?).await?;
                let key = Username::key_of(username);
                let user = db.set_password(&key, hash).await;
                Ok(told(&named(user, username)?, "has a new password"))
            }
            Self::Ban { username } => {
                let user = db.set_banned(&Username::key_of(username), true).await;
                Ok(told(&named(user, username)?, "is banned"))
            }
            Self::Unban { username } => {
                let user = db.set_banned(&Username::key_of(username), false).await;
                Ok(told(&named(user, username)?, "is not banned"))
            }
        }
    }
}

async fn create(auth: &Auth, username: &str, email: &str, password: String) -> Result<Answer> {
    let refused = |line: String| Error::new(Kind::Config, line);
    let username = Username::parse(username).ok_or_else(|| refused(Username::RULE.to_owned()))?;
    let email = Email::parse(email)
        .ok_or_else(|| refused(format!("{} is no e-mail address", printable(email))))?;
    let registration = Registration {
        username,
        profile: Profile {
            email,
            phone: None,
            first_name: String::new(),
            last_name: String::new(),
            birth_date: None,
            country: None,
            gender: None,
        },
        password,
        answers: vec![],
    };
    match auth.register(registration, false).await? {
        Ok(made) => Ok(told(&made.user, "is created")),
        Err(taken) => {
            let line = format!("somebody else has this {}", taken.join(" and "));
            Err(Error::new(Kind::Conflict, line))
        }
    }
}

/// Says which user is unknown.
fn named(user: Result<UserRow>, username: &str) -> Result<UserRow> {
    user.map_err(|error| match error.kind {
        Kind::NotFound => Error::new(Kind::NotFound, format!("no user {}", printable(username))),
        _ => error,
    })
}

fn told(user: &UserRow, what: &str) -> Answer {
    Answer::data(format!("user {} {what}", user.username), describe(user))
}

fn describe(user: &UserRow) -> Value {
    json!({
        "username": user.username,
        "email": user.email,
        "active": user.active,
        "banned": user.banned,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> NewPassword {
        NewPassword {
            password_stdin: false,
            password: Some(text.into()),
        }
    }

    fn create(username: &str, email: &str) -> Command {
        Command::Create {
            username: username.into(),
            email: email.into(),
            password: password("long enough"),
        }
    }

    #[tokio::test]
    async fn an_account_is_made_banned_and_given_a_password() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::in_directory(directory.path().to_path_buf());
        let db = Db::open(&config.database_path, 16).unwrap();
        let secret = Secret::load_or_create(&config.auth.jwt_secret_file).unwrap();
        let auth = Auth::new(db, secret, &config);
        let log_in = |password: &'static str| auth.log_in("ANA", password, [127, 0, 0, 1].into());

        let made = create("Ana", "ana@test.example").run(&config).await;
        assert_eq!(made.unwrap().json.unwrap()["username"], "Ana");
        let taken = create("ana", "ANA@test.example").run(&config).await;
        let taken = taken.unwrap_err();
        assert_eq!(taken.kind, Kind::Conflict);
        assert!(taken.to_string().contains("username and email"), "{taken}");
        let user = log_in("long enough").await.unwrap();
        let token = auth.issue(&user, None).token;
        assert!(auth.identity(&token).await.is_ok());

        let name = || "ana".to_owned();
        let ban = Command::Ban { username: name() }.run(&config).await;
        assert_eq!(ban.unwrap().json.unwrap()["banned"], true);
        assert!(log_in("long enough").await.is_err());
        let unban = Command::Unban { username: name() }.run(&config).await;
        assert_eq!(unban.unwrap().json.unwrap()["banned"], false);
        let change = Command::Password {
            username: name(),
            password: password("another one"),
        };
        change.run(&config).await.unwrap();
        assert!(log_in("long enough").await.is_err());
        assert!(log_in("another one").await.is_ok());
        auth.forget(user.id);
        assert!(auth.identity(&token).await.is_err());
    }

    #[tokio::test]
    async fn mistakes_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::in_directory(directory.path().to_path_buf());
        let ban = Command::Ban {
            username: "nobody".into(),
        };
        let error = ban.run(&config).await.unwrap_err();
        assert_eq!(error.to_string(), "no user nobody");
        for (username, email) in [("a b", "a@b.example"), ("ana", "nowhere")] {
            let error = create(username, email).run(&config).await.unwrap_err();
            assert_eq!(error.kind, Kind::Config, "{error}");
        }
        assert!(password("short").read().is_err());
        assert!(!format!("{:?}", password("secret")).contains("secret"));
    }
}
