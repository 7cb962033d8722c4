//! The command line: what can be asked and how answers are printed. It does not know how the
//! server works inside.

mod channel;
mod check;
mod key;
mod output;
mod serve;
mod stream;
mod user;

use std::{path::PathBuf, sync::Arc};

use clap::{Parser, Subcommand};
use serde_json::json;

pub use output::{Answer, say};
pub use serve::Signals;

use crate::{
    app,
    config::Config,
    error::{Kind, Result},
    file_mode,
};

/// Read when it is there and --config names no other.
const DEFAULT_FILE: &str = "config.toml";

/// Live-streaming origin: RTMP in, HLS out.
#[derive(Debug, Parser)]
#[command(name = "cauce", version)]
pub struct Args {
    /// Configuration file [default: config.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a configuration key, over file and environment; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do [default: serve]
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What cauce can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve,
    /// Run the server with a sample publisher and print where to watch it
    Demo,
    /// Check the configuration, and that database, storage and ports can be used
    Check,
    /// Create, list and stop streams; works beside a running server
    #[command(subcommand)]
    Stream(stream::Command),
    /// Change stream keys; works beside a running server
    #[command(subcommand)]
    Key(key::Command),
    /// Create accounts, set passwords, ban and unban; works beside a running server
    #[command(subcommand)]
    User(user::Command),
    /// Moderators of channels; works beside a running server
    #[command(subcommand)]
    Channel(channel::Command),
    /// Segment an FLV file into a directory of HLS
    Segment(file_mode::Args),
    /// Print the version
    Version,
}

impl Args {
    /// Resolves the configuration from the file, the environment of this process and `--set`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_config(&self) -> Result<Config> {
        let default = PathBuf::from(DEFAULT_FILE);
        let file = self.config.clone().or(default.exists().then_some(default));
        // A variable that is not UTF-8 keeps its name, so that its value is refused by name.
        let env = std::env::vars_os().map(|(name, value)| {
            let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
            (text(name), text(value))
        });
        Config::load_with(file.as_deref(), env, &self.set)
    }

    /// Does what was asked.
    ///
    /// # Errors
    /// What failed, in one line for the operator.
    pub async fn run(self) -> Result<Answer> {
        let command = self.command.as_ref().unwrap_or(&Command::Serve);
        if let Command::Version = command {
            return Ok(version());
        }
        let config = match self.load_config() {
            Err(error) if self.json && matches!(command, Command::Check) => {
                return Ok(check::bad_configuration(error));
            }
            config => config?,
        };
        match command {
            Command::Serve => serve::serve(Arc::new(config)).await,
            Command::Demo => {
                let done = app::demo(Arc::new(config), self.json).await;
                done.map(|()| Answer::none())
            }
            Command::Check => Ok(check::check(&config).await),
            Command::Stream(command) => command.run(&config).await,
            Command::Key(command) => command.run(&config).await,
            Command::User(command) => command.run(&config).await,
            Command::Channel(command) => command.run(&config).await,
            Command::Segment(args) => segment(args, &config),
            Command::Version => Ok(version()),
        }
    }
}

fn segment(args: &file_mode::Args, config: &Config) -> Result<Answer> {
    let done = file_mode::run(&file_mode::Options::new(args, &config.hls))?;
    Ok(Answer::data(done.to_string(), done.to_json()))
}

fn version() -> Answer {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    Answer::data(format!("cauce {VERSION}"), json!({ "version": VERSION }))
}

/// The exit code of a failure. Usage errors end with 2 before anything runs.
pub fn exit_code(kind: Kind) -> u8 {
    match kind {
        Kind::Config | Kind::NotFound | Kind::Conflict | Kind::Unavailable | Kind::Internal => 1,
    }
}

fn key_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_commands_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in [
            "cauce --json --config a.toml stream list",
            "cauce stream list --config a.toml --json",
        ] {
            let args = parse(line).unwrap();
            assert!(args.json);
            assert_eq!(args.config, Some("a.toml".into()));
        }
        assert!(parse("cauce").unwrap().command.is_none());
        let set = parse("cauce serve --set a=1 --set b=x=y").unwrap().set;
        assert_eq!(set, [("a".into(), "1".into()), ("b".into(), "x=y".into())]);
    }

    #[test]
    fn usage_errors_are_told_apart() {
        for line in [
            "cauce dance",
            "cauce user list",
            "cauce user create ana --email a@b.example",
            "cauce user password ana --password x --password-stdin",
            "cauce serve --nope",
            "cauce --set a serve",
            "cauce stream",
            "cauce stream stop",
            "cauce stream list --status asleep",
            "cauce key",
            "cauce key rotate",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        let help = parse("cauce --help").unwrap_err();
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
    }

    #[tokio::test]
    async fn the_version_needs_no_configuration() {
        let args = parse("cauce --config /none.toml version").unwrap();
        let answer = args.run().await.unwrap();
        assert_eq!(answer.text, "cauce 0.1.0");
        assert_eq!(answer.json, Some(json!({ "version": "0.1.0" })));
    }

    #[tokio::test]
    async fn a_named_file_must_exist() {
        let args = parse("cauce --config /none.toml check").unwrap();
        let error = args.run().await.unwrap_err();
        assert_eq!(error.kind, Kind::Config);
        assert!(error.to_string().contains("/none.toml"), "{error}");
    }
}
