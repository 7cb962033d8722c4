//! Who may do what: the server's secret and stream-key hashes; accounts come later. It does not
//! know sockets or requests.

use std::{path::Path, sync::Arc};

use crate::{
    db::Db,
    error::Result,
    name::{StreamKey, StreamUid},
};

/// HMAC-SHA256 of a stream key under the server's secret: what the database looks keys up by (rule 20).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

/// The server's secret. At least 32 bytes; `Debug` never shows it.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Reads `auth.jwt_secret_file`, or makes it with mode 0600 at first boot.
    ///
    /// # Errors
    /// A file that cannot be read or made, or a secret shorter than 32 bytes.
    pub fn load_or_create(_file: &Path) -> Result<Self> {
        todo!()
    }
    /// The lookup hash of a stream key.
    pub fn key_hash(&self, _key: &StreamKey) -> KeyHash {
        todo!()
    }
}

/// Why a publish was refused; the text is what the encoder is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishRefusal {
    /// Unknown or malformed key.
    #[error("unknown stream key")]
    UnknownKey,
    /// The stream was stopped or cancelled.
    #[error("this stream has ended: create a new one")]
    Ended,
    /// The database could not be asked.
    #[error("the server cannot check stream keys now: try again")]
    Unavailable,
}

/// Checks keys against the database.
#[derive(Clone)]
pub struct Auth {
    _db: Db,
    _secret: Secret,
}

impl Auth {
    /// An authority over `db`.
    pub fn new(db: Db, secret: Secret) -> Self {
        Self {
            _db: db,
            _secret: secret,
        }
    }
    /// The stream that `key` publishes to.
    ///
    /// # Errors
    /// The refusal the encoder is shown.
    pub async fn authorize_publish(&self, _key: &str) -> Result<StreamUid, PublishRefusal> {
        todo!()
    }
}
