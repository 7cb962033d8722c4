//! `cauce channel`: moderators from the command line, also beside a running server, which notices
//! within a second. It does not know what moderators may do.

use clap::Subcommand;
use serde_json::json;

use super::{Answer, output::printable};
use crate::{
    config::Config,
    db::{Channel, Db, UserRow, now_ms},
    error::{Error, Kind, Result},
    person::Username,
};

/// `cauce channel ...`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add, remove and list moderators
    #[command(subcommand)]
    Moderator(Moderator),
}

/// `cauce channel moderator ...`.
#[derive(Debug, Subcommand)]
pub enum Moderator {
    /// Let a user moderate a channel's rooms
    Add {
        /// Name of the channel
        channel: String,
        /// Name of the account
        username: String,
    },
    /// Take that away
    Remove {
        /// Name of the channel
        channel: String,
        /// Name of the account
        username: String,
    },
    /// Print a channel's moderators
    List {
        /// Name of the channel
        channel: String,
    },
}

impl Command {
    pub(super) async fn run(&self, config: &Config) -> Result<Answer> {
        let Self::Moderator(command) = self;
        let db = Db::open(&config.database_path, config.limits.db_queue)?;
        let answer = command.act(&db).await;
        db.close().await;
        answer
    }
}

impl Moderator {
    async fn act(&self, db: &Db) -> Result<Answer> {
        match self {
            Self::Add {
                channel: name,
                username,
            } => {
                let (channel, user) = (channel(db, name).await?, user(db, username).await?);
                if user.id == channel.owner_id {
                    let line = format!("{username} owns the channel");
                    return Err(Error::new(Kind::Conflict, line));
                }
                db.add_moderator(channel.id, user.id, now_ms()).await?;
                Ok(said(&channel, &user, "moderates"))
            }
            Self::Remove {
                channel: name,
                username,
            } => {
                let (channel, user) = (channel(db, name).await?, user(db, username).await?);
                if !db.remove_moderator(channel.id, user.id).await? {
                    let line = format!("{username} does not moderate {name}");
                    return Err(Error::new(Kind::NotFound, line));
                }
                Ok(said(&channel, &user, "no longer moderates"))
            }
            Self::List { channel: name } => {
                let channel = channel(db, name).await?;
                let rows = db.moderators(channel.id).await?;
                let names: Vec<_> = rows.iter().map(|row| row.username.as_str()).collect();
                let lines: Vec<_> = names.iter().map(|name| printable(name)).collect();
                Ok(Answer::data(lines.join("\n"), json!(names)))
            }
        }
    }
}

fn said(channel: &Channel, user: &UserRow, verb: &str) -> Answer {
    let (channel, user) = (&channel.username, &user.username);
    let line = format!("{} {verb} {}", printable(user), printable(channel));
    Answer::data(line, json!({ "channel": channel, "username": user }))
}

async fn channel(db: &Db, name: &str) -> Result<Channel> {
    let found = db.channel(&Username::key_of(name), None).await?;
    found.ok_or_else(|| Error::new(Kind::NotFound, format!("no channel {name}")))
}

async fn user(db: &Db, name: &str) -> Result<UserRow> {
    let found = db.user_by_name(&Username::key_of(name)).await?;
    found.ok_or_else(|| Error::new(Kind::NotFound, format!("no user {name}")))
}
