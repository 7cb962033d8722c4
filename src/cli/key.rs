//! `cauce key`: gives streams other keys, also beside a running server, which puts the old key's
//! publisher out by itself. It does not know who publishes.

use clap::Subcommand;
use serde_json::json;

use super::{Answer, output::printable};
use crate::{
    app,
    auth::Secret,
    config::Config,
    db::Db,
    error::{Error, Kind, Result},
    name::{StreamKey, StreamUid},
};

/// `cauce key ...`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give a stream another key and print it: the old one stops working at once
    Rotate {
        /// The stream's public name
        uid: String,
    },
}

impl Command {
    pub(super) async fn run(&self, config: &Config) -> Result<Answer> {
        let db = Db::open(&config.database_path, config.limits.db_queue)?;
        let Self::Rotate { uid } = self;
        let answer = rotate(config, &db, uid).await;
        db.close().await;
        answer
    }
}

async fn rotate(config: &Config, db: &Db, uid: &str) -> Result<Answer> {
    let unknown = || Error::new(Kind::NotFound, format!("no stream {}", printable(uid)));
    let uid = StreamUid::parse(uid).ok_or_else(unknown)?;
    let secret = Secret::load_or_create(&config.auth.jwt_secret_file)?;
    let key = StreamKey::random();
    let changed = db.change_key(&uid, secret.key_hash(&key), secret.seal(&key));
    if !changed.await? {
        let line = format!("stream {uid} has ended: it has no use for a key");
        return Err(Error::new(Kind::Conflict, line));
    }
    let urls = app::urls(config);
    let publish = urls.rtmp_publish(&key);
    let text = format!("key      {}\npublish  {publish}", key.as_str());
    let json = json!({
        "uid": uid.as_str(),
        "key": key.as_str(),
        "rtmp_url": urls.rtmp_server(),
        "publish_url": publish,
    });
    Ok(Answer::data(text, json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Auth, db::now_ms};

    #[tokio::test]
    async fn the_new_key_works_and_the_old_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::in_directory(directory.path().to_path_buf());
        let db = Db::open(&config.database_path, 16).unwrap();
        let secret = Secret::load_or_create(&config.auth.jwt_secret_file).unwrap();
        let (uid, old) = (StreamUid::random(), StreamKey::random());
        let hash = secret.key_hash(&old);
        db.create_stream(&uid, &hash, "", true).await.unwrap();
        let auth = Auth::new(db.clone(), secret, &config);

        let rotate = Command::Rotate {
            uid: uid.to_string(),
        };
        let answer = rotate.run(&config).await.unwrap();
        let json = answer.json.unwrap();
        let new = json["key"].as_str().unwrap();
        assert!(answer.text.contains(new));
        assert_eq!(
            json["publish_url"],
            format!("rtmp://127.0.0.1:1935/live/{new}")
        );
        assert!(auth.authorize_publish(old.as_str()).await.is_err());
        assert_eq!(auth.authorize_publish(new).await, Ok(uid.clone()));

        db.finish_stream(&uid, "stopped", now_ms()).await.unwrap();
        let error = rotate.run(&config).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict);
        for uid in ["AAAAAAAAAAAAAAAAAAAAAA", "nonsense", ""] {
            let error = Command::Rotate { uid: uid.into() }.run(&config).await;
            assert_eq!(error.unwrap_err().kind, Kind::NotFound);
        }
    }
}
