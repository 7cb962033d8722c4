//! Who may do what: the server's secret and stream-key hashes; accounts come later. It does not
//! know sockets or requests.

mod publish;
mod secret;

pub use publish::PublishRefusal;
pub use secret::{KeyHash, Secret};

use std::sync::Arc;

use crate::db::Db;

/// Checks keys against the database.
#[derive(Clone)]
pub struct Auth {
    db: Db,
    secret: Secret,
    attempts: Arc<publish::SharedAttempts>,
}

impl Auth {
    /// An authority over `db`.
    pub fn new(db: Db, secret: Secret) -> Self {
        Self {
            db,
            secret,
            attempts: Arc::default(),
        }
    }
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
        (db.clone(), Auth::new(db, secret), uid, key)
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
