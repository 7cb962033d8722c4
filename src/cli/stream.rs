//! `cauce stream`: acts on the database, also beside a running server, which notices by itself. It
//! does not know who publishes.

use clap::{Subcommand, builder::PossibleValuesParser};
use serde_json::{Value, json};

use super::{
    Answer,
    output::{printable, table},
};
use crate::{
    app,
    auth::Secret,
    config::Config,
    db::{Db, NewStream, Status, StreamRow, now_ms},
    error::{Error, Kind, Result},
    name::{StreamKey, StreamUid},
    person::Username,
    time::rfc3339,
};

/// `cauce stream ...`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a stream and print its key
    Create {
        /// Channel that it belongs to; without one nobody owns it, and its key is shown only now
        #[arg(long, value_name = "USERNAME")]
        channel: Option<String>,
        /// Title
        #[arg(long, default_value = "")]
        title: String,
        /// Do not keep a recording
        #[arg(long)]
        no_record: bool,
    },
    /// List streams, newest first
    List {
        /// Only those with this status
        #[arg(long, value_parser = PossibleValuesParser::new(["pending", "live", "finished", "cancel"]))]
        status: Option<String>,
    },
    /// End a stream for good: its key is refused from then on
    Stop {
        /// The stream's public name
        uid: String,
    },
}

impl Command {
    pub(super) async fn run(&self, config: &Config) -> Result<Answer> {
        let db = Db::open(&config.database_path, config.limits.db_queue)?;
        let answer = match self {
            Self::Create {
                channel,
                title,
                no_record,
            } => create(config, &db, channel.as_deref(), title, !no_record).await,
            Self::List { status } => {
                let status = status.as_deref().and_then(Status::parse);
                Ok(list(&db.streams(status).await?))
            }
            Self::Stop { uid } => stop(&db, uid).await,
        };
        db.close().await;
        answer
    }
}

async fn create(
    config: &Config,
    db: &Db,
    channel: Option<&str>,
    title: &str,
    record: bool,
) -> Result<Answer> {
    let channel_id = match channel {
        None => None,
        Some(name) => {
            let found = db.channel(&Username::key_of(name), None).await?;
            let unknown = || Error::new(Kind::NotFound, format!("no channel {}", printable(name)));
            Some(found.ok_or_else(unknown)?.id)
        }
    };
    let secret = Secret::load_or_create(&config.auth.jwt_secret_file)?;
    let (uid, key) = (StreamUid::random(), StreamKey::random());
    let new = NewStream {
        uid: uid.clone(),
        key: secret.key_hash(&key),
        key_sealed: secret.seal(&key),
        channel_id,
        title: title.to_owned(),
        description: String::new(),
        record,
        program_date_time_ms: None,
        is_programed: false,
    };
    db.add_stream(new, now_ms()).await.map_err(|error| {
        let line = "the channel has an open stream already: stop or cancel that one first";
        match error.kind {
            Kind::Conflict => Error::new(Kind::Conflict, line),
            _ => error,
        }
    })?;
    let row = db
        .stream(&uid)
        .await?
        .ok_or_else(|| Error::new(Kind::Internal, "the stream is gone that was just made"))?;
    let urls = app::urls(config);
    let mut json = describe(&row);
    json["key"] = json!(key.as_str());
    json["rtmp_url"] = json!(urls.rtmp_server());
    json["publish_url"] = json!(urls.rtmp_publish(&key));
    json["playlist_url"] = json!(urls.playlist(&uid));
    let text = format!(
        "uid      {uid}\nkey      {}\npublish  {}\nplaylist {}",
        key.as_str(),
        urls.rtmp_publish(&key),
        urls.playlist(&uid)
    );
    Ok(Answer::data(text, json))
}

fn list(rows: &[StreamRow]) -> Answer {
    let cells = |row: &StreamRow| {
        let time = |ms: Option<i64>| ms.map_or_else(|| "-".into(), rfc3339);
        vec![
            row.uid.to_string(),
            row.status.as_str().to_owned(),
            rfc3339(row.created_at_ms),
            time(row.started_at_ms),
            time(row.ended_at_ms),
            row.ended_reason.clone().unwrap_or_else(|| "-".into()),
            printable(&row.title),
        ]
    };
    let titles = [
        "UID", "STATUS", "CREATED", "STARTED", "ENDED", "REASON", "TITLE",
    ];
    let text = table(&titles, &rows.iter().map(cells).collect::<Vec<_>>());
    Answer::data(text, rows.iter().map(describe).collect())
}

/// Stopping twice is no error; what was cancelled never ran and cannot be stopped.
async fn stop(db: &Db, uid: &str) -> Result<Answer> {
    let unknown = || Error::new(Kind::NotFound, format!("no stream {}", printable(uid)));
    let uid = StreamUid::parse(uid).ok_or_else(unknown)?;
    let stopped = db.finish_stream(&uid, "stopped", now_ms()).await?;
    let row = db.stream(&uid).await?.ok_or_else(unknown)?;
    if row.status == Status::Cancel {
        let line = format!("stream {uid} was cancelled");
        return Err(Error::new(Kind::Conflict, line));
    }
    let text = match stopped {
        true => format!("stream {uid} is finished"),
        false => format!("stream {uid} was finished already"),
    };
    Ok(Answer::data(text, describe(&row)))
}

/// The fields and names of the REST API's stream. Never the key.
fn describe(row: &StreamRow) -> Value {
    json!({
        "uid": row.uid.as_str(),
        "title": row.title,
        "status": row.status.as_str(),
        "record": row.record,
        "created_at": rfc3339(row.created_at_ms),
        "started_at": row.started_at_ms.map(rfc3339),
        "ended_at": row.ended_at_ms.map(rfc3339),
        "ended_reason": row.ended_reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Auth;

    fn create_command(title: &str) -> Command {
        Command::Create {
            channel: None,
            title: title.into(),
            no_record: true,
        }
    }

    fn text<'a>(value: &'a Value, name: &str) -> &'a str {
        value[name].as_str().unwrap()
    }

    #[tokio::test]
    async fn a_stream_is_made_listed_and_stopped_beside_a_server() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::in_directory(directory.path().to_path_buf());
        let db = Db::open(&config.database_path, 16).unwrap();
        let secret = Secret::load_or_create(&config.auth.jwt_secret_file).unwrap();
        let auth = Auth::new(db, secret, &config);

        let made = create_command("a\x07title").run(&config).await.unwrap();
        let json = made.json.unwrap();
        let (uid, key) = (text(&json, "uid"), text(&json, "key"));
        assert_eq!(json["record"], false);
        assert_eq!(text(&json, "rtmp_url"), "rtmp://127.0.0.1:1935/live");
        let publish = format!("rtmp://127.0.0.1:1935/live/{key}");
        assert_eq!(text(&json, "publish_url"), publish);
        let playlist = format!("http://127.0.0.1:8080/live/{uid}/index.m3u8");
        assert_eq!(text(&json, "playlist_url"), playlist);
        for shown in [uid, key, &publish, &playlist] {
            assert!(made.text.contains(shown), "{}", made.text);
        }
        let authorized = auth.authorize_publish(key).await.unwrap();
        assert_eq!(authorized.as_str(), uid);

        let listed = Command::List { status: None }.run(&config).await.unwrap();
        let rows = listed.json.unwrap();
        assert_eq!(text(&rows[0], "uid"), uid);
        assert!(!rows.to_string().contains(key) && !listed.text.contains(key));
        assert!(!listed.text.contains('\x07'));
        let finished = Some("finished".to_owned());
        let none = Command::List { status: finished }
            .run(&config)
            .await
            .unwrap();
        assert_eq!(none.json, Some(json!([])));

        let stop = Command::Stop { uid: uid.into() };
        let stopped = stop.run(&config).await.unwrap();
        assert_eq!(stopped.json.unwrap()["ended_reason"], "stopped");
        assert!(stop.run(&config).await.unwrap().text.contains("already"));
        assert!(auth.authorize_publish(key).await.is_err());
    }

    #[tokio::test]
    async fn unknown_streams_are_not_found() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::in_directory(directory.path().to_path_buf());
        for uid in ["AAAAAAAAAAAAAAAAAAAAAA", "nonsense", ""] {
            let stop = Command::Stop { uid: uid.into() };
            let error = stop.run(&config).await.unwrap_err();
            assert_eq!(error.kind, Kind::NotFound, "{error}");
        }
    }

    #[tokio::test]
    async fn a_channels_stream_is_one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::in_directory(directory.path().to_path_buf());
        let db = Db::open(&config.database_path, 16).unwrap();
        let secret = Secret::load_or_create(&config.auth.jwt_secret_file).unwrap();
        db.sample_user("ana", &secret).await;
        let create = |channel: &str| Command::Create {
            channel: Some(channel.into()),
            title: String::new(),
            no_record: false,
        };
        let error = create("bob").run(&config).await.unwrap_err();
        assert_eq!(error.to_string(), "no channel bob");
        let made = create("ANA").run(&config).await.unwrap().json.unwrap();
        let uid = StreamUid::parse(text(&made, "uid")).unwrap();
        let row = db.stream_details(&uid).await.unwrap().unwrap();
        assert_eq!(row.channel.as_ref().unwrap().username, "ana");
        let key = secret.open(row.key_sealed.as_ref().unwrap(), &row.key);
        assert_eq!(key.unwrap().as_str(), text(&made, "key"));
        let error = create("ana").run(&config).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict);
    }
}
