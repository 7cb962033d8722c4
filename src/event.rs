//! What parts tell each other without importing each other: stream events, and the one place that
//! writes public URLs. It does not know who listens.

use crate::name::{StreamKey, StreamUid};

/// A stream changed.
#[derive(Clone, Debug)]
pub struct StreamEvent {
    /// Which one.
    pub uid: StreamUid,
    /// What happened.
    pub change: Change,
}

/// What happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A publisher came: pending to live, or back within the grace.
    Live,
    /// The publisher went; the grace runs.
    Reconnecting,
    /// It ended.
    Finished,
}

/// Writes public URLs from `http.public_url` and `rtmp.public_url`, or from the addresses listened on.
#[derive(Clone, Debug)]
pub struct Urls {
    /// Without a trailing slash, like `http://127.0.0.1:8080`.
    pub http: String,
    /// Without a trailing slash, like `rtmp://127.0.0.1:1935`.
    pub rtmp: String,
}

impl Urls {
    /// The multivariant playlist.
    pub fn playlist(&self, uid: &StreamUid) -> String {
        format!("{}/live/{uid}/index.m3u8", self.http)
    }
    /// The watch page.
    pub fn watch(&self, uid: &StreamUid) -> String {
        format!("{}/watch/{uid}", self.http)
    }
    /// The server an encoder is pointed at.
    pub fn rtmp_server(&self) -> String {
        format!("{}/live", self.rtmp)
    }
    /// Server and key in one, as ffmpeg wants it. Secret.
    pub fn rtmp_publish(&self, key: &StreamKey) -> String {
        format!("{}/live/{}", self.rtmp, key.as_str())
    }
}
